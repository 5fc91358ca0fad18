package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"

	filesync "sftpconnector/sync"

	"sftpconnector/store/sftp/wire"
)

const (
	// window is how many bytes x/crypto lets a channel have in flight: 2 MiB, fixed.
	window = 2 << 20
	// minReads keeps the server busy while answers are in flight.
	minReads = 16
)

// readsInFlight is how many READs of n bytes fill a channel's window.
func readsInFlight(n int) int { return max(minReads, window/n+4) }

// wireFile is a file that is open on a data channel.
type wireFile struct {
	*wireChannel
	h wire.Handle
}

func (f *wireFile) close(then func()) { f.session.CloseHandle(f.h, then) }

func (f *wireFile) stat(ctx context.Context) (attrs, error) {
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	f.session.Fstat(c, f.h)
	if err := c.Wait(ctx); err != nil {
		return attrs{}, err
	}
	return attrsOf(c.Attr), nil
}

// readAndClose is the second of a small file's two round trips. It relies on a server
// that handles a channel's requests in order.
func (f *wireFile) readAndClose(ctx context.Context, off int64, n int, w io.WriterAt, then func()) (a handleAttrs, state readState, err error) {
	if !f.ordered || f.limits.outOfOrder.Load() || f.limits.noFstat.Load() || n >= f.readSize() {
		return a, readNotTried, nil
	}
	// One byte more is asked for than was listed. A file that has it has changed, or
	// its server tells wrong sizes.
	reserved, _, err := f.buffers.reserve(ctx, n+1, true)
	if err != nil {
		return a, readNotTried, err
	}
	buffer := &lentBuffer{pool: f.buffers}
	free := func() {
		buffer.put()
		f.buffers.release(reserved)
	}
	answers := make(chan *wire.Call, 2)
	read := &wire.Call{Done: answers, Room: buffer.get}
	fstat := &wire.Call{Done: answers}
	f.session.Read(read, f.h, off, n+1)
	f.session.Fstat(fstat, f.h)
	f.session.CloseHandle(f.h, then)
	for left := 2; left > 0; left-- {
		select {
		case c := <-answers:
			if c == fstat && left == 2 {
				f.limits.outOfOrder.Store(true)
			}
		case <-ctx.Done():
			go func() {
				for ; left > 0; left-- {
					<-answers
				}
				free()
			}()
			return a, readIncomplete, context.Cause(ctx)
		}
	}
	defer free()
	if read.Err != nil && !errors.Is(read.Err, io.EOF) {
		return a, readIncomplete, read.Err
	}
	if fstat.Err != nil && !isAnswer(fstat.Err) {
		return a, readIncomplete, fstat.Err
	}
	if read.N < n || f.limits.outOfOrder.Load() {
		return a, readIncomplete, nil
	}
	if read.N > n {
		return a, readIncomplete, errLonger
	}
	if n > 0 {
		if _, err := w.WriteAt(read.Buf[:n], off); err != nil {
			return a, readIncomplete, err
		}
	}
	if fstat.Err != nil {
		return handleAttrs{err: fstat.Err}, readDone, nil
	}
	return handleAttrs{attrs: attrsOf(fstat.Attr)}, readDone, nil
}

// errLonger means that a file goes on behind the size that was listed, errShorter that
// it ends before.
var (
	errLonger  = fmt.Errorf("it goes on behind them: %w", filesync.ErrChanged)
	errShorter = fmt.Errorf("it ends before them: %w", filesync.ErrChanged)
)

// checkEnd reads at the end that was listed, where nothing may come. It asks the handle
// for its attributes beside that, if ask is set. A refused READ tells nothing.
func (f *wireFile) checkEnd(ctx context.Context, end int64, ask bool) (handle handleAttrs, err error) {
	read := &wire.Call{Done: make(chan *wire.Call, 1), Buf: make([]byte, 1)}
	f.session.Read(read, f.h, end, 1)
	handle.err = &wire.StatusError{Code: wire.CodeUnsupported}
	if ask {
		handle.attrs, handle.err = f.stat(ctx)
	}
	err = read.Wait(ctx)
	switch {
	case err == nil && read.N > 0:
		return handle, errLonger
	case err != nil && !errors.Is(err, io.EOF) && !isAnswer(err):
		return handle, err
	}
	return handle, nil
}

