package transfer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"sync"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// How often a lost connection is opened again before the passes give up: in a
// row, where a file that arrives starts the count anew, and in all. A server
// that falls silent after each file would hold a pass for days otherwise.
const (
	maxReopens    = 3
	maxAllReopens = 20
)

// OpenSource opens a source.
type OpenSource func(ctx context.Context) (filesync.Source, error)

// ReopeningSource is a source whose connection is opened again when it is lost. Stat and
// Relist and the like are asked again then; Fetch and List are not, as their callers know
// how far they came: they see ErrReopened once the new connection stands. RemoveIf and
// MoveIf are tried once. It may be used concurrently.
type ReopeningSource struct {
	open    OpenSource
	release func(s filesync.Source, lost bool)
	onLost  func(error) // of a loss, and with nil of its end

	mu      sync.Mutex
	current filesync.Source
	given   bool          // current was given back
	opening chan struct{} // closed when the opening that is under way has ended; nil: none is
	gen     int
	left    int   // in a row
	all     int   // left in all
	err     error // why no further connection can be had
}

// NewReopeningSource takes a source that is open. open opens another one; release, which
// may be nil, takes one back instead of its Close, lost if its connection is; onLost,
// which may be nil, is told of a loss, and with nil of its end.
func NewReopeningSource(first filesync.Source, open OpenSource, release func(s filesync.Source, lost bool), onLost func(error)) *ReopeningSource {
	if release == nil {
		release = func(s filesync.Source, _ bool) { s.Close() }
	}
	if onLost == nil {
		onLost = func(error) {}
	}
	return &ReopeningSource{open: open, release: release, onLost: onLost, current: first, left: maxReopens, all: maxAllReopens}
}

// ErrReopened: the connection was lost, and another one stands. What was read is to be
// asked for again, from where it came.
var ErrReopened = errors.New("the connection was lost and opened again")

// lost reports whether err says that the source's connection, not the file, is
// at fault. What Fetch hands on from its writer may be the destination's.
func lost(err error) bool {
	return (status.Is(err, status.ConnectionLost) || status.Is(err, status.ConnectionTimedOut)) && !errors.Is(err, filesync.ErrDisconnected)
}

func (s *ReopeningSource) source() (filesync.Source, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.gen, s.err
}

// arrived notes that the connection is of use.
func (s *ReopeningSource) arrived() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = maxReopens
}

// reopen replaces the connection of generation gen, once for all who lost it.
// It answers with why none can be had.
func (s *ReopeningSource) reopen(ctx context.Context, gen int, why error) error {
	for {
		s.mu.Lock()
		switch opening := s.opening; {
		case s.err != nil:
			defer s.mu.Unlock()
			return s.err
		case s.gen != gen:
			s.mu.Unlock()
			return nil
		case opening != nil:
			s.mu.Unlock()
			select {
			case <-opening:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		default:
			s.opening = make(chan struct{})
			s.mu.Unlock()
			return s.replace(ctx, why)
		}
	}
}

// replace opens another connection in the place of the one that was lost. It is called
// by one at a time.
func (s *ReopeningSource) replace(ctx context.Context, why error) error {
	s.giveBack(true)
	s.onLost(why)
	next, err := s.dial(ctx, why)
	s.mu.Lock()
	switch {
	case err == nil:
		s.current, s.gen, s.given = next, s.gen+1, false
	case ctx.Err() == nil:
		s.err = err
	}
	close(s.opening)
	s.opening = nil
	s.mu.Unlock()
	if err == nil {
		s.onLost(nil)
	}
	return err
}

// dial tries to open a connection, with growing pauses, while that may help.
func (s *ReopeningSource) dial(ctx context.Context, why error) (filesync.Source, error) {
	for n := 1; ; n++ {
		if !s.mayDial() {
			return nil, why
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(backoff.Connection.Wait(n)):
		}
		next, err := s.open(ctx)
		if err == nil {
			return next, nil
		}
		if !retriable(err) {
			return nil, err
		}
		why = err
	}
}

// mayDial counts one more opening of the connection, if there may be one.
func (s *ReopeningSource) mayDial() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 || s.all == 0 {
		return false
	}
	s.left--
	s.all--
	return true
}

// retriable reports whether dialling again soon may help; a refused password
// or an unknown host key is never tried again in the same pass.
func retriable(err error) bool {
	switch status.Of(err) {
	case status.ConnectionLost, status.ConnectionTimedOut, status.ConnectionRefused:
		return true
	}
	return false
}

// do runs f, and once more on a new connection each time it is lost.
func (s *ReopeningSource) do(ctx context.Context, f func(filesync.Source) error) error {
	for {
		current, gen, err := s.source()
		if err != nil {
			return err
		}
		err = f(current)
		if !lost(err) || ctx.Err() != nil {
			return err
		}
		if err := s.reopen(ctx, gen, err); err != nil {
			return err
		}
	}
}

