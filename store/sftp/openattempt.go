package sftp

import (
	"context"
	"errors"
	"time"

	"sftpconnector/store/sftp/wire"
)

const (
	// admissions is how often what may be a limit is tried again.
	maxOpenTries = 6
	// patience is how often one that is alone is tried on a server that is known to
	// refuse by number, which others than we may use up.
	maxExclusiveTries = 4
	// patienceStep is the first wait between those, each of which is twice the one before.
	exclusiveRetryDelay = 100 * time.Millisecond
	// roomWait bounds how long one that was refused waits for others to be closed,
	// where it cannot be alone.
	fewerHandlesWait = time.Minute
)

// admit has a file opened when the gate lets it in, for reading or for writing, on
// whatever channel. A server that refuses it while others are open, with whatever
// status, gets another chance without them: what works then may have been a limit,
// which is believed the second time and remembered. Where some of them stay open for
// long, that chance comes when fewer are. Statuses that were the file's own get it
// ever less often. A handle that was open already (wire.ErrHandleReused) is asked for again, when its
// session has one handle at a time.
//
// open is called several times, but never again after it succeeded. explained,
// which may be nil, reports whether there is another reason for the failure. After
// an error the file is counted out; else gate.leave does that, once it is closed.
func (s *session) openLimited(ctx context.Context, open func() error, explained func() bool) error {
	return (&openAttempt{s: s, open: open, otherReason: explained}).run(ctx)
}

// admitDir is admit for a directory, which gate.leaveDir counts out.
func (s *session) openDirLimited(ctx context.Context, open func() error) error {
	return (&openAttempt{s: s, dir: true, open: open}).run(ctx)
}

// admission is one file or directory on its way to be opened.
type openAttempt struct {
	s           *session
	dir         bool
	open        func() error
	otherReason func() bool

	tries       int
	deadline    time.Time   // the end of its waiting for room; zero: it has not waited
	lastRefusal openRefusal // the last one that it waited after; none: code is 0
}

// refused is how an OPEN was refused.
type openRefusal struct {
	code    uint32
	dir     bool         // an OPENDIR, rather
	counts  handleCounts // what was open for sure
	changes int          // of refusals, when it was sent
}

// refuted reports whether the number of handles cannot be why, as another one was
// opened beside as many. A server may count files only.
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
		if after.limit != before.limit && a.tries < maxOpenTries { // it is known by now
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

// succeed notes that it is open. What was refused, and works with less open, may have
// met a limit.
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

// maybeLimit reports whether a refusal may be due to what else was open.
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
	// OpenSSH says so with this one, and means what it says with all others.
	if a.s.pool.first().wire().ordered && e.Code != wire.CodeFailure {
		return false
	}
	return r.worthRetrying(e.Code, after.open) && (a.otherReason == nil || !a.otherReason())
}

// alone tries once more with nothing else open, unless that takes too long. again
// says that it is worth another try beside others.
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
		a.fail() // nothing was open beside it
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
		case <-time.After(exclusiveRetryDelay << (n - 1)):
		case <-ctx.Done():
			a.fail()
			return false, context.Cause(ctx)
		}
	}
}

// learnt reports whether something was learnt of limits since then that makes another
// try beside others worth it.
func (a *openAttempt) limitsChanged(since handleCounts) bool {
	l := a.s.limits
	return a.tries < maxOpenTries && (l.openFiles.limit() != since.limit || l.refusals.changes() != since.changes)
}

// awaitRoom waits until less is open than when it was refused, and has it try again
// then. Others are not kept out meanwhile: when one of them is opened beside as much,
// the number is not why, and it has some tries left.
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
		a.tries-- // there is less open each time, or its waiting ends
	}
	return true, nil
}

// codeOf is the status of a refusal; 0 for other errors.
func statusCode(err error) uint32 {
	if e, ok := errors.AsType[*wire.StatusError](err); ok {
		return e.Code
	}
	return 0
}

// reused notes that this server gives one handle out twice.
func (s *session) noteHandleReused() {
	s.limits.setChannelHandles(1)
	s.handles.revokeListings()
}
