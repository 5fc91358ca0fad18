package relay

import (
	"cmp"
	"slices"
)

// event is what happens to one connection at a certain byte.
type event int

const (
	nothing event = iota
	resetting
	losing
	stalling
)

// plans are the events to come, by the bytes from the server.
type plans struct {
	passed int64 // bytes from the server so far, over all connections
	events []planned
}

type planned struct {
	at   int64 // of plans.passed
	what event
}

// ResetAfter ends one connection with RST behind the given number of bytes from
// the server: the one that would carry the next byte. Bytes are counted from
// this call on, over all connections. It happens once; each further call plans
// one more.
func (r *Relay) ResetAfter(bytes int64) { r.plan(bytes, resetting) }

// HalfOpenAfter makes one connection half-open, as a Blackhole does, and for
// good. Which one and when is as in ResetAfter.
func (r *Relay) HalfOpenAfter(bytes int64) { r.plan(bytes, losing) }

// StallAfter stalls one connection, until the next Set. Which one and when is as
// in ResetAfter.
func (r *Relay) StallAfter(bytes int64) { r.plan(bytes, stalling) }

func (r *Relay) plan(bytes int64, what event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := planned{r.plans.passed + max(bytes, 0), what}
	at, _ := slices.BinarySearchFunc(r.plans.events, p, func(a, b planned) int { return cmp.Compare(a.at, b.at) })
	r.plans.events = slices.Insert(r.plans.events, at, p)
}

// pass counts up to n bytes from the server: as many as pass before the next
// event, which it gives and removes.
func (r *Relay) pass(n int) (passing int, next event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.plans
	if len(p.events) > 0 && p.events[0].at < p.passed+int64(n) {
		passing, next = int(p.events[0].at-p.passed), p.events[0].what
		p.events = p.events[1:]
	} else {
		passing = n
	}
	p.passed += int64(passing)
	return passing, next
}
