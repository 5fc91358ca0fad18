package server

import (
	"net/netip"
	"sync/atomic"
	"time"

	"sftpconnector/space/guessing"
)

// mostHeld is how many answers to wrong secret keys are held back at a time. One
// more is not worth its memory, and goes out at once.
const mostHeld = 64

// guesses slows who sends wrong secret keys.
type guesses struct {
	delays *guessing.Delays
	held   atomic.Int64
}

// failed counts a wrong key in, and says how long its answer is to be held back,
// and whether it is one of a flood.
func (g *guesses) failed(address string) (hold time.Duration, flood bool) {
	at, _ := netip.ParseAddrPort(address) // no IP: all such are one
	source := guessing.SourceOf(at.Addr())
	hold = g.delays.Failed(source)
	return hold, g.delays.Slowed(source)
}

// hold waits, unless so many do already, or one of the ends comes first.
func (g *guesses) hold(d time.Duration, gone, ended <-chan struct{}) {
	defer g.held.Add(-1)
	if g.held.Add(1) > mostHeld || d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-ended:
	}
}
