package sftp

import (
	"context"
	"errors"
	"time"

	"sftpconnector/store/sftp/wire"
)

const (
	// admissions is how often what may be a limit is tried again.
	admissions = 6
	// patience is how often one that is alone is tried on a server that is known to
	// refuse by number, which others than we may use up.
	patience = 4
	// patienceStep is the first wait between those, each of which is twice the one before.
	patienceStep = 100 * time.Millisecond
)

// admit has a file opened when the gate lets it in, for reading or for writing, on
// whatever channel. A server that refuses it while others are open, with whatever
// status, gets another chance without them: what works then was a limit, which is
// remembered. Statuses that were the file's own get that chance ever less often. A
// handle that was open already (wire.ErrHandleReused) is asked for again, when its
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
}

func (a *admission) run(ctx context.Context) error {
	for try := 1; ; try++ {
		before, err := a.enter(ctx)
		if err != nil {
			return err
		}
		if err = a.open(); err == nil {
			a.s.gate.succeed()
			return nil
		}
		after := a.s.gate.now()
		a.fail()
		if errors.Is(err, wire.ErrHandleReused) {
			a.s.reused()
			if try < admissions {
				continue
			}
		}
		if !a.maybeLimit(err, before, after) {
			return err
		}
		if after.limit != before.limit && try < admissions { // it is known by now
			continue
		}
		again, err := a.alone(ctx, err, before, after, try < admissions)
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

// alone tries once more with nothing else open. again says that the limit has
// become known before it came to that, if mayAgain allows it.
func (a *admission) alone(ctx context.Context, refusal error, before, after turn, mayAgain bool) (again bool, err error) {
	g, limits := a.s.gate, a.s.limits
	code := codeOf(refusal)
	alone, err := g.enterAlone(ctx, a.dir, func() bool {
		return mayAgain && limits.openFiles.most() != before.limit
	})
	if err != nil || !alone {
		return err == nil, err
	}
	if before.opened == 0 && g.now().begun == before.begun && !limits.refusals.byNumber(code) {
		a.fail() // nothing was open beside it
		return false, refusal
	}
	for n := 1; ; n++ {
		if err = a.open(); err == nil {
			limits.refusals.limit(code)
			limits.openFiles.lower(max(1, after.opened))
			g.succeed()
			g.share()
			return false, nil
		}
		if n == patience || codeOf(err) != code || !limits.refusals.byOthers(code) {
			limits.refusals.own(code)
			a.fail()
			return false, err
		}
		select {
		case <-time.After(patienceStep << (n - 1)):
		case <-ctx.Done():
			a.fail()
			return false, context.Cause(ctx)
		}
	}
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
