package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Finish implements sync.Pending. It sets the times, makes the contents durable where
// the server can do that, and checks the size, all on the open handle. Where the server
// answers in order, the requests follow the last WRITE at once, which costs one round
// trip for all; elsewhere each waits for the one before. (In Sync, durability would
// cost one round trip more.) Finally it closes the handle, but for Direct.
func (p *pendingFile) Finish(ctx context.Context) (filesync.Entry, error) {
	p.stopWidening()
	if !p.advance(pendingOpen, pendingFinished) {
		return filesync.Entry{}, fmt.Errorf("finish %s: %w", shown(p.entry.Name), fs.ErrClosed)
	}
	e, err := p.finish(ctx)
	if err != nil {
		return filesync.Entry{}, p.failedToWrite(ctx, "finish", err)
	}
	return e, nil
}

// advance changes the state from one to another. It is false if the file is in any
// other state.
func (p *pendingFile) advance(from, to pendingState) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != from {
		return false
	}
	p.state = to
	return true
}

func (p *pendingFile) finish(ctx context.Context) (filesync.Entry, error) {
	if err := p.checkOpen(); err != nil {
		return filesync.Entry{}, err
	}
	main := p.channels[0]
	wide, ordered := len(p.channels) > 1, main.wire().ordered
	if wide || !ordered {
		// The requests below must come behind all WRITEs.
		if err := p.drain(ctx); err != nil {
			return filesync.Entry{}, err
		}
	}
	if err := waitAll(ctx, p.sendCloses(p.channels[1:])); err != nil {
		return filesync.Entry{}, err
	}
	verified := make(chan error, 1)
	if wide && ordered {
		go func() { verified <- p.verify(ctx) }() // the server has all of the file
	}
	a, err := p.finishHandle(ctx, main)
	if err == nil {
		err = p.drain(ctx)
	}
	if wide && ordered {
		err = cmp.Or(err, <-verified)
	}
	if acked := p.ackedSize(); err == nil && acked != p.entry.Size {
		err = fmt.Errorf("%d bytes were written, not %d", acked, p.entry.Size)
	}
	if err == nil && wide && !ordered {
		a, err = p.statByName(ctx) // by path, as each handle may show another file
	}
	if err == nil {
		a, err = p.checkSize(ctx, a)
	}
	if err == nil && wide && !ordered {
		err = p.verify(ctx)
	}
	if err != nil {
		return filesync.Entry{}, err
	}
	e := p.entry
	if !a.modTime.IsZero() {
		e.ModTime = a.modTime
	}
	return e, nil
}

// ackedSize is how many bytes from the start on the server has acknowledged, or more
// than the size of the file if a byte behind it was written.
func (p *pendingFile) ackedSize() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end := p.acked.end(); end > p.entry.Size {
		return end
	}
	return p.acked.prefix()
}

// finishHandle sets the times of the file, syncs it, asks for its attributes and, but
// for Direct, closes it. It does without what the server refuses. Attributes that the
// server does not tell are missing in the result.
func (p *pendingFile) finishHandle(ctx context.Context, main *writeChannel) (attrs, error) {
	limits, s := p.d.limits, main.wire().session
	requests := &pipeline{ctx: ctx, inTurn: !main.wire().ordered}
	times, by := p.sendTimes(requests, main)
	var fsync, fstat, closing *wire.Call
	if p.d.has(&limits.fsync, wire.FsyncExtension) {
		fsync = requests.send(func(c *wire.Call) { s.Fsync(c, main.h) })
	}
	if !limits.noFstat.Load() {
		fstat = requests.send(func(c *wire.Call) { s.Fstat(c, main.h) })
	}
	if !p.d.cfg.Direct {
		closing = requests.send(func(c *wire.Call) { p.sendClose(main, c) })
	}
	if err := requests.await(); err != nil {
		return attrs{}, err
	}
	if fsync != nil && !limits.fsyncRefused(fsync.Err) && fsync.Err != nil {
		return attrs{}, fmt.Errorf("make it durable: %w", fsync.Err)
	}
	if closing != nil && closing.Err != nil {
		return attrs{}, fmt.Errorf("close it: %w", closing.Err)
	}
	if times != nil && (by.refused(times.Err) || times.Err != nil) && by == &limits.handleTimes && p.setTimes(ctx) {
		return p.statByName(ctx)
	}
	if fstat != nil && fstat.Err == nil && fstat.Attr.Size() >= 0 {
		return attrsOf(fstat.Attr), nil
	}
	if fstat != nil && isUnsupported(fstat.Err) {
		limits.noFstat.Store(true)
	}
	return p.statByName(ctx)
}

// sendTimes sets the times of the file in a way that the server is known to support, if
// there is one.
func (p *pendingFile) sendTimes(requests *pipeline, main *writeChannel) (c *wire.Call, by *feature) {
	limits, s, t := p.d.limits, main.wire().session, p.entry.ModTime
	switch {
	case !wire.Times(t):
	case !limits.handleTimes.absent():
		return requests.send(func(c *wire.Call) { s.FsetTimes(c, main.h, t) }), &limits.handleTimes
	case !limits.pathTimes.absent():
		return requests.send(func(c *wire.Call) { s.SetTimes(c, p.path, t) }), &limits.pathTimes
	}
	return nil, nil
}

