package sync

import (
	"fmt"
	"sync"
	"time"
)

const (
	// settledAge is the age from which one look is enough: a file that was not
	// modified for a day is not being written, whatever the clocks say.
	settledAge = 24 * time.Hour
	// maxLooks bounds the files that wait at one time. Those beyond it wait for
	// a later pass, when the first ones are through.
	maxLooks = 200_000
)

// Looks remembers, from one pass of a connector to the next, which files were
// seen in which version and when, on our own monotonic clock. It may be used
// concurrently, but begin and end are for one pass at a time.
type Looks struct {
	mu   sync.Mutex
	seen map[string]look
	gen  int
}

type look struct {
	size, modTime int64
	at            time.Time // carries the monotonic clock
	gen           int
}

func newLooks() *Looks { return &Looks{seen: map[string]look{}} }

// begin starts a pass: what it does not come across is forgotten by end.
func (l *Looks) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gen++
}

// end forgets the files that a pass with a complete listing did not see.
func (l *Looks) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, k := range l.seen {
		if k.gen != l.gen {
			delete(l.seen, name)
		}
	}
}

// forget drops a file that was delivered or is gone.
func (l *Looks) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, name)
}

// ready takes one look at e and reports whether it stood still for settle; if
// not, for how long it has to be left alone from now, and why.
func (l *Looks) ready(e Entry, settle time.Duration) (ok bool, wait time.Duration, reason string) {
	now := time.Now()
	if settle <= 0 || !e.ModTime.IsZero() && now.Sub(e.ModTime) > settledAge {
		return true, 0, ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k, known := l.seen[e.Name]
	if known && k.size == e.Size && k.modTime == e.ModTime.Unix() {
		k.gen = l.gen
		l.seen[e.Name] = k
		if since := now.Sub(k.at); since < settle {
			return false, settle - since, fmt.Sprintf("seen first %s ago, has to stand still for %s", since.Round(time.Millisecond), settle)
		}
		return true, 0, ""
	}
	if !known && len(l.seen) >= maxLooks {
		return false, 0, fmt.Sprintf("%d other files wait before it", maxLooks)
	}
	l.seen[e.Name] = look{size: e.Size, modTime: e.ModTime.Unix(), at: now, gen: l.gen}
	if known {
		return false, settle, fmt.Sprintf("it is changing; has to stand still for %s", settle)
	}
	return false, settle, fmt.Sprintf("seen for the first time, has to stand still for %s", settle)
}