// part is one READ in flight and the rest of its range.
type part struct {
	call      wire.Call
	buffer    lentBuffer
	reserved  reservation
	rest      int // how many bytes are still to come
	requested int // how many the READ in flight asks for
	shortRead int // how many bytes a short answer had; 0: there was none
}

// copying is the copy of one file over one channel.
type copying struct {
	*wireFile
	blocks   *blocks
	w        io.WriterAt
	answers  chan *wire.Call
	parts    []*part // by Call.Tag
	idle     []*part
	inFlight int
}

func (f *wireFile) copy(ctx context.Context, b *blocks, w io.WriterAt) error {
	reads := readsInFlight(min(f.readSize(), wire.DefaultRead)) // READs may become longer meanwhile
	c := &copying{wireFile: f, blocks: b, w: w, answers: make(chan *wire.Call, reads)}
	defer c.release()
	for {
		if err := c.fill(ctx); err != nil {
			return err
		}
		if c.inFlight == 0 {
			return nil
		}
		select {
		case call := <-c.answers:
			c.inFlight--
			if err := c.takeAnswer(c.parts[call.Tag]); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// fill keeps as many READs in flight as the window and the memory allow.
func (c *copying) fill(ctx context.Context) error {
	for {
		read := c.readSize()
		if c.inFlight >= min(readsInFlight(read), cap(c.answers)) {
			return nil
		}
		left := c.blocks.left()
		if left == 0 {
			return nil
		}
		size := int(min(int64(read), left))
		reserved, ok, err := c.buffers.reserve(ctx, size, c.inFlight == 0)
		if err != nil || !ok {
			return err
		}
		off, n := c.blocks.take(size)
		if n == 0 {
			c.buffers.release(reserved)
			return nil
		}
		p := c.part()
		p.reserved, p.rest, p.shortRead = reserved, n, 0
		p.call.Off = off
		c.ask(p)
	}
}

// part gives a part that has no READ in flight.
func (c *copying) part() *part {
	if n := len(c.idle); n > 0 {
		p := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return p
	}
	p := &part{buffer: lentBuffer{pool: c.buffers}}
	p.call = wire.Call{Done: c.answers, Tag: len(c.parts), Room: p.buffer.get}
	c.parts = append(c.parts, p)
	return p
}

// ask sends a READ for the rest of a part.
func (c *copying) ask(p *part) {
	p.requested = min(p.rest, c.readSize())
	c.inFlight++
	c.session.Read(&p.call, c.h, p.call.Off, p.requested)
}

// takeAnswer writes what came for a part, and asks again for what is missing of it.
func (c *copying) takeAnswer(p *part) error {
	call := &p.call
	if err := call.Err; err != nil || call.N == 0 {
		p.buffer.put()
		if c.tooLong(p) {
			c.ask(p)
			return nil
		}
		c.putBack(p)
		if err == nil || errors.Is(err, io.EOF) {
			return errShorter
		}
		return err
	}
	if p.shortRead > 0 && p.shortRead >= wire.DefaultRead {
		c.limits.shrinkReads(p.shortRead) // the file went on, so that this was a limit
	}
	p.shortRead = 0
	if call.N < p.requested {
		p.shortRead = call.N
	}
	_, err := c.w.WriteAt(call.Buf[:call.N], call.Off)
	p.buffer.put()
	if err != nil {
		c.putBack(p)
		return err
	}
	c.blocks.done.Add(int64(call.N))
	p.rest -= call.N
	call.Off += int64(call.N)
	if p.rest > 0 {
		c.ask(p)
		return nil
	}
	c.putBack(p)
	return nil
}

// tooLong reports whether a READ failed that was longer than every server has to
// accept. If so, no later READ is longer than that.
func (c *copying) tooLong(p *part) bool {
	_, refused := errors.AsType[*wire.StatusError](p.call.Err)
	if !refused || p.requested <= wire.DefaultRead {
		return false
	}
	c.limits.shrinkReads(wire.DefaultRead)
	return true
}

func (c *copying) putBack(p *part) {
	c.buffers.release(p.reserved)
	c.idle = append(c.idle, p)
}

// release leaves the READs in flight to a goroutine that waits for them. It ends with
// the session at the latest.
func (c *copying) release() {
	if c.inFlight == 0 {
		return
	}
	go func() {
		for ; c.inFlight > 0; c.inFlight-- {
			p := c.parts[(<-c.answers).Tag]
			p.buffer.put()
			c.buffers.release(p.reserved)
		}
	}()
}
