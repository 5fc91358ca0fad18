package sftp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Some servers truncate a file whenever it is opened for writing. Others take WRITEs
// only in the order of their offsets. A large file is opened a second time only on a
// server that has shown, with a file made for that, that it does neither.

const (
	probeBlock  = 4 << 10
	probeBlocks = 4
	// probeTimeout bounds a probe. The copy that asked for it goes on meanwhile.
	probeTimeout = 30 * time.Second
)

// allowsParallelWrites reports whether the server is known to let a file be written
// through several handles, in any order. The first call has that tried, in the
// directory of e, on ch, which is not used yet, and on another channel. The result is
// remembered.
func (d *Destination) allowsParallelWrites(ctx context.Context, e filesync.Entry, main, ch *dataChannel) bool {
	if err := d.probing.Acquire(ctx, 1); err != nil {
		return false
	}
	defer d.probing.Release(1)
	if d.limits.parallelWrites.state.Load() == 0 && ctx.Err() == nil {
		// The copy may end before the probe does, which has to clean up then.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(probeTimeout, d.cfg.Timeouts.Operation))
		defer cancel()
		d.probeParallelWrites(ctx, e, main, ch)
	}
	return d.limits.parallelWrites.works()
}

// probeParallelWrites writes a small file through two handles and reads it back.
func (d *Destination) probeParallelWrites(ctx context.Context, e filesync.Entry, main, ch *dataChannel) {
	if !d.canRemove(ctx, ch) {
		return
	}
	second := d.pool.acquireOther(main, ch)
	defer d.pool.release(second, 1)
	t := &parallelWriteProbe{d: d, channels: [2]*dataChannel{ch, second}, path: d.hidden(e.Name, d.cfg.Owner.NewID())}
	defer t.cleanUp(ctx)
	want := t.contents()
	err := t.write(ctx, want)
	if err == nil {
		err = t.compare(ctx, want)
	}
	switch {
	case err == nil:
		d.limits.parallelWrites.state.Store(featureWorks)
	case isAnswer(err), mustBeginAnew(err), errors.Is(err, errContentsDiffer):
		d.limits.parallelWrites.state.Store(featureAbsent)
	}
}

// acquireOther gives a channel other than one, with a weight of 1. It avoids main,
// which is busy, if it can.
func (p *pool) acquireOther(main, one *dataChannel) *dataChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.leastUsed([]*dataChannel{main, one})
	if ch == nil {
		ch = main
	}
	ch.load++
	return ch
}

// parallelWriteProbe is a file that is written through two handles.
type parallelWriteProbe struct {
	d        *Destination
	channels [2]*dataChannel
	path     string
	handles  [2]wire.Handle // "" while it is not open
	made     bool
}

// errNoHandle means that other files use the handles that the server allows.
var errNoHandle = errors.New("no handle is free for a trial")

// errContentsDiffer means that a file does not hold what was written to it.
var errContentsDiffer = errors.New("the server has other bytes than were written")

func (t *parallelWriteProbe) contents() []byte {
	var b bytes.Buffer
	for i := range probeBlocks {
		b.Write(bytes.Repeat([]byte{byte('A' + i)}, probeBlock))
	}
	return b.Bytes()
}

// write writes the first block through one handle, and the others through both, from
// the last to the second.
func (t *parallelWriteProbe) write(ctx context.Context, data []byte) error {
	flags := uint32(wire.Create | wire.Exclusive)
	if t.d.limits.exclusiveOpen.absent() {
		flags = wire.Create | wire.Truncate
	}
	if err := t.open(ctx, 0, flags); err != nil {
		return err
	}
	if err := t.writeBlocks(ctx, data, [2]int{0, 0}); err != nil {
		return err
	}
	if err := t.open(ctx, 1, 0); err != nil {
		return err
	}
	if err := t.writeBlocks(ctx, data, [2]int{1, 3}, [2]int{0, 2}, [2]int{1, 1}); err != nil {
		return err
	}
	return t.close(ctx)
}

// open opens the file on one of the channels.
func (t *parallelWriteProbe) open(ctx context.Context, i int, flags uint32) error {
	if !t.d.handles.tryAcquire() {
		return errNoHandle
	}
	p := &pendingFile{d: t.d, path: t.path}
	h, err := p.open(ctx, t.channels[i], flags)
	if err != nil {
		t.d.handles.cancel()
		return err
	}
	t.d.handles.fileOpened()
	t.handles[i], t.made = h, true
	return nil
}

// writeBlocks writes blocks, each a channel and a number, all at once.
func (t *parallelWriteProbe) writeBlocks(ctx context.Context, data []byte, blocks ...[2]int) error {
	var calls []*wire.Call
	for _, b := range blocks {
		c := &wire.Call{Done: make(chan *wire.Call, 1)}
		off := b[1] * probeBlock
		if err := t.channels[b[0]].wire().session.Write(ctx, c, t.handles[b[0]], int64(off), data[off:off+probeBlock]); err != nil {
			return err
		}
		calls = append(calls, c)
	}
	return waitAll(ctx, calls)
}

// close closes the handles.
func (t *parallelWriteProbe) close(ctx context.Context) error {
	var calls []*wire.Call
	for i, h := range t.handles {
		if h == "" {
			continue
		}
		c := &wire.Call{Done: make(chan *wire.Call, 1), Then: func(*wire.Call) { t.d.handles.release() }}
		t.channels[i].wire().session.CloseFile(c, h)
		t.handles[i] = ""
		calls = append(calls, c)
	}
	return waitAll(ctx, calls)
}

// compare reads the file back. A failure to read it shows nothing about its contents.
func (t *parallelWriteProbe) compare(ctx context.Context, want []byte) error {
	got := make([]byte, len(want)+1)
	n := 0
	err := t.d.readBackOn(ctx, t.channels[0], t.path, func(f *wireFile) (err error) {
		n, err = f.readFull(ctx, got, 0)
		return err
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(got[:n], want) {
		return errContentsDiffer
	}
	return nil
}

// cleanUp removes the file.
func (t *parallelWriteProbe) cleanUp(ctx context.Context) {
	_ = t.close(ctx)
	if t.made {
		_ = t.d.discard(ctx, t.path)
	}
}

// canRemove reports whether the server lets us remove files of ours. Where that is not
// known, it asks for the removal of a file that does not exist, under a name of ours.
func (d *Destination) canRemove(ctx context.Context, ch *dataChannel) bool {
	if state := d.limits.remove.state.Load(); state != 0 {
		return state == featureWorks
	}
	missing := d.path(pending.Name("trial", d.cfg.Owner.NewID()))
	_, err := ch.wire().ask(ctx, func(c *wire.Call) { ch.wire().session.Remove(c, missing) })
	if denied(err) {
		d.limits.remove.refused(err)
		return false
	}
	return err == nil || isAnswer(err)
}
