package sftp

import (
	"context"
	"errors"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/store/sftp/wire"
)

const (
	// admissions is how often what may be a limit is tried again.
	admissions = 6
	// patience is how often one that is alone is tried on a server that is known to
	// refuse by number, which others than we may use up.
	patience = 4
	// roomWait bounds how long one that was refused waits for others to be closed,
	// where it cannot be alone.
	roomWait = time.Minute
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
func (s *session) admit(ctx context.Context, open func() error, explained func() bool) error {
	return (&admission{s: s, open: open, explained: explained}).run(ctx)
}

// admitDir is admit for a directory, which gate.leaveDir counts out.
func (s *session) admitDir(ctx context.Context, open func() error) error {
	return (&admission{s: s, dir: true, open: open}).run(ctx)
}

// admission is one file or directory on its way to be opened.
type admission struct {
	s         *session
	dir       bool
	open      func() error
	explained func() bool

	tries   int
	until   time.Time // the end of its waiting for room; zero: it has not waited
	refusal refused   // the last one that it waited after; none: code is 0
}

// refused is how an OPEN was refused.
type refused struct {
	code   uint32
	dir    bool // an OPENDIR, rather
	beside turn // what was open for sure
	noted  int  // of refusals, when it was sent
}

// refuted reports whether the number of handles cannot be why, as another one was
// opened beside as many. A server may count files only.
func (r refused) refuted(beside turn, dir bool) bool {
	return (r.dir || !dir) && beside.opened >= max(1, r.beside.opened) && beside.files >= r.beside.files
}

func (a *admission) run(ctx context.Context) error {
	for a.tries = 1; ; a.tries++ {
		before, err := a.enter(ctx)
		if err != nil {
			return err
		}
		if err = a.open(); err == nil {
			a.succeed()
			return nil
		}
		after := a.s.gate.now()
		a.fail()
		if errors.Is(err, wire.ErrHandleReused) {
			a.s.reused()
			if a.tries < admissions {
				continue
			}
		}
		if !a.maybeLimit(err, before, after) {
			return err
		}
		if after.limit != before.limit && a.tries < admissions { // it is known by now
			continue
		}
		again, err := a.alone(ctx, err, before, after)
		if !again {
			return err
		}
	}
}

func (a *admission) enter(ctx context.Context) (turn, error) {
	enter := a.s.gate.enter
	if a.dir {
		enter = a.s.gate.enterDir
	}
	if err := enter(ctx); err != nil {
		return turn{}, err
	}
	return a.s.gate.now(), nil
}

// succeed notes that it is open. What was refused, and works with less open, may have
// met a limit.
func (a *admission) succeed() {
	beside := a.s.gate.begin(a.dir)
	if a.refusal.code != 0 && !a.refusal.refuted(beside, a.dir) {
		a.s.limits.limited(a.refusal)
	}
}

func (a *admission) fail() {
	if a.dir {
		a.s.gate.failDir()
	} else {
		a.s.gate.fail()
	}
}

// maybeLimit reports whether a refusal may be due to what else was open.
func (a *admission) maybeLimit(err error, before, after turn) bool {
	e, refused := errors.AsType[*wire.StatusError](err)
	if !refused {
		return false
	}
	r := &a.s.limits.refusals
	others := before.in > 1 || before.entered != after.entered
	if !others && !r.byNumber(e.Code) {
		return false
	}
	// OpenSSH says so with this one, and means what it says with all others.
	if a.s.pool.first().wire().ordered && e.Code != wire.CodeFailure {
		return false
	}
	return r.suspect(e.Code, after.opened) && (a.explained == nil || !a.explained())
}

// alone tries once more with nothing else open, unless that takes too long. again
// says that it is worth another try beside others.
func (a *admission) alone(ctx context.Context, refusal error, before, after turn) (again bool, err error) {
	g, limits := a.s.gate, a.s.limits
	r := refused{codeOf(refusal), a.dir, after, before.noted}
	alone, err := g.enterAlone(ctx, a.dir, func() bool { return a.learnt(before) })
	if errors.Is(err, errBusy) {
		return a.awaitRoom(ctx, refusal, r, before)
	}
	if err != nil || !alone {
		return err == nil, err
	}
	if before.opened == 0 && g.now().begun == before.begun && !limits.refusals.byNumber(r.code) {
		a.fail() // nothing was open beside it
		return false, refusal
	}
	for n := 1; ; n++ {
		if err = a.open(); err == nil {
			limits.limited(r)
			g.begin(a.dir)
			g.share()
			return false, nil
		}
		if n == patience || codeOf(err) != r.code || !limits.refusals.byOthers(r.code) {
			limits.refusals.own(r.code)
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

// learnt reports whether something was learnt of limits since then that makes another
// try beside others worth it.
func (a *admission) learnt(since turn) bool {
	l := a.s.limits
	return a.tries < admissions && (l.openFiles.most() != since.limit || l.refusals.noted() != since.noted)
}

// awaitRoom waits until less is open than when it was refused, and has it try again
// then. Others are not kept out meanwhile: when one of them is opened beside as much,
// the number is not why, and it has some tries left.
func (a *admission) awaitRoom(ctx context.Context, refusal error, r refused, before turn) (again bool, err error) {
	if a.until.IsZero() {
		a.until = time.Now().Add(roomWait)
	}
	a.refusal = r
	ctx, cancel := context.WithDeadlineCause(ctx, a.until, refusal)
	defer cancel()
	refuted, err := a.s.gate.awaitRoom(ctx, r, func() bool { return a.learnt(before) })
	switch {
	case err != nil:
		return false, err
	case refuted && a.tries >= admissions:
		a.s.limits.refusals.own(r.code)
		return false, refusal
	case refuted:
		a.refusal = refused{}
	default:
		a.tries-- // there is less open each time, or its waiting ends
	}
	return true, nil
}

// codeOf is the status of a refusal; 0 for other errors.
func codeOf(err error) uint32 {
	if e, ok := errors.AsType[*wire.StatusError](err); ok {
		return e.Code
	}
	return 0
}

// reused notes that this server gives one handle out twice.
func (s *session) reused() {
	s.limits.limitChannel(1)
	s.gate.revoke()
}
