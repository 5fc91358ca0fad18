package sftp

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// exclusiveWait bounds how long others are kept out for one that waits to be alone.
	// exclusivePause is how long nobody waits for that after it failed.
	exclusiveWait  = 2 * time.Second
	exclusivePause = 30 * exclusiveWait
)

// errHandlesInUse means that others keep their handles open for too long.
var errHandlesInUse = errors.New("others stay open")

// handleLimiter decides when one more file or directory may be opened on a connection.
// Many servers allow a number of handles only, and refuse a further OPEN with any
// status. (wire.Session keeps to the limit of a single channel.)
//
// A listing holds its handle for as long as its reader takes, and the reader may wait
// for a file that needs that handle. The handle of such a listing is revocable: the
// limiter closes it when others need it, and the directory is listed anew.
type handleLimiter struct {
	limits   *Limits
	maxFiles int // files at a time, whatever the server allows; 0: any number

	mu               sync.Mutex
	inUse            int       // handles that are open, being opened, or being closed
	dirsInUse        int       // of these, the directories
	open             int       // of these, the ones that the server has opened
	openFiles        int       // of these, the files
	totalOpened      int       // how many the server ever opened
	totalAcquired    int       // how many were ever acquired
	exclusive        bool      // the one handle in use keeps all others out
	wantExclusive    int       // how many wait to be the only one; they go first
	noExclusiveUntil time.Time // nobody waits to be the only one until then
	waiters          map[*refusalWaiter]struct{}
	changed          chan struct{} // closed and replaced when a handle is released
	revocable        map[*openDir]struct{}
	seenBytes        atomic.Int64 // bytes of the seenItems of all listings
}

func newHandleLimiter(l *Limits) *handleLimiter {
	return &handleLimiter{limits: l, changed: make(chan struct{}), waiters: map[*refusalWaiter]struct{}{}, revocable: map[*openDir]struct{}{}}
}

// acquire waits until one more file may be opened.
func (h *handleLimiter) acquire(ctx context.Context) error {
	return h.await(ctx, false, func() bool {
		return h.available() && (h.maxFiles == 0 || h.inUse-h.dirsInUse < h.maxFiles)
	})
}

// acquireDir waits until one more directory may be opened. Directories take at most
// half of the handles, as their readers wait for files.
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

// available reports whether one more handle may be open. The caller holds h.mu.
func (h *handleLimiter) available() bool {
	limit := h.limits.openFiles.limit()
	return !h.exclusive && h.wantExclusive == 0 && (limit == 0 || h.inUse < limit)
}

// tryAcquire acquires a handle only if that is possible now. It is for handles that are
// of use but not needed: where the connection has a limit, it leaves half of the
// handles to others, and where each channel has one, all.
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

// acquireExclusive waits until no handle is in use, and keeps all others out. It gives
// up, with exclusive false, when enough returns true. It fails with errHandlesInUse if
// that takes longer than exclusiveWait, or did so within exclusivePause.
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

// pauseExclusive lets nobody wait to be the only one for a while.
func (h *handleLimiter) pauseExclusive(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noExclusiveUntil = now.Add(exclusivePause)
}

// refusalWaiter waits for fewer handles than at a refusal.
type refusalWaiter struct {
	refusal   openRefusal
	disproved bool
}

// awaitFewer waits until fewer handles are certainly open than at a refusal, enough
// returns true, or the refusal is disproved.
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

// await waits until allowed returns true, and counts one handle in. allowed is called
// under the lock. The listings' handles are revoked for a caller that wants to be the
// only one, and for every caller where a single handle is all there is.
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

// endExclusive lets others in again.
func (h *handleLimiter) endExclusive() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.exclusive = false
	h.signal()
}

// fileOpened notes that the server has opened a file whose handle was acquired.
func (h *handleLimiter) fileOpened() { h.handleOpened(false) }

// handleOpened is fileOpened for a file or a directory. It gives the counts of the
// other handles.
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

// release counts a file out that was closed.
func (h *handleLimiter) release() { h.put(false, true) }

// cancel counts a file out that was never opened.
func (h *handleLimiter) cancel() { h.put(false, false) }

// releaseDir counts a directory out that was closed.
func (h *handleLimiter) releaseDir() { h.put(true, true) }

// cancelDir counts a directory out that was never opened.
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

// addRevocable lets the handle of a directory be revoked. That happens at once where a
// single handle is all there is.
func (h *handleLimiter) addRevocable(d *openDir) {
	h.mu.Lock()
	h.revocable[d] = struct{}{}
	wanted := h.wantExclusive > 0 || h.limits.oneHandle()
	h.mu.Unlock()
	if wanted {
		h.revokeListings()
	}
}

// removeRevocable forgets a directory that is closed.
func (h *handleLimiter) removeRevocable(d *openDir) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.revocable, d)
}

// revokeListings closes the handles of all revocable listings.
func (h *handleLimiter) revokeListings() {
	h.mu.Lock()
	streams := h.revocable
	h.revocable = map[*openDir]struct{}{}
	h.mu.Unlock()
	for d := range streams {
		d.revoke()
	}
}

// handleCounts is a snapshot of a handleLimiter, and of what was learnt of limits.
type handleCounts struct{ totalAcquired, inUse, totalOpened, open, openFiles, limit, changes int }

// counts gives the snapshot of now.
func (h *handleLimiter) counts() handleCounts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.countsLocked()
}

func (h *handleLimiter) countsLocked() handleCounts {
	return handleCounts{h.totalAcquired, h.inUse, h.totalOpened, h.open, h.openFiles, h.limits.openFiles.limit(), h.limits.refusals.changes()}
}

// used is how many handles are in use.
func (h *handleLimiter) used() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inUse
}

func (h *handleLimiter) signal() {
	close(h.changed)
	h.changed = make(chan struct{})
}