// List lists dir on the connection that stands. When that is lost midway, the
// error is ErrReopened if another one stands now, so that the caller may list again.
func (s *ReopeningSource) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		current, gen, err := s.source()
		if err != nil {
			yield(filesync.Entry{}, err)
			return
		}
		for e, err := range current.List(ctx, dir) {
			if lost(err) && ctx.Err() == nil {
				if err = s.reopen(ctx, gen, err); err == nil {
					err = ErrReopened
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Fetch is like List: ErrReopened asks the caller to go on from where it is.
func (s *ReopeningSource) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	current, gen, err := s.source()
	if err != nil {
		return filesync.Entry{}, err
	}
	got, err := current.Fetch(ctx, e, from, w)
	if lost(err) && ctx.Err() == nil {
		if err = s.reopen(ctx, gen, err); err == nil {
			err = ErrReopened
		}
	}
	return got, err
}

// Link has a file of this machine get another name, as a LocalSource does. The error is
// errors.ErrUnsupported where the source has none, or its connection is lost: then the
// file is to be fetched.
func (s *ReopeningSource) Link(ctx context.Context, e filesync.Entry, link func(path string) error) (filesync.Entry, error) {
	current, _, err := s.source()
	if err != nil {
		return filesync.Entry{}, err
	}
	l, ok := current.(filesync.LocalSource)
	if !ok {
		return filesync.Entry{}, errors.ErrUnsupported
	}
	got, err := l.Link(ctx, e, link)
	if lost(err) {
		err = errors.ErrUnsupported
	}
	return got, err
}

// Stat implements filesync.Source.
func (s *ReopeningSource) Stat(ctx context.Context, names []string) (stats []filesync.StatResult, err error) {
	err = s.do(ctx, func(current filesync.Source) error {
		stats, err = current.Stat(ctx, names)
		return err
	})
	return stats, err
}

// Vanished reports whether the source has the file no more. Some servers list
// names that they cannot open.
func (s *ReopeningSource) Vanished(ctx context.Context, e filesync.Entry) bool {
	stats, err := s.Relist(ctx, []filesync.Entry{e})
	return err == nil && errors.Is(stats[0].Err, fs.ErrNotExist)
}

// Relist asks by name where the source tells of a file in one way only.
func (s *ReopeningSource) Relist(ctx context.Context, entries []filesync.Entry) (stats []filesync.StatResult, err error) {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	err = s.do(ctx, func(current filesync.Source) error {
		if again, ok := current.(filesync.Relister); ok {
			stats, err = again.Relist(ctx, entries)
		} else {
			stats, err = current.Stat(ctx, names)
		}
		return err
	})
	return stats, err
}

// Resolve follows a symbolic link, as a Linker does; errors.ErrUnsupported where there
// are none.
func (s *ReopeningSource) Resolve(ctx context.Context, e filesync.Entry) (target filesync.Entry, real string, err error) {
	err = s.do(ctx, func(current filesync.Source) error {
		l, ok := current.(filesync.Linker)
		if !ok {
			return errors.ErrUnsupported
		}
		target, real, err = l.Resolve(ctx, e)
		return err
	})
	return target, real, err
}

// Locate finds a directory, as a Locator does; errors.ErrUnsupported where the source
// cannot tell.
func (s *ReopeningSource) Locate(ctx context.Context, dir string) (name string, inside bool, err error) {
	err = s.do(ctx, func(current filesync.Source) error {
		l, ok := current.(filesync.Locator)
		if !ok {
			return errors.ErrUnsupported
		}
		name, inside, err = l.Locate(ctx, dir)
		return err
	})
	return name, inside, err
}

// RemoveIf is tried once, as is MoveIf: after a lost connection nobody knows
// whether they were done, and only the next listing can tell.
func (s *ReopeningSource) RemoveIf(ctx context.Context, e filesync.Entry) error {
	return s.consume(ctx, func(c filesync.Consumer) error { return c.RemoveIf(ctx, e) })
}

// MoveIf moves a file as RemoveIf removes it.
func (s *ReopeningSource) MoveIf(ctx context.Context, e filesync.Entry, dir string) error {
	return s.consume(ctx, func(c filesync.Consumer) error { return c.MoveIf(ctx, e, dir) })
}

func (s *ReopeningSource) consume(ctx context.Context, f func(filesync.Consumer) error) error {
	current, gen, err := s.source()
	if err != nil {
		return filesync.Untouched(err)
	}
	c, ok := current.(filesync.Consumer)
	if !ok {
		return filesync.Untouched(errors.ErrUnsupported)
	}
	if err = f(c); lost(err) && ctx.Err() == nil {
		_ = s.reopen(ctx, gen, err) // for those that come after
	}
	return err
}

// Close gives the connection back.
func (s *ReopeningSource) Close() error {
	s.giveBack(false)
	return nil
}

// giveBack gives the connection that stands, or stood, back, once.
func (s *ReopeningSource) giveBack(lost bool) {
	s.mu.Lock()
	current, given := s.current, s.given
	s.given = true
	s.mu.Unlock()
	if !given {
		s.release(current, lost)
	}
}
