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

// Fetch reads the bytes [from, e.Size) of e into w, in any order. Then it asks whether
// the file is still the version e. It returns e if so, another entry if not, and the
// zero entry where the server does not tell. A file of up to a packet's size (255 KiB)
// takes two round trips on OpenSSH and three on others. An error of w is returned as it
// is.
func (s *Source) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	if e.Size < 0 || from < 0 || from > e.Size {
		return filesync.Entry{}, fmt.Errorf("read %s: no range [%d, %d)", shown(e.Name), from, e.Size)
	}
	use := weight(e.Size - from)
	ch := s.pool.acquire(use)
	defer s.pool.release(ch, use)
	closed := make(chan struct{})
	got, err := s.fetch(ctx, ch, e, from, w, func() {
		s.handles.release()
		close(closed)
	})
	if err != nil {
		return filesync.Entry{}, s.failure("read", e.Name, err)
	}
	if !s.mayReopen() && !s.limits.reopenable.known() {
		s.learnReopenable(ctx, ch, e, closed)
	}
	return got, nil
}

// fetch is Fetch on one channel. left is called when the file is closed, if it was
// opened.
func (s *Source) fetch(ctx context.Context, ch *dataChannel, e filesync.Entry, from int64, w io.WriterAt, left func()) (filesync.Entry, error) {
	f, err := s.open(ctx, ch, s.path(e.Name))
	if err != nil {
		return filesync.Entry{}, err
	}
	if e.Size-from <= int64(bufferSizes[len(bufferSizes)-1]) {
		once := sync.OnceFunc(left)
		handle, state, err := f.readAndClose(ctx, from, int(e.Size-from), w, once)
		switch {
		case err != nil && state == readNotTried:
			f.close(once)
			return filesync.Entry{}, err
		case err != nil:
			return filesync.Entry{}, err
		case state == readDone:
			return s.confirm(ctx, e, handle.attrs, handle.err)
		case state == readIncomplete: // fetchOpen tells what is the matter
			return s.fetchAgain(ctx, ch, e, from, w)
		}
	}
	return s.fetchOpen(ctx, ch, f, e, from, w, left)
}

// fetchAgain opens a file once more after readAndClose did not get all of it.
func (s *Source) fetchAgain(ctx context.Context, ch *dataChannel, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	f, err := s.open(ctx, ch, s.path(e.Name))
	if err != nil {
		return filesync.Entry{}, err
	}
	return s.fetchOpen(ctx, ch, f, e, from, w, s.handles.release)
}

// fetchOpen reads a file that is open.
func (s *Source) fetchOpen(ctx context.Context, ch *dataChannel, f file, e filesync.Entry, from int64, w io.WriterAt, left func()) (filesync.Entry, error) {
	var before attrs
	if s.limits.statDiffers.Load() { // only a listing or an unchanged handle can tell
		statCtx, cancel := s.statTimeout(ctx)
		before, _ = f.stat(statCtx)
		cancel()
	}
	handle, herr, err := s.readOpen(ctx, ch, f, e, from, w)
	f.close(left) // before anything else is opened: handles may be few
	if err != nil {
		return filesync.Entry{}, err
	}
	if herr == nil && unchanged(before, handle) && handle.size == e.Size {
		return e, nil
	}
	return s.confirm(ctx, e, handle, herr)
}

// readOpen reads an open file and then asks its handle for the attributes. herr is why
// the handle did not tell them.
func (s *Source) readOpen(ctx context.Context, ch *dataChannel, f file, e filesync.Entry, from int64, w io.WriterAt) (handle attrs, herr, err error) {
	b := newBlocks(from, e.Size)
	if e.Size-from < largeFile || s.limits.noFstat.Load() || !s.mayReopen() {
		err = f.copy(ctx, b, w)
	} else {
		err = s.copyParallel(ctx, ch, f, e, b, w)
	}
	if err != nil {
		return attrs{}, nil, err
	}
	statCtx, cancel := s.statTimeout(ctx)
	defer cancel()
	h, err := f.checkEnd(statCtx, e.Size, !s.limits.noFstat.Load())
	switch {
	case err != nil && !statTimedOut(ctx, err):
		return attrs{}, nil, err
	case statTimedOut(ctx, err), statTimedOut(ctx, h.err):
		if err := s.checkAlive(ctx); err != nil {
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
func (s *session) open(ctx context.Context, ch channel, path string) (f file, err error) {
	err = s.openLimited(ctx, func() error {
		f, err = ch.open(ctx, path)
		return err
	}, nil)
	return f, err
}

// copyParallel copies a large file over one channel, and over more of them as long as
// that makes it faster. The window of x/crypto allows a channel no more than 2 MiB in a
// round trip.
func (s *Source) copyParallel(ctx context.Context, ch *dataChannel, f file, e filesync.Entry, b *blocks, w io.WriterAt) error {
	s.copies.n.Add(1)
	defer s.copies.n.Add(-1)
	g, ctx := errgroup.WithContext(ctx)
	widening, stop := context.WithCancel(ctx)
	g.Go(func() error {
		defer stop() // nothing is left to copy
		return f.copy(ctx, b, w)
	})
	// The other channels compare the version of the file with this one.
	first := sync.OnceValues(func() (attrs, error) { return f.stat(ctx) })
	g.Go(func() error {
		go first()
		set := &channelSet{channels: []*dataChannel{ch}}
		s.widen(widening, b, func(n int) (joined int) {
			return s.widenTo(widening, n, set, b, func(more *dataChannel) {
				g.Go(func() error {
					defer s.pool.release(more, 1)
					return s.copyOnChannel(ctx, widening, more, e, b, w, first)
				})
			})
		})
		return nil
	})
	return g.Wait()
}

// copyOnChannel copies a part of the file over one more channel, if the server opens
// the file once more and tells the attributes of handles. It gives up the OPEN when
// widening ends. Another file may have taken the name meanwhile. So it compares, after
// the last byte, the attributes of its handle with those of the first one.
func (s *Source) copyOnChannel(ctx, widening context.Context, ch channel, e filesync.Entry, b *blocks, w io.WriterAt, first func() (attrs, error)) error {
	if !s.handles.tryAcquire() {
		return nil
	}
	f, err := ch.open(widening, s.path(e.Name)) // it may have to wait for a handle
	if err != nil {
		s.handles.cancel()
		return nil
	}
	s.handles.fileOpened()
	defer f.close(s.handles.release)
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
