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
	looks   *Looks
	claims  claims
	limiter *rate.Limiter // nil: no limit

	turn chan struct{} // has room for one: who enters

	mu        sync.Mutex
	passes    map[*Pass]struct{} // under way
	recovered bool               // one of them has looked after what was left behind
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

// claims are the target names that files are on their way to.
type claims struct {
	mu       sync.Mutex
	by       map[string]*claim // by target or its key
	released int64             // how many were, so far
}

// claim is one file on its way to a name.
type claim struct {
	path    string
	pass    *Pass
	started bool          // it is being copied
	done    chan struct{} // closed when the name is free again
}

// take claims a name for a path. It gives a copy of what holds the name if another file
// does, or another pass: a request takes from that what it has not begun yet.
// mine says that the name is claimed by this call.
func (c *claims) take(name, path string, p *Pass) (holder claim, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.by[name]
	switch {
	case held == nil:
		c.by[name] = &claim{path: path, pass: p, done: make(chan struct{})}
		return claim{}, true
	case held.path == path && held.pass != p && !held.started && p.o.Mode == Request:
		held.pass = p
		return claim{}, true
	}
	return *held, false
}

// start notes that a file is being copied. mine is false when another pass has
// taken it, which is through with it when done is closed, or nil.
func (c *claims) start(name string, p *Pass) (mine bool, done <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.by[name]
	switch {
	case held == nil:
		return false, nil
	case held.pass != p:
		return false, held.done
	}
	held.started = true
	return true, nil
}

// release frees a name that the pass holds for the path.
func (c *claims) release(name, path string, p *Pass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.by[name]; held != nil && held.pass == p && held.path == path {
		c.free(name, held)
		p.released++
	}
}

func (c *claims) releaseAll(p *Pass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, held := range c.by {
		if held.pass == p {
			c.free(name, held)
		}
	}
}

func (c *claims) free(name string, held *claim) {
	delete(c.by, name)
	c.released++
	close(held.done)
}

// byOthers counts the names that other passes than p have released.
func (c *claims) byOthers(p *Pass) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.released - p.released
}
