package sftp

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sftpconnector/backoff"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/wire"
)

const (
	sweepers   = 16
	sweepDepth = 128 // levels of directories
)

// Sweep implements sync.Destination. It lists the whole directory, without following
// links. It leaves what the server denies to list or remove. What fails for another
// reason is left to a later sweep, and NeedsSweep reports it. With Direct, the files of
// a killed pass have their own names and cannot be told from others, so that they are
// left, too.
func (d *Destination) Sweep(ctx context.Context, keep func(id string) bool) error {
	sweep := &sweeping{d: d, keep: keep, dirs: []string{""}}
	sweep.wake = sync.NewCond(&sweep.mu)
	defer context.AfterFunc(ctx, sweep.stop)()
	var g errgroup.Group
	for range sweepers {
		g.Go(func() error { return sweep.run(ctx) })
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		d.limits.failedSweeps.swept(d.cfg.Owner, sweep.unlisted, time.Now())
	}
	return err
}

// failedSweeps is whose sweeps could not list a directory, for a reason that may pass.
// A server may have one that can never be listed: from the maxFailedSweeps-th failure
// in a row on, the next sweep waits for longer and longer.
type failedSweeps struct {
	mu sync.Mutex
	of map[pending.Owner]failedSweep
}

type failedSweep struct {
	inRow int
	again time.Time // when the next sweep is due
}

const maxFailedSweeps = 5

// swept takes in how a sweep went.
func (s *failedSweeps) swept(owner pending.Owner, unlisted bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !unlisted {
		delete(s.of, owner)
		return
	}
	if s.of == nil {
		s.of = map[pending.Owner]failedSweep{}
	}
	f := failedSweep{inRow: s.of[owner].inRow + 1, again: now}
	if over := f.inRow - maxFailedSweeps; over >= 0 {
		f.again = now.Add(backoff.Sweep.Wait(over + 1))
	}
	s.of[owner] = f
}

// due reports whether another sweep has to list what one could not.
func (s *failedSweeps) due(owner pending.Owner, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, failed := s.of[owner]
	return failed && !now.Before(f.again)
}

// sweeping is a walk through a tree: a stack of directories that several goroutines
// empty.
type sweeping struct {
	d    *Destination
	keep func(id string) bool

	mu      sync.Mutex
	wake    *sync.Cond
	dirs    []string // directories that are to be swept
	busy    int      // how many are being swept
	stopped bool
	// unlisted means that a directory could not be listed, for a reason that may pass.
	unlisted bool
}

func (s *sweeping) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.wake.Broadcast()
}

// run sweeps directories until none is left.
func (s *sweeping) run(ctx context.Context) error {
	for {
		s.mu.Lock()
		for len(s.dirs) == 0 && s.busy > 0 && !s.stopped {
			s.wake.Wait()
		}
		if len(s.dirs) == 0 || s.stopped {
			s.mu.Unlock()
			s.wake.Broadcast()
			return nil
		}
		dir := s.dirs[len(s.dirs)-1]
		s.dirs = s.dirs[:len(s.dirs)-1]
		s.busy++
		s.mu.Unlock()
		below, err := s.sweepDir(ctx, dir)
		s.mu.Lock()
		s.busy--
		s.dirs = append(s.dirs, below...)
		s.mu.Unlock()
		s.wake.Broadcast()
		if err != nil {
			s.stop()
			return err
		}
	}
}

// sweepDir sweeps one directory, and gives those below it.
func (s *sweeping) sweepDir(ctx context.Context, dir string) (below []string, err error) {
	if !s.d.pool.first().wire().ordered { // OpenSSH lists links as such
		if err := s.d.dirs.ensure(ctx, dir, false); err != nil {
			return nil, s.fatalError(ctx, dir, err)
		}
	}
	var left []string
	for e, lerr := range s.d.List(ctx, dir) {
		if lerr != nil {
			err = s.fatalError(ctx, dir, lerr)
			break
		}
		name := path.Base(e.Name)
		id, ours := pending.ID(name)
		switch {
		case checkName(e.Name) != nil || parentOf(e.Name) != dir: // an invalid name
		case e.Mode.IsDir() && strings.Count(e.Name, "/") < sweepDepth:
			below = append(below, e.Name)
		case ours && !e.Mode.IsDir() && s.d.cfg.Owner.Sweeps(id) && !s.keep(id):
			left = append(left, e.Name)
		}
	}
	if err != nil || len(left) == 0 {
		return below, err
	}
	return below, s.d.failed(ctx, "sweep", dir, s.remove(ctx, left))
}

// remove removes files and checks that they are gone. If a file is not, and the server
// does not deny its removal, the destination is to be swept again. The error is one of
// the connection or the context.
func (s *sweeping) remove(ctx context.Context, left []string) error {
	ch := s.d.pool.acquire(1)
	defer s.d.pool.release(ch, 1)
	denials, removed := make([]bool, len(left)), make([]bool, len(left))
	err := ch.wire().askAll(ctx, len(left), func(i int, c *wire.Call) {
		ch.wire().session.Remove(c, s.d.path(left[i]))
	}, func(i int, c *wire.Call) { denials[i], removed[i] = denied(c.Err), c.Err == nil })
	if err != nil {
		return err
	}
	return ch.wire().askAll(ctx, len(left), func(i int, c *wire.Call) {
		ch.wire().session.Lstat(c, s.d.path(left[i]))
	}, func(i int, c *wire.Call) {
		gone := errors.Is(c.Err, fs.ErrNotExist) || removed[i] && c.Err != nil
		if !gone && !denials[i] {
			s.d.leftPending.Store(true)
		}
	})
}

// fatalError gives err if it ends the sweep, as one of the whole destination does.
func (s *sweeping) fatalError(ctx context.Context, dir string, err error) error {
	err = s.d.failed(ctx, "list", dir, err)
	if _, whole := errors.AsType[*statusError](err); whole || ctx.Err() != nil {
		return err
	}
	if !denied(err) && !errors.Is(err, fs.ErrNotExist) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unlisted = true
	}
	return nil
}
