// Package authdelay says how long the answer to a failed authentication is to be held
// back: to a password over SSH, or to a secret key over HTTP. Neither can be guessed.
// The delay keeps clients that try, and programs that go on with an old one, from using
// up the machine and the log.
package authdelay

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"sftpconnector/backoff"
)

const (
	undelayedFailures = 3                // failures that are answered at once, as people mistype
	forgetInterval    = 30 * time.Second // after which one failure is forgotten
	// maxFailures is where the delay stops growing. Counting further would only make
	// forgetting take longer.
	maxFailures = undelayedFailures + 5
	maxPrefixes = 4096 // address prefixes that are remembered: the last that failed
)

// Failures counts the failures of each client address. Only the answer to a failure is
// delayed: a success is answered at once, whatever others at its address did. It may be
// used concurrently, and remembers some thousand addresses at most.
type Failures struct {
	mu       sync.Mutex
	byPrefix map[netip.Prefix]*list.Element
	recent   *list.List // of *record, the last that failed in front
}

type record struct {
	prefix netip.Prefix
	count  int
	since  time.Time // failures are forgotten one by one from here on
}

// New gives a Failures without any failure.
func New() *Failures {
	return &Failures{byPrefix: map[netip.Prefix]*list.Element{}, recent: list.New()}
}

// Add counts a failure, and gives how long its answer is to be held back: not at all
// for the first three, then 250 ms, and twice as long each time, up to 4 s. One failure
// is forgotten every 30 s.
func (f *Failures) Add(key netip.Prefix) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	e, known := f.byPrefix[key]
	if !known {
		if f.recent.Len() == maxPrefixes {
			last := f.recent.Back()
			delete(f.byPrefix, f.recent.Remove(last).(*record).prefix)
		}
		e = f.recent.PushFront(&record{prefix: key, since: now})
		f.byPrefix[key] = e
	}
	f.recent.MoveToFront(e)
	r := e.Value.(*record)
	if forgotten := int(now.Sub(r.since) / forgetInterval); forgotten > 0 {
		r.count = max(0, r.count-forgotten)
		r.since = r.since.Add(time.Duration(forgotten) * forgetInterval)
	}
	r.count = min(r.count+1, maxFailures)
	if r.count <= undelayedFailures {
		return 0
	}
	return backoff.Guess.Wait(r.count - undelayedFailures)
}

// PrefixOf gives the prefix under which an address is counted: an IPv6 address by its
// /64, as one machine has all of these (RFC 6177).
func PrefixOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // all that are no IP count as one
	}
	return p
}

// AtMaxDelay reports whether the delay is at its longest: a flood, which must not fill
// the log.
func (f *Failures) AtMaxDelay(key netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, known := f.byPrefix[key]
	return known && e.Value.(*record).count == maxFailures
}
