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
	exclusiveWait  = 2 * time.Second
	exclusivePause = 30 * exclusiveWait
)

// errBusy: what is open stays so for too long for anyone to be alone.
var errHandlesInUse = errors.New("others stay open")

// gate decides when one more file or directory may be opened on a connection. Many
// servers allow only so many, and refuse a further OPEN with whatever status. (What
// a single channel bears is kept to by its wire.Session.)
//
// A listing whose reader takes its time holds its handle for as long, and what the
// reader waits for may be a file that needs it. Such a listing is a stream: its
// handle is taken back when there is need for it, and it is listed anew.
type handleLimiter struct {
	limits   *Limits
	maxFiles int // files at once, whatever the server takes; 0: any number

	mu               sync.Mutex
	inUse            int       // handles that are open, being opened, or being closed
	dirsInUse        int       // those of them of directories
	open             int       // those of them that the server has opened
	openFiles        int       // those of them of files
	totalOpened      int       // how many it ever has
	totalAcquired    int       // how many ever have
	exclusive        bool      // the one that is in wants nobody beside it
	wantExclusive    int       // how many wait to be alone; they go first
	noExclusiveUntil time.Time // nobody waits to be alone until then
	waiters          map[*refusalWaiter]struct{}
	changed          chan struct{} // closed and replaced when somebody has left
	revocable        map[*openDir]struct{}
	seenBytes        atomic.Int64 // bytes that listings keep for when they begin anew
}

func newHandleLimiter(l *Limits) *handleLimiter {
	return &handleLimiter{limits: l, changed: make(chan struct{}), waiters: map[*refusalWaiter]struct{}{}, revocable: map[*openDir]struct{}{}}
}

// enter waits until one more file may be opened.
func (h *handleLimiter) acquire(ctx context.Context) error {
	return h.await(ctx, false, func() bool {
		return h.available() && (h.maxFiles == 0 || h.inUse-h.dirsInUse < h.maxFiles)
	})
}

// enterDir waits until one more directory may be opened. At most half of what may
// be open are directories, for the files that their readers wait for.
func (h *handleLimiter) acquireDir(ctx context.Context) error {
	return h.await(ctx, false, func() bool {
		limit := h.limits.handles()
		if !h.available() || limit > 1 && h.dirsInUse >= limit/2 {
			return false
		}
		h.dirsInUse++
		return true
	})
}

// free reports whether one more handle may be open. The caller holds g.mu.
func (h *handleLimiter) available() bool {
	limit := h.limits.openFiles.limit()
	return !h.exclusive && h.wantExclusive == 0 && (limit == 0 || h.inUse < limit)
}

// tryEnter enters only if that is possible now, for a handle that can be done
// without: where they are limited, half of them are left to others, and where each
// channel is limited, all.
func (h *handleLimiter) tryAcquire() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	limit := h.limits.openFiles.limit()
	if !h.available() || limit > 0 && h.inUse >= limit/2 || h.limits.channelHandles.Load() > 0 {
		return false
	}
	h.inUse++
	h.totalAcquired++
	return true
}

