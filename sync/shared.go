package sync

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
)

// Shared is what the passes of one connector have in common: those that follow
// each other, and those that run side by side. Make one with NewShared for each
// connector of a process; it may be used concurrently.
type Shared struct {
	looks  *Looks
	claims claims
	room   room
	told   troubles
	// notDurable are files whose copies stand, and cannot be made durable.
	notDurable notDurable
	limiter    *rate.Limiter // nil: no limit

	turn chan struct{} // has room for one: who enters

	mu        sync.Mutex
	passes    map[*Pass]struct{} // under way
	recovered bool               // one of them has looked after what was left behind
	pulses    int64              // how often othersPulse was asked for
}

// NewShared makes the common part of a connector's passes. Together they read
// at most so many bytes a second; 0 is no limit.
func NewShared(bytesPerSecond int64) *Shared {
	return &Shared{
		looks: newLooks(), claims: claims{by: map[string]*claim{}}, limiter: newLimiter(bytesPerSecond),
		turn: make(chan struct{}, 1), passes: map[*Pass]struct{}{},
	}
}

// enter lets a pass begin. The first of those that run side by side recovers
// what a killed program left; the others wait for that, as it would take what
// they write for left behind.
func (s *Shared) enter(ctx context.Context, p *Pass, recover func(context.Context) error) error {
	p.elsewhere.waits.Store(true) // the first one may take its time
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.elsewhere.waits.Store(false)
	s.mu.Lock()
	s.passes[p] = struct{}{}
	recovered := s.recovered
	s.mu.Unlock()
	if recovered {
		p.beside = true
		if p.o.Rerun {
			return p.recoverIntents(ctx)
		}
		return nil
	}
	if err := recover(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recovered = true
	return nil
}

// leave ends a pass: what it claimed is free.
func (s *Shared) leave(p *Pass) {
	s.claims.releaseAll(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.passes, p)
	if len(s.passes) == 0 {
		s.recovered = false
	}
}

// othersPulse is a number that changes as other passes than p make progress, and
// while one of them has reason to make none.
func (s *Shared) othersPulse(p *Pass) (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulses++
	for o := range s.passes {
		switch {
		case o == p:
		case o.resting():
			sum += s.pulses
		default:
			sum += o.entries.Load() + o.bytesWritten.Load() + o.compared.Load() + o.copied.Load() + o.failed.Load()
		}
	}
	return sum
}

// notDurable are files that have their names, after a pass that broke off, and cannot be
// made durable yet: their intents stay. They are not copied again meanwhile, as a reader
// may have taken the copy.
type notDurable struct {
	mu sync.Mutex
	by map[string]unsettled
}

type unsettled struct {
	source Entry
	err    error
}

// replace notes which files of a recovered batch are such files now, in place of what was
// known of them. Those of other batches stay: their own pass is under way.
func (n *notDurable) replace(batch []Delivery, now []unsettled) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range batch {
		delete(n.by, d.Source.Name)
	}
	for _, u := range now {
		if n.by == nil {
			n.by = map[string]unsettled{}
		}
		n.by[u.source.Name] = u
	}
}

// why gives why the copy of this version is not durable; nil if it is none of them.
func (n *notDurable) why(e Entry) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if u, ok := n.by[e.Name]; ok && u.source.SameVersion(e) {
		return u.err
	}
	return nil
}
