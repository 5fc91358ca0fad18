// Package guessing slows those who guess what opens a Space: passwords over SSH,
// secret keys over HTTP. Neither can be guessed; this keeps those who try, and
// programs that ask again and again with an old one, from using up the machine
// and the log.
package authdelay

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

const (
	undelayedFailures = 3 // that are answered at once: people mistype
	firstDelay        = 250 * time.Millisecond
	maxDelay          = 4 * time.Second
	forgetInterval    = 30 * time.Second // one of them
	// mostFailures is where the delay stops growing; counting further would only
	// make forgetting take longer.
	maxFailures = undelayedFailures + 5
	maxPrefixes = 4096 // addresses that are remembered: the last that failed
)

// Delays remembers who was wrong. Only the answer to something wrong is held back:
// what is right is answered at once, whatever others at its address did. It may be
// used concurrently, and remembers no more than some thousand addresses.
type Failures struct {
	mu       sync.Mutex
	byPrefix map[netip.Prefix]*list.Element
	recent   *list.List // of *failures, the last that failed in front
}

type record struct {
	prefix netip.Prefix
	count  int
	since  time.Time // from here on they are forgotten one by one
}

// NewDelays makes one that remembers nobody.
func New() *Failures {
	return &Failures{byPrefix: map[netip.Prefix]*list.Element{}, recent: list.New()}
}

// Failed counts a failure in, and says how long its answer is to be held back: the
// first three not at all, then from 250 ms on twice as long each time, up to 4 s.
// One is forgotten every 30 s.
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
	return min(firstDelay<<(r.count-undelayedFailures-1), maxDelay)
}

// SourceOf gives whom an address stands for: an IPv6 address its /64, as one
// machine has all of these (RFC 6177).
func PrefixOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no IP: all such are one
	}
	return p
}

// Slowed reports whether so much was wrong lately that the delay is at its longest:
// a flood, which is not to fill the log.
func (f *Failures) AtMaxDelay(key netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, known := f.byPrefix[key]
	return known && e.Value.(*record).count == maxFailures
}
