package sftp

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"sftpconnector/store/sftp/wire"
)

// create opens the file for writing.
func (p *pendingFile) create(ctx context.Context, flags uint32) error {
	use := weight(p.entry.Size)
	ch := p.d.pool.acquire(use)
	var h wire.Handle
	err := p.d.openLimited(ctx, func() (err error) {
		h, err = p.openForWriting(ctx, ch, flags)
		return err
	}, func() bool { // OpenSSH has handles for more files than are open here
		return ch.wire().ordered || p.noRoom(ctx)
	})
	if err != nil {
		p.d.pool.release(ch, use)
		switch hidden := !p.d.cfg.Direct && flags&wire.Create != 0; {
		case p.made && !hidden: // and none of its handles can be relied on
			_ = p.remove(ctx)
		case p.made, hidden && !errors.Is(err, fs.ErrNotExist): // it may have been made all the same
			_ = p.d.discard(ctx, p.path)
		}
		return p.d.dirs.explain(parentOf(p.entry.Name), err)
	}
	p.d.limits.hasWritten.Store(true)
	p.channels = append(p.channels, &writeChannel{dataChannel: ch, load: use, h: h})
	return nil
}

// open opens the file on a channel. If ctx ends first, a file that the OPEN made is
// removed.
func (p *pendingFile) open(ctx context.Context, ch *dataChannel, flags uint32) (wire.Handle, error) {
	s := ch.wire().session
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	start := time.Now()
	ours := flags&wire.Exclusive != 0 || p.nameFree && flags&wire.Create != 0
	s.OpenWrite(c, p.path, flags)
	select {
	case <-c.Done:
		if c.Err == nil {
			p.d.limits.noteRoundTrip(time.Since(start))
		}
		return c.Handle, c.Err
	case <-ctx.Done():
		go func() {
			if <-c.Done; c.Err != nil {
				return
			}
			if ours && p.d.cfg.Direct {
				s.Remove(new(wire.Call), p.path) // before its receiver sees it
			}
			s.CloseHandle(c.Handle, nil)
			if flags&wire.Create != 0 && !p.d.cfg.Direct {
				s.Remove(new(wire.Call), p.path)
			}
		}()
		return "", context.Cause(ctx)
	}
}

// widen writes a large file over more channels as long as that makes it faster, if the
// server has shown that it allows that. It does not do so with Direct, as closing any
// handle may be what the receiver waits for.
func (p *pendingFile) widen(from int64) {
	if p.d.cfg.Direct || p.entry.Size-from < largeFile || p.d.limits.noFstat.Load() || p.d.limits.parallelWrites.absent() {
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	p.progress = newBlocks(from, p.entry.Size)
	p.widening, p.widened = cancel, make(chan struct{})
	go func() {
		defer close(p.widened)
		defer cancel()
		p.d.copies.n.Add(1)
		defer p.d.copies.n.Add(-1)
		main := p.main().dataChannel
		set := &channelSet{channels: []*dataChannel{main}}
		p.d.widen(ctx, p.progress, func(channels int) (joined int) {
			return p.d.widenTo(ctx, channels, set, p.progress, func(ch *dataChannel) {
				if p.d.allowsParallelWrites(ctx, p.entry, main, ch) && p.awaitFirstAck(ctx) {
					p.addChannel(ctx, ch)
				} else {
					p.d.pool.release(ch, 1)
				}
			})
		})
	}()
}

// awaitFirstAck waits until the server has acknowledged the start of the file.
func (p *pendingFile) awaitFirstAck(ctx context.Context) bool {
	for {
		p.mu.Lock()
		acked, err, changed := p.acked.prefix(), p.err, p.changeSignal()
		p.mu.Unlock()
		if acked > 0 || err != nil {
			return err == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// stopWidening makes sure that no more channels are added.
func (p *pendingFile) stopWidening() {
	if p.widening != nil {
		p.widening()
		<-p.widened
	}
}

// addChannel opens the file on one more channel, if the server allows that and shows
// there what was written on the first. Some servers give each handle a file of its own.
func (p *pendingFile) addChannel(ctx context.Context, ch *dataChannel) {
	if !p.d.handles.tryAcquire() {
		p.d.pool.release(ch, 1)
		return
	}
	p.mu.Lock()
	acked := p.acked.prefix()
	p.mu.Unlock()
	h, err := p.open(ctx, ch, 0)
	if err != nil {
		p.d.handles.cancel()
		p.d.pool.release(ch, 1)
		return
	}
	p.d.handles.fileOpened()
	s := ch.wire().session
	c, err := ch.wire().ask(ctx, func(c *wire.Call) { s.Fstat(c, h) })
	if err != nil || acked == 0 || c.Attr.Size() < acked {
		if err == nil && acked > 0 {
			p.d.limits.parallelWrites.state.Store(featureAbsent)
		}
		s.CloseHandle(h, p.d.handles.release)
		p.d.pool.release(ch, 1)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.channels = append(p.channels, &writeChannel{dataChannel: ch, load: 1, h: h})
	p.signal()
}
