package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"sftpconnector/sshclient"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Source is a directory on a server and everything below it, over one connection. It is
// a sync.Source, a sync.Linker and a sync.Consumer. A Source whose connection is lost
// stays lost: all calls then answer with a *status.Error, and the caller has to open
// another one.
type Source struct {
	*session
	control *control

	relisting relisting

	realMu   sync.Mutex
	realRoot string // the root with its links resolved, once it is known
}

var (
	_ filesync.Source   = (*Source)(nil)
	_ filesync.Linker   = (*Source)(nil)
	_ filesync.Locator  = (*Source)(nil)
	_ filesync.Consumer = (*Source)(nil)
	_ filesync.Relister = (*Source)(nil)
)

// Open connects to the server and starts SFTP. It reports the stages up to "sftp" to
// observe; Probe does the work of the stage "list". Every error is a *status.Error. ctx
// does not bind the Source afterwards.
func Open(ctx context.Context, cfg Config, observe status.Observer) (*Source, error) {
	s := new(Source)
	if _, err := openSession(ctx, cfg, observe, s.start); err != nil { // start keeps the session
		return nil, err
	}
	return s, nil
}

// start opens the control channel and the first data channel, if the server allows one
// beside it.
func (s *Source) start(ctx context.Context, on *session) error {
	s.session = on
	var err error
	switch {
	case !s.pool.mayGrow():
		err = s.startControl(ctx)
	case s.limits.openInTurn.Load():
		err = s.startInTurn(ctx)
	default:
		err = s.startTogether(ctx)
	}
	if err != nil {
		return err
	}
	own := s.control.dataChannel()
	s.extraChannels = []*dataChannel{own}
	known := s.control.session.Extensions()
	s.extension = func(name string) bool {
		_, ok := known[name]
		return ok
	}
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if len(s.pool.channels) == 0 {
		s.pool.channels = []*dataChannel{own}
		s.oneChannel = true
	}
	return nil
}

// startInTurn opens the data channel after the control channel.
func (s *Source) startInTurn(ctx context.Context) error {
	if err := s.startControl(ctx); err != nil {
		return err
	}
	s.pool.opening++
	_, err := s.pool.grow(ctx)
	switch {
	case ctx.Err() != nil:
		return s.startError(ctx, err)
	case errors.Is(err, errLostOpening):
		return fmt.Errorf("%w: %w", errLostOpening, s.startError(ctx, err))
	}
	return nil
}

// startTogether opens both channels at once, which saves round trips. The one that the
// server answers first becomes the control channel.
func (s *Source) startTogether(ctx context.Context) error {
	life, cancel := context.WithCancel(s.ctx)
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	came := make(chan openResult, 2)
	began := time.Now()
	on := s.session // another start may replace it meanwhile
	for range 2 {
		go func() {
			ch, err := on.openDataChannel(life)
			came <- openResult{ch, err}
		}()
	}
	first := <-came
	if first.err == nil {
		s.setControl(first.channel)
		return s.awaitDataChannel(ctx, came, max(dataChannelWait, 2*time.Since(began)))
	}
	second := <-came
	switch {
	case ctx.Err() != nil:
		return s.startError(ctx, first.err)
	case second.err == nil && errors.Is(first.err, sshclient.ErrNoChannel):
		s.setControl(second.channel)
		s.pool.finishOpening(ctx, first)
		return nil
	case second.err == nil, errors.Is(first.err, errLostOpening), errors.Is(second.err, errLostOpening):
		return s.noteNotTogether(ctx, first)
	}
	return s.startError(ctx, second.err)
}

// noteNotTogether remembers that two channels could not be opened at once.
func (s *Source) noteNotTogether(ctx context.Context, failed openResult) error {
	s.limits.openInTurn.Store(true)
	if errors.Is(failed.err, errLostOpening) {
		s.pool.finishOpening(ctx, failed)
	}
	return fmt.Errorf("%w: %w", errOpenedTogether, failed.err)
}

// dataChannelWait is how long the start waits, at least, for the data channel. Some
// servers never answer for a second channel.
const dataChannelWait = 2 * time.Second

// awaitDataChannel waits for the first data channel, and goes on without it after
// patience. A channel that comes later is added.
func (s *Source) awaitDataChannel(ctx context.Context, came <-chan openResult, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case data := <-came:
		if errors.Is(data.err, errLostOpening) {
			return s.noteNotTogether(ctx, data)
		}
		s.pool.finishOpening(ctx, data)
	case <-timer.C:
		on := s.session
		known := on.limits.channels.Load()
		on.limits.setDataChannels(0)
		go func() {
			if data := <-came; data.err == nil {
				on.limits.channels.Store(known)
				on.pool.finishOpening(on.ctx, data)
			}
		}()
	case <-ctx.Done():
		return s.startError(ctx, context.Cause(ctx))
	}
	return nil
}

// startControl opens the control channel.
func (s *Source) startControl(ctx context.Context) error {
	ch, err := s.openDataChannel(ctx)
	if err != nil {
		return s.startError(ctx, err)
	}
	s.setControl(ch)
	return nil
}

func (s *Source) setControl(ch *dataChannel) {
	s.control = &control{wireChannel: ch.wire(), conn: ch.conn, meter: ch.meter}
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
