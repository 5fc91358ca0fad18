package server

import (
	"net/netip"
	"sync"
	"time"
)

// How wrong secret keys are slowed. They cannot be guessed; this keeps those who
// try, and programs that ask again and again with an old key, from using up the
// machine and the log.
const (
	freeGuesses  = 3 // that are answered at once
	firstHold    = 250 * time.Millisecond
	longestHold  = 4 * time.Second
	forgetAfter  = time.Minute // without a wrong key
	mostHeld     = 64          // answers at a time; one more is not worth its memory, and goes out at once
	mostGuessers = 4096        // that are remembered
)

// guesses remembers who sent wrong keys. Only the answer to a wrong one is held
// back: a right one is answered at once, whatever others at its address did.
type guesses struct {
	mu   sync.Mutex
	by   map[netip.Prefix]guesser
	held int
}

type guesser struct {
	wrong int
	last  time.Time
}

// failed counts a wrong key in, and says how long its answer is to be held back.
func (g *guesses) failed(address string) time.Duration {
	at := sourceOf(address)
	g.mu.Lock()
	defer g.mu.Unlock()
	one, known := g.by[at]
	if !known && len(g.by) == mostGuessers {
		g.by = nil // all begin anew
	}
	if g.by == nil {
		g.by = map[netip.Prefix]guesser{}
	}
	if time.Since(one.last) > forgetAfter {
		one.wrong = 0
	}
	one.wrong, one.last = one.wrong+1, time.Now()
	g.by[at] = one
	delay := time.Duration(0)
	for n := freeGuesses; n < one.wrong && delay < longestHold; n++ {
		delay = max(firstHold, 2*delay)
	}
	return min(delay, longestHold)
}

// hold waits, unless so many do already, or one of the ends comes first.
func (g *guesses) hold(d time.Duration, gone, ended <-chan struct{}) {
	if d <= 0 || !g.wait(1) {
		return
	}
	defer g.wait(-1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-ended:
	}
}

// wait counts who waits, in or out, and reports whether there is room.
func (g *guesses) wait(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held+n > mostHeld {
		return false
	}
	g.held += n
	return true
}

// sourceOf gives whom an address stands for: an IPv6 address its /64, as one
// machine has all of these (RFC 6177).
func sourceOf(address string) netip.Prefix {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{} // no IP: all such are one
	}
	a := at.Addr().Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the bits are right
	return p
}