// enterAlone waits until nothing is open, and keeps all others out. It gives up
// that wish, and enters nowhere, when enough becomes true. When that takes too long,
// or did a short while ago, it fails with errBusy.
func (h *handleLimiter) acquireExclusive(ctx context.Context, dir bool, enough func() bool) (alone bool, err error) {
	h.mu.Lock()
	if h.inUse > 0 && time.Now().Before(h.noExclusiveUntil) {
		h.mu.Unlock()
		return false, errHandlesInUse
	}
	h.wantExclusive++
	h.mu.Unlock()
	soon, cancel := context.WithTimeoutCause(ctx, exclusiveWait, errHandlesInUse)
	defer cancel()
	err = h.await(soon, true, func() bool { return enough() || h.inUse == 0 && !h.exclusive })
	if errors.Is(err, errHandlesInUse) {
		h.pauseExclusive(time.Now())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wantExclusive--
	alone = err == nil && h.inUse == 1 && !enough()
	switch {
	case alone:
		h.exclusive = true
		if dir {
			h.dirsInUse++
		}
	case err == nil:
		h.inUse--
		h.totalAcquired--
	}
	h.signal()
	return alone, err
}

// restFrom keeps nobody out for a while.
func (h *handleLimiter) pauseExclusive(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noExclusiveUntil = now.Add(exclusivePause)
}

// waiter waits for less to be open.
type refusalWaiter struct {
	refusal   openRefusal
	disproved bool
}

// awaitRoom waits until less is open for sure than at a refusal, or enough becomes
// true, or the refusal is refuted.
func (h *handleLimiter) awaitFewer(ctx context.Context, after openRefusal, enough func() bool) (refuted bool, err error) {
	w := &refusalWaiter{refusal: after}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiters[w] = struct{}{}
	defer delete(h.waiters, w)
	for !w.disproved && !enough() && h.open >= max(1, after.counts.open) && h.openFiles >= after.counts.openFiles {
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		h.mu.Lock()
		if err != nil {
			return false, err
		}
	}
	return w.disproved, nil
}

// await waits until allowed, which is asked under the lock, and counts one in. One
// that would be alone, and any one where a single handle is all there is, takes
// the handles of streams back.
func (h *handleLimiter) await(ctx context.Context, alone bool, allowed func() bool) error {
	for {
		h.mu.Lock()
		if allowed() {
			h.inUse++
			h.totalAcquired++
			h.mu.Unlock()
			return nil
		}
		changed := h.changed
		h.mu.Unlock()
		if alone || h.limits.oneHandle() {
			h.revokeListings()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// share lets others in beside the one that was alone.
func (h *handleLimiter) endExclusive() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.exclusive = false
	h.signal()
}

// succeed notes that the file that one who entered wanted to open is open.
func (h *handleLimiter) fileOpened() { h.handleOpened(false) }

// begin is succeed for a file or a directory. It gives what is open beside it.
func (h *handleLimiter) handleOpened(dir bool) (others handleCounts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	others = h.countsLocked()
	h.open++
	h.totalOpened++
	if !dir {
		h.openFiles++
	}
	h.limits.openFiles.noteOpened(h.open)
	h.limits.refusals.handleOpened(others, dir)
	for w := range h.waiters {
		if w.disproved = w.disproved || w.refusal.disprovedBy(others, dir); w.disproved {
			h.signal()
		}
	}
	return others
}

// leave counts one out whose file is closed.
func (h *handleLimiter) release() { h.put(false, true) }

// fail counts one out whose file was never open.
func (h *handleLimiter) cancel() { h.put(false, false) }

// leaveDir counts one out whose directory is closed.
func (h *handleLimiter) releaseDir() { h.put(true, true) }

// failDir counts one out whose directory was never open.
func (h *handleLimiter) cancelDir() { h.put(true, false) }

func (h *handleLimiter) put(dir, opened bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inUse--
	if dir {
		h.dirsInUse--
	}
	if opened {
		h.open--
	}
	if opened && !dir {
		h.openFiles--
	}
	if h.inUse == 0 {
		h.exclusive = false
	}
	h.signal()
}

// stream lets a directory be taken back. That is done at once where a single handle
// is all there is.
func (h *handleLimiter) addRevocable(d *openDir) {
	h.mu.Lock()
	h.revocable[d] = struct{}{}
	wanted := h.wantExclusive > 0 || h.limits.oneHandle()
	h.mu.Unlock()
	if wanted {
		h.revokeListings()
	}
}

// endStream: the directory is closed.
func (h *handleLimiter) removeRevocable(d *openDir) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.revocable, d)
}

// revoke takes the handles of all streams back.
func (h *handleLimiter) revokeListings() {
	h.mu.Lock()
	streams := h.revocable
	h.revocable = map[*openDir]struct{}{}
	h.mu.Unlock()
	for d := range streams {
		d.revoke()
	}
}

// turn is what had happened at the gate at some time.
type handleCounts struct{ totalAcquired, inUse, totalOpened, open, openFiles, limit, changes int }

// now gives the turn.
func (h *handleLimiter) counts() handleCounts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.countsLocked()
}

func (h *handleLimiter) countsLocked() handleCounts {
	return handleCounts{h.totalAcquired, h.inUse, h.totalOpened, h.open, h.openFiles, h.limits.openFiles.limit(), h.limits.refusals.changes()}
}

// count is how many handles are open for sure, and how many are in.
func (h *handleLimiter) openAndInUse() (opened, in int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open, h.inUse
}

func (h *handleLimiter) signal() {
	close(h.changed)
	h.changed = make(chan struct{})
}
