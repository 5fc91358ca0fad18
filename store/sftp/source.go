package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Source is a directory on a server and all below it, over one connection. It
// is a sync.Source, a sync.Linker and a sync.Consumer. Once the connection is
// lost it stays so: all calls then answer with a *status.Error, and another
// Source has to be opened.
type Source struct {
	*session
	control *control

	realMu   sync.Mutex
	realRoot string // the root with its links resolved, once it is known
}

var (
	_ filesync.Source   = (*Source)(nil)
	_ filesync.Linker   = (*Source)(nil)
	_ filesync.Locator  = (*Source)(nil)
	_ filesync.Consumer = (*Source)(nil)
)

// Open connects to the server and starts SFTP. It reports the stages up to and
// with "sftp" to observe; Probe does the work of the stage "list". Every error
// is a *status.Error. ctx has no hold on the Source afterwards.
func Open(ctx context.Context, cfg Config, observe status.Observer) (*Source, error) {
	s := new(Source)
	session, err := openSession(ctx, cfg, observe, s.start)
	if err != nil {
		return nil, err
	}
	s.session = session
	return s, nil
}

// start opens the control channel and the first data channel, if the server
// takes one beside it.
func (s *Source) start(ctx context.Context, on *session) error {
	s.session = on
	var err error
	switch {
	case !s.pool.mayGrow():
		err = s.startControl(ctx)
	case s.limits.oneByOne.Load():
		err = s.startInTurn(ctx)
	default:
		err = s.startTogether(ctx)
	}
	if err != nil {
		return err
	}
	own := s.control.lane()
	s.beside = []*lane{own}
	known := s.control.session.Extensions()
	s.extension = func(name string) bool {
		_, ok := known[name]
		return ok
	}
	if len(s.pool.lanes) == 0 {
		s.pool.lanes = []*lane{own}
		s.pool.max = 0
	}
	return nil
}

// startInTurn opens the data channel when the control channel stands.
func (s *Source) startInTurn(ctx context.Context) error {
	if err := s.startControl(ctx); err != nil {
		return err
	}
	s.pool.opening++
	if _, err := s.pool.grow(ctx); ctx.Err() != nil || errors.Is(err, errDropped) {
		return s.startError(ctx, err)
	}
	return nil
}

// startTogether opens both at once, which saves round trips.
func (s *Source) startTogether(ctx context.Context) error {
	known := s.limits.channels.Load()
	grown := make(chan error, 1)
	s.pool.opening++
	go func() {
		_, err := s.pool.grow(ctx)
		grown <- err
	}()
	err := s.startControl(ctx)
	data := <-grown
	switch {
	case ctx.Err() != nil:
		return s.startError(ctx, cmp.Or(err, data))
	case errors.Is(data, errDropped), err != nil && data == nil:
		s.limits.oneByOne.Store(true)
		return fmt.Errorf("%w: %w", errTogether, cmp.Or(err, data))
	case err != nil:
		s.limits.channels.Store(known) // it was no channel too many that failed
	}
	return err
}

// startControl opens the control channel.
func (s *Source) startControl(ctx context.Context) error {
	l, err := s.dialLane(ctx)
	if err != nil {
		return s.startError(ctx, err)
	}
	s.control = &control{wirePort: l.wire(), meter: l.meter}
	return nil
}

// Probe opens the root directory and reads the beginning of it. The error is a
// *status.Error: SourceDirectoryNotFound, PermissionDenied, or one of the connection.
func (s *Source) Probe(ctx context.Context) error {
	var err error
	for _, err = range s.List(ctx, "") {
		break
	}
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*status.Error](err); ok {
		return err
	}
	root := s.path("")
	e := &status.Error{Word: status.SourceDirectoryNotFound, Op: "list", Target: shown(root), Err: errors.Unwrap(err)}
	switch {
	case ctx.Err() != nil:
		e.Word = status.ConnectionTimedOut
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, fs.ErrPermission):
		e.Word = status.PermissionDenied
	default:
		a, err := s.control.statPath(ctx, root)
		if err == nil && a.typed && !a.mode.IsDir() {
			e.Err = errors.New("it is not a directory")
		} else if errors.Is(err, fs.ErrPermission) {
			e.Word = status.PermissionDenied
		}
	}
	return e
}
