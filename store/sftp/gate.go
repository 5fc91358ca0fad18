package sftp

import (
	"context"
	"sync"
)

// gate counts the files that are open, for servers that allow only so many: a
// further OPEN fails there with nothing but SSH_FX_FAILURE.
type gate struct {
	limits *Limits
	most   int // files at once, whatever the server takes; 0: any number

	mu      sync.Mutex
	open    int           // files that are open, being opened, or being closed
	opened  int           // those of them that the server has opened
	entered int           // how many ever have
	alone   bool          // the one that is in wants nobody beside it
	queued  int           // how many wait to be alone; they go first
	changed chan struct{} // closed and replaced when somebody has left
}

func newGate(l *Limits) *gate { return &gate{limits: l, changed: make(chan struct{})} }

// enter waits until one more file may be opened.
func (g *gate) enter(ctx context.Context) error {
	return g.await(ctx, func() bool {
		limit := int(g.limits.openFiles.Load())
		return !g.alone && g.queued == 0 && (limit == 0 || g.open < limit) && (g.most == 0 || g.open < g.most)
	})
}

// tryEnter enters only if that is possible now.
func (g *gate) tryEnter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.alone || g.queued > 0 || g.limits.openFiles.Load() > 0 {
		return false
	}
	g.open++
	g.entered++
	return true
}

// enterAlone waits until no file is open, and keeps all others out.
func (g *gate) enterAlone(ctx context.Context) error {
	g.mu.Lock()
	g.queued++
	g.mu.Unlock()
	err := g.await(ctx, func() bool { return g.open == 0 })
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queued--
	g.alone = err == nil
	g.signal()
	return err
}

// await waits until allowed, which is asked under the lock, and counts one in.
func (g *gate) await(ctx context.Context, allowed func() bool) error {
	for {
		g.mu.Lock()
		if allowed() {
			g.open++
			g.entered++
			g.mu.Unlock()
			return nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// share lets others in beside the one that was alone.
func (g *gate) share() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alone = false
	g.signal()
}

// succeed notes that the file of one who entered is open.
func (g *gate) succeed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened++
}

// leave counts one out whose file is closed.
func (g *gate) leave() {
	g.mu.Lock()
	g.opened--
	g.mu.Unlock()
	g.fail()
}

// fail counts one out whose file was never open.
func (g *gate) fail() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.open == 0 {
		g.alone = false
	}
	g.signal()
}

// turn is how many have entered so far, and how many are in.
func (g *gate) turn() (entered, in int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.entered, g.open
}

// count is how many files are open for sure, and how many are in.
func (g *gate) count() (opened, in int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened, g.open
}

func (g *gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}
