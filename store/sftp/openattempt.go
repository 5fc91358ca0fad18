package sftp

import (
	"context"
	"errors"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/store/sftp/wire"
)

const (
	// maxOpenTries is how often an OPEN is sent that may have met a limit.
	maxOpenTries = 6
	// maxExclusiveTries is how often the only OPEN is sent, to a server that is known
	// to refuse by number: other clients may use its handles up.
	maxExclusiveTries = 4
	// fewerHandlesWait bounds how long a refused OPEN waits for others to close, where
	// it cannot be the only one.
	fewerHandlesWait = time.Minute
)

// openLimited opens a file for reading or writing, on any channel, when the handle
// limiter allows it. A server may refuse it, with any status, while others are open. It
// is then tried without them: if that works, a limit may have been the reason. A limit
// is believed the second time, and remembered. Where others stay open for long, the try
// comes when fewer are open. A status that turned out to be the file's own is tried
// ever less often. Where a handle was given out that is open already
// (wire.ErrHandleReused), the session is limited to one handle and the file is opened
// again.
//
// open may be called several times, but not after it succeeded. otherReason, which may
// be nil, reports whether something else explains the failure. After an error the file
// is counted out; else the caller calls release once it is closed.
func (s *session) openLimited(ctx context.Context, open func() error, explained func() bool) error {
	return (&openAttempt{s: s, open: open, otherReason: explained}).run(ctx)
}

// openDirLimited is openLimited for a directory. The caller calls releaseDir.
func (s *session) openDirLimited(ctx context.Context, open func() error) error {
	return (&openAttempt{s: s, dir: true, open: open}).run(ctx)
}

// openAttempt is one file or directory that is to be opened.
type openAttempt struct {
	s           *session
	dir         bool
	open        func() error
	otherReason func() bool

	tries       int
	deadline    time.Time   // when it stops waiting for fewer handles; zero: it has not waited
	lastRefusal openRefusal // the refusal that it waited after; code 0: none
}

// openRefusal is how an OPEN was refused.
type openRefusal struct {
	code    uint32
	dir     bool         // it was an OPENDIR
	counts  handleCounts // what was certainly open
	changes int          // of the refusals' statistics, when it was sent
}

// disprovedBy reports whether the number of handles cannot be the reason, as another
// one was opened beside as many. A server may count files only.
func (r openRefusal) disprovedBy(others handleCounts, dir bool) bool {
	return (r.dir || !dir) && others.open >= max(1, r.counts.open) && others.openFiles >= r.counts.openFiles
}

func (a *openAttempt) run(ctx context.Context) error {
	for a.tries = 1; ; a.tries++ {
		before, err := a.acquire(ctx)
		if err != nil {
			return err
		}
		if err = a.open(); err == nil {
			a.succeed()
			return nil
		}
		after := a.s.handles.counts()
		a.fail()
		if errors.Is(err, wire.ErrHandleReused) {
			a.s.noteHandleReused()
			if a.tries < maxOpenTries {
				continue
			}
		}
		if !a.mayBeLimit(err, before, after) {
			return err
		}
		if after.limit != before.limit && a.tries < maxOpenTries { // the limit is known by now
			continue
		}
		again, err := a.retryExclusive(ctx, err, before, after)
		if !again {
			return err
		}
	}
}

func (a *openAttempt) acquire(ctx context.Context) (handleCounts, error) {
	enter := a.s.handles.acquire
	if a.dir {
		enter = a.s.handles.acquireDir
	}
	if err := enter(ctx); err != nil {
		return handleCounts{}, err
	}
	return a.s.handles.counts(), nil
}

// succeed notes that it is open. If it was refused before and is open now beside fewer
// handles, a limit may have been the reason.
func (a *openAttempt) succeed() {
	others := a.s.handles.handleOpened(a.dir)
	if a.lastRefusal.code != 0 && !a.lastRefusal.disprovedBy(others, a.dir) {
		a.s.limits.refusedByLimit(a.lastRefusal)
	}
}

