// Package guessing slows those who guess what opens a Space: passwords over SSH,
// secret keys over HTTP. Neither can be guessed; this keeps those who try, and
// programs that ask again and again with an old one, from using up the machine
// and the log.
package guessing

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"sftpconnector/backoff"
)

const (
	freeFailures  = 3                // that are answered at once: people mistype
	forgetFailure = 30 * time.Second // one of them
	// mostFailures is where the delay stops growing; counting further would only
	// make forgetting take longer.
	mostFailures = freeFailures + 5
	mostDelays   = 4096 // addresses that are remembered: the last that failed
)

// Delays remembers who was wrong. Only the answer to something wrong is held back:
// what is right is answered at once, whatever others at its address did. It may be
// used concurrently, and remembers no more than some thousand addresses.
type Delays struct {
	mu     sync.Mutex
	byKey  map[netip.Prefix]*list.Element
	recent *list.List // of *failures, the last that failed in front
}

type failures struct {
	key   netip.Prefix
	count int
	since time.Time // from here on they are forgotten one by one
}

// NewDelays makes one that remembers nobody.
func NewDelays() *Delays {
	return &Delays{byKey: map[netip.Prefix]*list.Element{}, recent: list.New()}
}

// Failed counts a failure in, and says how long its answer is to be held back: the
// first three not at all, then from 250 ms on twice as long each time, up to 4 s.
// One is forgotten every 30 s.
func (d *Delays) Failed(key netip.Prefix) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	e, known := d.byKey[key]
	if !known {
		if d.recent.Len() == mostDelays {
			last := d.recent.Back()
			delete(d.byKey, d.recent.Remove(last).(*failures).key)
		}
		e = d.recent.PushFront(&failures{key: key, since: now})
		d.byKey[key] = e
	}
	d.recent.MoveToFront(e)
	f := e.Value.(*failures)
	if forgotten := int(now.Sub(f.since) / forgetFailure); forgotten > 0 {
		f.count = max(0, f.count-forgotten)
		f.since = f.since.Add(time.Duration(forgotten) * forgetFailure)
	}
	f.count = min(f.count+1, mostFailures)
	if f.count <= freeFailures {
		return 0
	}
	return backoff.Guess.Wait(f.count - freeFailures)
}

// SourceOf gives whom an address stands for: an IPv6 address its /64, as one
// machine has all of these (RFC 6177).
func SourceOf(a netip.Addr) netip.Prefix {
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
func (d *Delays) Slowed(key netip.Prefix) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, known := d.byKey[key]
	return known && e.Value.(*failures).count == mostFailures
}