// setTimes sets the times by path, where the server does not do so by handle.
func (p *pendingFile) setTimes(ctx context.Context) bool {
	if p.d.limits.pathTimes.absent() {
		return false
	}
	err := p.d.ask(ctx, func(s *wire.Session, c *wire.Call) { s.SetTimes(c, p.path, p.entry.ModTime) })
	p.d.limits.pathTimes.refused(err)
	return err == nil
}

// statByName asks for the attributes of the file by its current path. If the server
// refuses, the size is unknown: its acknowledgements have to do.
func (p *pendingFile) statByName(ctx context.Context) (attrs, error) {
	a, err := p.d.statAt(ctx, p.path)
	if isAnswer(err) {
		return attrs{size: -1}, nil
	}
	return a, err
}

// sendClose closes the handle of a channel and releases the channel.
func (p *pendingFile) sendClose(ch *writeChannel, c *wire.Call) {
	p.mu.Lock()
	ch.closed = true
	p.mu.Unlock()
	c.Then = func(*wire.Call) { p.d.handles.release() }
	ch.wire().session.CloseFile(c, ch.h)
	p.d.pool.release(ch.dataChannel, ch.load)
}

// sendCloses closes all handles that are open on the channels.
func (p *pendingFile) sendCloses(channels []*writeChannel) []*wire.Call {
	var calls []*wire.Call
	for _, ch := range channels {
		p.mu.Lock()
		closed := ch.closed
		p.mu.Unlock()
		if !closed {
			c := &wire.Call{Done: make(chan *wire.Call, 1)}
			calls = append(calls, c)
			p.sendClose(ch, c)
		}
	}
	return calls
}

// closeAll closes all handles and waits for that.
func (p *pendingFile) closeAll(ctx context.Context) error {
	return waitAll(ctx, p.sendCloses(p.channels))
}

// remove removes the file from its current path.
func (p *pendingFile) remove(ctx context.Context) error {
	err := p.d.remove(ctx, p.path)
	if err == nil {
		p.removed.Store(true)
	}
	return err
}

func (d *Destination) remove(ctx context.Context, path string) error {
	err := d.ask(ctx, func(s *wire.Session, c *wire.Call) { s.Remove(c, path) })
	d.limits.remove.refused(err)
	if err == nil {
		d.limits.hasRemoved.Store(true)
	}
	return err
}

// Abort implements sync.Pending. With Direct it removes the file before it closes it,
// if the server allows that: closing it may be what its receiver waits for.
func (p *pendingFile) Abort(ctx context.Context) error {
	p.stopWidening()
	p.mu.Lock()
	published := p.state == pendingPublished
	if !published {
		p.state = pendingClosed
	}
	p.mu.Unlock()
	if published {
		return nil
	}
	err := errNotRemoved
	if p.d.cfg.Direct {
		err = p.d.discard(ctx, p.path)
	}
	cerr := p.closeAll(ctx)
	if cerr != nil && !isAnswer(cerr) && !mustBeginAnew(cerr) {
		err = cerr
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = p.d.discard(ctx, p.path)
	}
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist) && p.removed.Load():
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("remove %s: %w", p.entry.Name, fs.ErrNotExist)
	}
	return p.failed(ctx, "remove", err)
}

// Keep implements sync.Pending.
func (p *pendingFile) Keep() error {
	p.stopWidening()
	p.advance(pendingOpen, pendingClosed)
	p.advance(pendingFinished, pendingClosed)
	p.sendCloses(p.channels)
	return nil
}

// pipeline is a sequence of requests on one channel. They are sent at once or, where
// the server does not answer in order, each after the answer to the one before.
type pipeline struct {
	ctx    context.Context
	inTurn bool
	calls  []*wire.Call
	err    error
}

// send sends one more request, unless waiting for those before it has failed.
func (requests *pipeline) send(send func(c *wire.Call)) *wire.Call {
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	if requests.err != nil {
		c.Err = requests.err
		return c
	}
	send(c)
	requests.calls = append(requests.calls, c)
	if requests.inTurn {
		_ = requests.await()
	}
	return c
}

// await waits for all requests. Its error is one of the connection or the context.
// Other errors are in the calls.
func (requests *pipeline) await() error {
	err := waitAll(requests.ctx, requests.calls)
	if !isAnswer(err) && requests.err == nil {
		requests.err = err
	}
	requests.calls = nil
	return requests.err
}

// waitAll waits for calls and gives the first error.
func waitAll(ctx context.Context, calls []*wire.Call) error {
	var first error
	for _, c := range calls {
		if err := c.Wait(ctx); err != nil && first == nil {
			first = err
		}
	}
	return first
}