func (a *openAttempt) fail() {
	if a.dir {
		a.s.handles.cancelDir()
	} else {
		a.s.handles.cancel()
	}
}

// mayBeLimit reports whether the other open handles may be the reason of a refusal.
func (a *openAttempt) mayBeLimit(err error, before, after handleCounts) bool {
	e, refused := errors.AsType[*wire.StatusError](err)
	if !refused {
		return false
	}
	r := &a.s.limits.refusals
	others := before.inUse > 1 || before.totalAcquired != after.totalAcquired
	if !others && !r.meansTooMany(e.Code) {
		return false
	}
	// OpenSSH reports a limit with this status, and means every other status as it is.
	if a.s.pool.first().wire().ordered && e.Code != wire.CodeFailure {
		return false
	}
	return r.worthRetrying(e.Code, after.open) && (a.otherReason == nil || !a.otherReason())
}

// retryExclusive tries once more with nothing else open, unless the wait for that takes
// too long. again tells that another try beside others is worth it.
func (a *openAttempt) retryExclusive(ctx context.Context, refusal error, before, after handleCounts) (again bool, err error) {
	h, limits := a.s.handles, a.s.limits
	r := openRefusal{statusCode(refusal), a.dir, after, before.changes}
	alone, err := h.acquireExclusive(ctx, a.dir, func() bool { return a.limitsChanged(before) })
	if errors.Is(err, errHandlesInUse) {
		return a.awaitFewerHandles(ctx, refusal, r, before)
	}
	if err != nil || !alone {
		return err == nil, err
	}
	if before.open == 0 && h.counts().totalOpened == before.totalOpened && !limits.refusals.meansTooMany(r.code) {
		a.fail() // nothing else was open
		return false, refusal
	}
	for n := 1; ; n++ {
		if err = a.open(); err == nil {
			limits.refusedByLimit(r)
			h.handleOpened(a.dir)
			h.endExclusive()
			return false, nil
		}
		if n == maxExclusiveTries || statusCode(err) != r.code || !limits.refusals.maybeOthers(r.code) {
			limits.refusals.notLimit(r.code)
			a.fail()
			return false, err
		}
		select {
		case <-time.After(backoff.Handle.Wait(n)):
		case <-ctx.Done():
			a.fail()
			return false, context.Cause(ctx)
		}
	}
}

// limitsChanged reports whether something was learnt of limits since then, so that
// another try beside others is worth it.
func (a *openAttempt) limitsChanged(since handleCounts) bool {
	l := a.s.limits
	return a.tries < maxOpenTries && (l.openFiles.limit() != since.limit || l.refusals.changes() != since.changes)
}

// awaitFewerHandles waits until fewer handles are open than at the refusal, and has the
// OPEN tried again. It does not keep others out meanwhile. If one of them is opened
// beside as many handles, their number is not the reason, and only some tries are left.
func (a *openAttempt) awaitFewerHandles(ctx context.Context, refusal error, r openRefusal, before handleCounts) (again bool, err error) {
	if a.deadline.IsZero() {
		a.deadline = time.Now().Add(fewerHandlesWait)
	}
	a.lastRefusal = r
	ctx, cancel := context.WithDeadlineCause(ctx, a.deadline, refusal)
	defer cancel()
	refuted, err := a.s.handles.awaitFewer(ctx, r, func() bool { return a.limitsChanged(before) })
	switch {
	case err != nil:
		return false, err
	case refuted && a.tries >= maxOpenTries:
		a.s.limits.refusals.notLimit(r.code)
		return false, refusal
	case refuted:
		a.lastRefusal = openRefusal{}
	default:
		a.tries-- // fewer are open each time, or the wait ends
	}
	return true, nil
}

// statusCode is the status of a refusal; 0 for other errors.
func statusCode(err error) uint32 {
	if e, ok := errors.AsType[*wire.StatusError](err); ok {
		return e.Code
	}
	return 0
}

// noteHandleReused notes that this server gives one handle out twice.
func (s *session) noteHandleReused() {
	s.limits.setChannelHandles(1)
	s.handles.revokeListings()
}
