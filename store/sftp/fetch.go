package sftp

import (
	"context"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Fetch reads the bytes [from, e.Size) of e into w, in any order, and then asks
// whether the file is still the version e: it answers with e if so, with another
// entry if not, and with the zero entry where the server does not tell. A file up to
// a packet's size (255 KiB) takes two round trips on OpenSSH and three on others. An
// error of w is returned as it is.
func (s *Source) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	if e.Size < 0 || from < 0 || from > e.Size {
		return filesync.Entry{}, fmt.Errorf("read %s: no range [%d, %d)", shown(e.Name), from, e.Size)
	}
	use := weight(e.Size - from)
	l := s.pool.take(use)
	defer s.pool.give(l, use)
	closed := make(chan struct{})
	got, err := s.fetch(ctx, l, e, from, w, func() {
		s.gate.leave()
		close(closed)
	})
	if err != nil {
		return filesync.Entry{}, s.failure("read", e.Name, err)
	}
	if !s.bearsSecondOpen() && !s.limits.stands.known() {
		s.learnStanding(ctx, l, e, closed)
	}
	return got, nil
}

// fetch is Fetch on one lane. left is called when the file is closed, if it was opened.
func (s *Source) fetch(ctx context.Context, l *lane, e filesync.Entry, from int64, w io.WriterAt, left func()) (filesync.Entry, error) {
	f, err := s.open(ctx, l, s.path(e.Name))
	if err != nil {
		return filesync.Entry{}, err
	}
	if e.Size-from <= int64(bufferSizes[len(bufferSizes)-1]) {
		once := sync.OnceFunc(left)
		handle, state, err := f.last(ctx, from, int(e.Size-from), w, once)
		switch {
		case err != nil && state == lastNotTried:
			f.close(once)
			return filesync.Entry{}, err
		case err != nil:
			return filesync.Entry{}, err
		case state == lastDone:
			return s.confirm(ctx, e, handle.attrs, handle.err)
		case state == lastIncomplete: // the long way tells what is the matter
			return s.fetchAgain(ctx, l, e, from, w)
		}
	}
	return s.fetchOpen(ctx, l, f, e, from, w, left)
}

// fetchAgain opens a file once more that did not come as a whole.
func (s *Source) fetchAgain(ctx context.Context, l *lane, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	f, err := s.open(ctx, l, s.path(e.Name))
	if err != nil {
		return filesync.Entry{}, err
	}
	return s.fetchOpen(ctx, l, f, e, from, w, s.gate.leave)
}

// fetchOpen reads a file that is open.
func (s *Source) fetchOpen(ctx context.Context, l *lane, f file, e filesync.Entry, from int64, w io.WriterAt, left func()) (filesync.Entry, error) {
	var before attrs
	if s.limits.statDiffers.Load() { // then a listing alone tells, unless handles do
		look, cancel := s.lookTime(ctx)
		before, _ = f.stat(look)
		cancel()
	}
	handle, herr, err := s.readOpen(ctx, l, f, e, from, w)
	f.close(left) // before anything else is opened: handles may be few
	if err != nil {
		return filesync.Entry{}, err
	}
	if herr == nil && unchanged(before, handle) && handle.size == e.Size {
		return e, nil
	}
	return s.confirm(ctx, e, handle, herr)
}

// readOpen reads a file that is open, and asks the handle then. herr is why that did
// not answer.
func (s *Source) readOpen(ctx context.Context, l *lane, f file, e filesync.Entry, from int64, w io.WriterAt) (handle attrs, herr, err error) {
	b := newBlocks(from, e.Size)
	if e.Size-from < largeFile || s.limits.noFstat.Load() || !s.bearsSecondOpen() {
		err = f.copy(ctx, b, w)
	} else {
		err = s.copyWide(ctx, l, f, e, b, w)
	}
	if err != nil {
		return attrs{}, nil, err
	}
	look, cancel := s.lookTime(ctx)
	defer cancel()
	h, err := f.tail(look, e.Size, !s.limits.noFstat.Load())
	switch {
	case err != nil && !unanswered(ctx, err):
		return attrs{}, nil, err
	case unanswered(ctx, err), unanswered(ctx, h.err):
		if err := s.alive(ctx); err != nil {
			return attrs{}, nil, err
		}
		s.limits.noFstat.Store(true)
		return attrs{}, &wire.StatusError{Code: wire.CodeUnsupported, Message: "no answer"}, nil
	case h.err == nil:
		s.limits.fstatFailed.Store(0)
	}
	return h.attrs, h.err, nil
}

// open opens a file for reading.
func (s *session) open(ctx context.Context, p port, path string) (f file, err error) {
	err = s.admit(ctx, func() error {
		f, err = p.open(ctx, path)
		return err
	}, nil)
	return f, err
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
	first := sync.OnceValues(func() (attrs, error) { return f.stat(ctx) })
	g.Go(func() error {
		go first()
		t := &team{lanes: []*lane{l}}
		s.widen(widening, b, func(lanes int) (joined int) {
			return s.widenTo(widening, lanes, t, b, func(more *lane) {
				g.Go(func() error {
					defer s.pool.give(more, 1)
					return s.copyBeside(ctx, widening, more, e, b, w, first)
				})
			})
		})
		return nil
	})
	return g.Wait()
}

// copyBeside helps with a copy over another channel, if the server lets it open the
// file once more, while widening stands, and tells what handles are open on. What it
// opens may be another file that was given the name meanwhile: so it compares, after
// the last byte, what its handle says with what the first one said.
func (s *Source) copyBeside(ctx, widening context.Context, p port, e filesync.Entry, b *blocks, w io.WriterAt, first func() (attrs, error)) error {
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
	opened, err := first()
	if err != nil {
		return nil
	}
	if err := f.copy(ctx, b, w); err != nil {
		return err
	}
	a, err := f.stat(ctx)
	if err == nil && !sameHandles(a, opened) {
		err = filesync.ErrChanged
	}
	return err
}
