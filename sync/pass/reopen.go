package pass

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// How often a lost connection is opened again before the pass gives up: in a
// row, where a file that arrives starts the count anew, and in all. A server
// that falls silent after each file would hold the pass for days otherwise.
const (
	maxReopens    = 3
	maxAllReopens = 20
)

// OpenSource opens a source.
type OpenSource func(ctx context.Context) (filesync.Source, error)

// reopening is a Source that opens another one when the connection is lost.
// Stat, RemoveIf and the others are asked again; Fetch and List are not, as
// their callers know how far they came: they see ErrLost only once the new
// connection stands.
type reopening struct {
	open    OpenSource
	release func(s filesync.Source, lost bool)
	told    func(error) // of a loss, and with nil of its end

	mu    sync.Mutex
	cur   filesync.Source
	given bool // cur was given back
	gen   int
	left  int   // in a row
	all   int   // left in all
	err   error // why no further connection can be had
}

func newReopening(first filesync.Source, open OpenSource, o Options) *reopening {
	r := &reopening{open: open, release: o.Release, told: o.OnLost, cur: first, left: maxReopens, all: maxAllReopens}
	if r.release == nil {
		r.release = func(s filesync.Source, _ bool) { s.Close() }
	}
	if r.told == nil {
		r.told = func(error) {}
	}
	return r
}

// lost reports whether err says that the source's connection, not the file, is
// at fault. What Fetch hands on from its writer may be the destination's.
func lost(err error) bool {
	return (status.Is(err, status.ConnectionLost) || status.Is(err, status.ConnectionTimedOut)) && !errors.Is(err, filesync.ErrDisconnected)
}

func (r *reopening) source() (filesync.Source, int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cur, r.gen, r.err
}

// arrived notes that the connection is of use.
func (r *reopening) arrived() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = maxReopens
}

// reopen replaces the connection of generation gen, once for all who lost it.
// It answers with why none can be had.
func (r *reopening) reopen(ctx context.Context, gen int, why error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	if r.gen != gen {
		return nil
	}
	r.give(true)
	r.told(why)
	for wait := time.Second; ; wait *= 2 {
		if r.left == 0 || r.all == 0 {
			r.err = why
			return why
		}
		r.left--
		r.all--
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		s, err := r.open(ctx)
		if err == nil {
			r.cur, r.gen, r.given = s, r.gen+1, false
			r.told(nil)
			return nil
		}
		if !retriable(err) {
			r.err = err
			return err
		}
		why = err
	}
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
func (r *reopening) do(ctx context.Context, f func(filesync.Source) error) error {
	for {
		s, gen, err := r.source()
		if err != nil {
			return err
		}
		err = f(s)
		if !lost(err) || ctx.Err() != nil {
			return err
		}
		if err := r.reopen(ctx, gen, err); err != nil {
			return err
		}
	}
}

// List lists dir on the connection that stands. When that is lost midway, the
// error is errReopened if another one stands now, so that the caller may list again.
func (r *reopening) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		s, gen, err := r.source()
		if err != nil {
			yield(filesync.Entry{}, err)
			return
		}
		for e, err := range s.List(ctx, dir) {
			if lost(err) && ctx.Err() == nil {
				if err = r.reopen(ctx, gen, err); err == nil {
					err = errReopened
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// errReopened: the connection was lost, and another one stands.
var errReopened = errors.New("the connection was lost and opened again")

// Fetch is like List: errReopened asks the caller to go on from where it is.
func (r *reopening) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	s, gen, err := r.source()
	if err != nil {
		return filesync.Entry{}, err
	}
	got, err := s.Fetch(ctx, e, from, w)
	if lost(err) && ctx.Err() == nil {
		if err = r.reopen(ctx, gen, err); err == nil {
			err = errReopened
		}
	}
	return got, err
}

func (r *reopening) Stat(ctx context.Context, names []string) (looks []filesync.Look, err error) {
	err = r.do(ctx, func(s filesync.Source) error {
		looks, err = s.Stat(ctx, names)
		return err
	})
	return looks, err
}

// Relist asks by name where the source tells of a file in one way only.
func (r *reopening) Relist(ctx context.Context, entries []filesync.Entry) (looks []filesync.Look, err error) {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	err = r.do(ctx, func(s filesync.Source) error {
		if again, ok := s.(filesync.Relister); ok {
			looks, err = again.Relist(ctx, entries)
		} else {
			looks, err = s.Stat(ctx, names)
		}
		return err
	})
	return looks, err
}

func (r *reopening) Resolve(ctx context.Context, e filesync.Entry) (target filesync.Entry, real string, err error) {
	err = r.do(ctx, func(s filesync.Source) error {
		l, ok := s.(filesync.Linker)
		if !ok {
			return errors.ErrUnsupported
		}
		target, real, err = l.Resolve(ctx, e)
		return err
	})
	return target, real, err
}

func (r *reopening) Locate(ctx context.Context, dir string) (name string, inside bool, err error) {
	err = r.do(ctx, func(s filesync.Source) error {
		l, ok := s.(filesync.Locator)
		if !ok {
			return errors.ErrUnsupported
		}
		name, inside, err = l.Locate(ctx, dir)
		return err
	})
	return name, inside, err
}

// RemoveIf and MoveIf are tried once: after a lost connection nobody knows
// whether they were done, and only the next listing can tell.
func (r *reopening) RemoveIf(ctx context.Context, e filesync.Entry) error {
	return r.consume(ctx, func(c filesync.Consumer) error { return c.RemoveIf(ctx, e) })
}

func (r *reopening) MoveIf(ctx context.Context, e filesync.Entry, dir string) error {
	return r.consume(ctx, func(c filesync.Consumer) error { return c.MoveIf(ctx, e, dir) })
}

func (r *reopening) consume(ctx context.Context, f func(filesync.Consumer) error) error {
	s, gen, err := r.source()
	if err != nil {
		return filesync.Untouched(err)
	}
	c, ok := s.(filesync.Consumer)
	if !ok {
		return filesync.Untouched(errors.ErrUnsupported)
	}
	if err = f(c); lost(err) && ctx.Err() == nil {
		r.reopen(ctx, gen, err) // for those that come after
	}
	return err
}

func (r *reopening) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.give(false)
	return nil
}

// give gives the connection that stands, or stood, back, once. The caller holds r.mu.
func (r *reopening) give(lost bool) {
	if !r.given {
		r.given = true
		r.release(r.cur, lost)
	}
}
