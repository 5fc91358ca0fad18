package sftp

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// loneWait bounds how long others are kept out for one that would be alone, and
	// loneRest is how long they are not, after that was in vain.
	loneWait = 2 * time.Second
	loneRest = 30 * loneWait
)

// errBusy: what is open stays so for too long for anyone to be alone.
var errBusy = errors.New("others stay open")

// gate decides when one more file or directory may be opened on a connection. Many
// servers allow only so many, and refuse a further OPEN with whatever status. (What
// a single channel bears is kept to by its wire.Session.)
//
// A listing whose reader takes its time holds its handle for as long, and what the
// reader waits for may be a file that needs it. Such a listing is a stream: its
// handle is taken back when there is need for it, and it is listed anew.
type gate struct {
	limits *Limits
	most   int // files at once, whatever the server takes; 0: any number

	mu      sync.Mutex
	open    int       // handles that are open, being opened, or being closed
	dirs    int       // those of them of directories
	opened  int       // those of them that the server has opened
	files   int       // those of them of files
	begun   int       // how many it ever has
	entered int       // how many ever have
	alone   bool      // the one that is in wants nobody beside it
	queued  int       // how many wait to be alone; they go first
	rest    time.Time // nobody waits to be alone until then
	waiting map[*waiter]struct{}
	changed chan struct{} // closed and replaced when somebody has left
	streams map[*openDir]struct{}
	handed  atomic.Int64 // bytes that listings keep for when they begin anew
}

func newGate(l *Limits) *gate {
	return &gate{limits: l, changed: make(chan struct{}), waiting: map[*waiter]struct{}{}, streams: map[*openDir]struct{}{}}
}

// enter waits until one more file may be opened.
func (g *gate) enter(ctx context.Context) error {
	return g.await(ctx, false, func() bool {
		return g.free() && (g.most == 0 || g.open-g.dirs < g.most)
	})
}

// enterDir waits until one more directory may be opened. At most half of what may
// be open are directories, for the files that their readers wait for.
func (g *gate) enterDir(ctx context.Context) error {
	return g.await(ctx, false, func() bool {
		limit := g.limits.handles()
		if !g.free() || limit > 1 && g.dirs >= limit/2 {
			return false
		}
		g.dirs++
		return true
	})
}

// free reports whether one more handle may be open. The caller holds g.mu.
func (g *gate) free() bool {
	limit := g.limits.openFiles.most()
	return !g.alone && g.queued == 0 && (limit == 0 || g.open < limit)
}

// tryEnter enters only if that is possible now, for a handle that can be done
// without: where they are limited, half of them are left to others, and where each
// channel is limited, all.
func (g *gate) tryEnter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit := g.limits.openFiles.most()
	if !g.free() || limit > 0 && g.open >= limit/2 || g.limits.channelHandles.Load() > 0 {
		return false
	}
	g.open++
	g.entered++
	return true
}

// enterAlone waits until nothing is open, and keeps all others out. It gives up
// that wish, and enters nowhere, when enough becomes true. When that takes too long,
// or did a short while ago, it fails with errBusy.
func (g *gate) enterAlone(ctx context.Context, dir bool, enough func() bool) (alone bool, err error) {
	g.mu.Lock()
	if g.open > 0 && time.Now().Before(g.rest) {
		g.mu.Unlock()
		return false, errBusy
	}
	g.queued++
	g.mu.Unlock()
	soon, cancel := context.WithTimeoutCause(ctx, loneWait, errBusy)
	defer cancel()
	err = g.await(soon, true, func() bool { return enough() || g.open == 0 && !g.alone })
	if errors.Is(err, errBusy) {
		g.restFrom(time.Now())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queued--
	alone = err == nil && g.open == 1 && !enough()
	switch {
	case alone:
		g.alone = true
		if dir {
			g.dirs++
		}
	case err == nil:
		g.open--
		g.entered--
	}
	g.signal()
	return alone, err
}

// restFrom keeps nobody out for a while.
func (g *gate) restFrom(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rest = now.Add(loneRest)
}

// waiter waits for less to be open.
type waiter struct {
	after   refused
	refuted bool
}

// awaitRoom waits until less is open for sure than at a refusal, or enough becomes
// true, or the refusal is refuted.
func (g *gate) awaitRoom(ctx context.Context, after refused, enough func() bool) (refuted bool, err error) {
	w := &waiter{after: after}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[w] = struct{}{}
	defer delete(g.waiting, w)
	for !w.refuted && !enough() && g.opened >= max(1, after.beside.opened) && g.files >= after.beside.files {
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		g.mu.Lock()
		if err != nil {
			return false, err
		}
	}
	return w.refuted, nil
}

// await waits until allowed, which is asked under the lock, and counts one in. One
// that would be alone, and any one where a single handle is all there is, takes
// the handles of streams back.
func (g *gate) await(ctx context.Context, alone bool, allowed func() bool) error {
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
		if alone || g.limits.oneHandle() {
			g.revoke()
		}
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

// succeed notes that the file that one who entered wanted to open is open.
func (g *gate) succeed() { g.begin(false) }

// begin is succeed for a file or a directory. It gives what is open beside it.
func (g *gate) begin(dir bool) (beside turn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	beside = g.turn()
	g.opened++
	g.begun++
	if !dir {
		g.files++
	}
	g.limits.openFiles.passed(g.opened)
	g.limits.refusals.opened(beside, dir)
	for w := range g.waiting {
		if w.refuted = w.refuted || w.after.refuted(beside, dir); w.refuted {
			g.signal()
		}
	}
	return beside
}

// leave counts one out whose file is closed.
func (g *gate) leave() { g.left(false, true) }

// fail counts one out whose file was never open.
func (g *gate) fail() { g.left(false, false) }

// leaveDir counts one out whose directory is closed.
func (g *gate) leaveDir() { g.left(true, true) }

// failDir counts one out whose directory was never open.
func (g *gate) failDir() { g.left(true, false) }

func (g *gate) left(dir, opened bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if dir {
		g.dirs--
	}
	if opened {
		g.opened--
	}
	if opened && !dir {
		g.files--
	}
	if g.open == 0 {
		g.alone = false
	}
	g.signal()
}

// stream lets a directory be taken back. That is done at once where a single handle
// is all there is.
func (g *gate) stream(d *openDir) {
	g.mu.Lock()
	g.streams[d] = struct{}{}
	wanted := g.queued > 0 || g.limits.oneHandle()
	g.mu.Unlock()
	if wanted {
		g.revoke()
	}
}

// endStream: the directory is closed.
func (g *gate) endStream(d *openDir) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.streams, d)
}

// revoke takes the handles of all streams back.
func (g *gate) revoke() {
	g.mu.Lock()
	streams := g.streams
	g.streams = map[*openDir]struct{}{}
	g.mu.Unlock()
	for d := range streams {
		d.revoke()
	}
}

// turn is what had happened at the gate at some time.
type turn struct{ entered, in, begun, opened, files, limit, noted int }

// now gives the turn.
func (g *gate) now() turn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.turn()
}

func (g *gate) turn() turn {
	return turn{g.entered, g.open, g.begun, g.opened, g.files, g.limits.openFiles.most(), g.limits.refusals.noted()}
}

// count is how many handles are open for sure, and how many are in.
func (g *gate) count() (opened, in int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened, g.open
}

func (g *gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}
