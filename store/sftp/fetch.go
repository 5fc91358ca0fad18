package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Fetch reads the bytes [from, e.Size) of e into w, in any order, and returns
// what the open handle reports after the last byte. A file up to a packet's
// size (255 KiB) takes two round trips on OpenSSH and three on others. An error
// of w is returned as it is.
func (s *Source) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	if e.Size < 0 || from < 0 || from > e.Size {
		return filesync.Entry{}, fmt.Errorf("read %s: no range [%d, %d)", shown(e.Name), from, e.Size)
	}
	use := weight(e.Size - from)
	l := s.pool.take(use)
	defer s.pool.give(l, use)
	a, err := s.fetch(ctx, l, e, from, w)
	if err != nil {
		return filesync.Entry{}, s.failure("read", e.Name, err)
	}
	return entry(e.Name, a), nil
}

func (s *Source) fetch(ctx context.Context, l *lane, e filesync.Entry, from int64, w io.WriterAt) (attrs, error) {
	path, size := s.path(e.Name), e.Size
	f, err := s.open(ctx, l, path)
	if err != nil {
		return attrs{}, err
	}
	if size-from <= int64(bufferSizes[len(bufferSizes)-1]) {
		a, done, closed, err := f.last(ctx, from, int(size-from), w, s.gate.leave)
		if !closed && err != nil {
			f.close(s.gate.leave)
		}
		if err != nil {
			return attrs{}, err
		}
		if done {
			return a, shorter(a, size)
		}
		if closed {
			if f, err = s.open(ctx, l, path); err != nil {
				return attrs{}, err
			}
		}
	}
	defer f.close(s.gate.leave)
	b := newBlocks(from, size)
	if size-from < largeFile || s.limits.noFstat.Load() {
		err = f.copy(ctx, b, w)
	} else {
		err = s.copyWide(ctx, l, f, e, b, w)
	}
	if err != nil {
		return attrs{}, err
	}
	a, err := s.lookAtOpen(ctx, l, f, path)
	if err != nil {
		return attrs{}, err
	}
	return a, shorter(a, size)
}

// shorter is the error of a file that ends before the size that was listed,
// although all its bytes came.
func shorter(a attrs, size int64) error {
	if a.size >= 0 && a.size < size {
		return filesync.ErrChanged
	}
	return nil
}

// open opens a file for reading.
func (s *session) open(ctx context.Context, p port, path string) (f file, err error) {
	err = s.admit(ctx, func() error {
		f, err = p.open(ctx, path)
		return err
	}, nil)
	return f, err
}

// lookAtOpen asks the open handle, and the path where the server cannot do that.
func (s *Source) lookAtOpen(ctx context.Context, p port, f file, path string) (attrs, error) {
	if !s.limits.noFstat.Load() {
		a, err := f.stat(ctx)
		if err == nil && a.size >= 0 {
			return a, nil
		}
		if e, ok := errors.AsType[*wire.StatusError](err); ok && e.Code == wire.CodeUnsupported {
			s.limits.noFstat.Store(true)
		} else if err != nil && !isFailure(err) {
			return attrs{}, err
		}
	}
	return statByPath(ctx, p, path)
}

// copyWide copies a large file over one channel and then over more, as long as
// that makes it faster: x/crypto's window allows a channel no more than 2 MiB
// for each round trip.
func (s *Source) copyWide(ctx context.Context, l *lane, f file, e filesync.Entry, b *blocks, w io.WriterAt) error {
	s.copies.n.Add(1)
	defer s.copies.n.Add(-1)
	g, ctx := errgroup.WithContext(ctx)
	widening, stop := context.WithCancel(ctx)
	g.Go(func() error {
		defer stop() // there is nothing more to be taken
		return f.copy(ctx, b, w)
	})
	// Helpers have to be able to tell which version they read.
	telling := sync.OnceValue(func() bool {
		_, err := f.stat(ctx)
		return err == nil
	})
	g.Go(func() error {
		go telling()
		t := &team{lanes: []*lane{l}}
		s.widen(widening, b, func(lanes int) (joined int) {
			return s.widenTo(widening, lanes, t, b, func(more *lane) {
				g.Go(func() error {
					defer s.pool.give(more, 1)
					return s.copyBeside(ctx, widening, more, e, b, w, telling)
				})
			})
		})
		return nil
	})
	return g.Wait()
}

// copyBeside helps with a copy over another channel, if the server lets it
// open the file once more, while widening stands, and is telling what handles are
// open on. What it opens may be another file that was given the name meanwhile, so
// that the version counts after the last byte.
func (s *Source) copyBeside(ctx, widening context.Context, p port, e filesync.Entry, b *blocks, w io.WriterAt, telling func() bool) error {
	if !s.gate.tryEnter() {
		return nil
	}
	f, err := p.open(widening, s.path(e.Name)) // which may have to wait for a handle
	if err != nil {
		s.gate.fail()
		return nil
	}
	s.gate.succeed()
	defer f.close(s.gate.leave)
	if !telling() {
		return nil
	}
	if err := f.copy(ctx, b, w); err != nil {
		return err
	}
	a, err := f.stat(ctx)
	if err == nil && !entry(e.Name, a).SameVersion(e) {
		err = filesync.ErrChanged
	}
	return err
}
