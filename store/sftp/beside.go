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

// Some servers truncate a file whenever it is opened for writing, and others take
// WRITEs in the order of their offsets only. A large file is opened a second time
// only on a server that has shown, on a file made for that, that it does neither.

const (
	trialBlock  = 4 << 10
	trialBlocks = 4
	// trialPatience bounds a trial: it runs beside the copy that asked for it.
	trialPatience = 30 * time.Second
)

// writesBeside reports whether the server is known to let a file be written
// through several handles, in any order. The first who asks has it tried, in the
// directory of e, on a lane that is not used yet and on another one; what is found
// out is remembered.
func (d *Destination) writesBeside(ctx context.Context, e filesync.Entry, main, l *lane) bool {
	if err := d.trial.Acquire(ctx, 1); err != nil {
		return false
	}
	defer d.trial.Release(1)
	if d.limits.beside.state.Load() == 0 && ctx.Err() == nil {
		// The copy may end before the trial does, which has to clean up then.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(trialPatience, d.cfg.Timeouts.Operation))
		defer cancel()
		d.tryBeside(ctx, e, main, l)
	}
	return d.limits.beside.works()
}

// tryBeside writes a small file through two handles and reads it back.
func (d *Destination) tryBeside(ctx context.Context, e filesync.Entry, main, l *lane) {
	if !d.mayRemove(ctx, l) {
		return
	}
	second := d.pool.beside(main, l)
	defer d.pool.give(second, 1)
	t := &besideTrial{d: d, lanes: [2]*lane{l, second}, path: d.hidden(e.Name, d.cfg.Owner.NewID())}
	defer t.cleanUp(ctx)
	want := t.contents()
	err := t.write(ctx, want)
	if err == nil {
		err = t.compare(ctx, want)
	}
	switch {
	case err == nil:
		d.limits.beside.state.Store(featureWorks)
	case isAnswer(err), worthless(err), errors.Is(err, errOtherBytes):
		d.limits.beside.state.Store(featureAbsent)
	}
}

// beside gives a lane beside one, for something of weight 1: rather another one than
// main, which has much to do.
func (p *pool) beside(main, one *lane) *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.idlest([]*lane{main, one})
	if l == nil {
		l = main
	}
	l.uses++
	return l
}

// besideTrial is a file that is written through two handles.
type besideTrial struct {
	d     *Destination
	lanes [2]*lane
	path  string
	open  [2]wire.Handle // "" while it is not
	made  bool
}

// errNoTurn: other files keep the server's handles.
var errNoTurn = errors.New("no handle is free for a trial")

// errOtherBytes is a file that does not hold what was written to it.
var errOtherBytes = errors.New("the server has other bytes than were written")

func (t *besideTrial) contents() []byte {
	var b bytes.Buffer
	for i := range trialBlocks {
		b.Write(bytes.Repeat([]byte{byte('A' + i)}, trialBlock))
	}
	return b.Bytes()
}

// write writes the first block through one handle, and the others through both,
// from the last to the second.
func (t *besideTrial) write(ctx context.Context, data []byte) error {
	flags := uint32(wire.Create | wire.Exclusive)
	if t.d.limits.exclusive.absent() {
		flags = wire.Create | wire.Truncate
	}
	if err := t.enter(ctx, 0, flags); err != nil {
		return err
	}
	if err := t.put(ctx, data, [2]int{0, 0}); err != nil {
		return err
	}
	if err := t.enter(ctx, 1, 0); err != nil {
		return err
	}
	if err := t.put(ctx, data, [2]int{1, 3}, [2]int{0, 2}, [2]int{1, 1}); err != nil {
		return err
	}
	return t.close(ctx)
}

// enter opens the file on one of the lanes.
func (t *besideTrial) enter(ctx context.Context, i int, flags uint32) error {
	if !t.d.gate.tryEnter() {
		return errNoTurn
	}
	p := &pendingFile{d: t.d, path: t.path}
	h, err := p.open(ctx, t.lanes[i], flags)
	if err != nil {
		t.d.gate.fail()
		return err
	}
	t.d.gate.succeed()
	t.open[i], t.made = h, true
	return nil
}

// put writes blocks, each a lane and a number, all at once.
func (t *besideTrial) put(ctx context.Context, data []byte, blocks ...[2]int) error {
	var calls []*wire.Call
	for _, b := range blocks {
		c := &wire.Call{Done: make(chan *wire.Call, 1)}
		off := b[1] * trialBlock
		if err := t.lanes[b[0]].wire().session.Write(ctx, c, t.open[b[0]], int64(off), data[off:off+trialBlock]); err != nil {
			return err
		}
		calls = append(calls, c)
	}
	return waitAll(ctx, calls)
}

// close gives the handles back.
func (t *besideTrial) close(ctx context.Context) error {
	var calls []*wire.Call
	for i, h := range t.open {
		if h == "" {
			continue
		}
		c := &wire.Call{Done: make(chan *wire.Call, 1), Then: func(*wire.Call) { t.d.gate.leave() }}
		t.lanes[i].wire().session.CloseFile(c, h)
		t.open[i] = ""
		calls = append(calls, c)
	}
	return waitAll(ctx, calls)
}

// compare reads the file back. What cannot be read has shown nothing.
func (t *besideTrial) compare(ctx context.Context, want []byte) error {
	got := make([]byte, len(want)+1)
	n := 0
	err := t.d.readBackOn(ctx, t.lanes[0], t.path, func(f *wireFile) (err error) {
		n, err = f.readFull(ctx, got, 0)
		return err
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(got[:n], want) {
		return errOtherBytes
	}
	return nil
}

// cleanUp removes the file.
func (t *besideTrial) cleanUp(ctx context.Context) {
	_ = t.close(ctx)
	if t.made {
		_ = t.d.discard(ctx, t.path)
	}
}

// mayRemove reports whether the server lets us remove what we make. Where that is
// not known, it is asked to remove what does not exist, under a name of ours.
func (d *Destination) mayRemove(ctx context.Context, l *lane) bool {
	if state := d.limits.remove.state.Load(); state != 0 {
		return state == featureWorks
	}
	missing := d.path(pending.Name("trial", d.cfg.Owner.NewID()))
	_, err := l.wire().ask(ctx, func(c *wire.Call) { l.wire().session.Remove(c, missing) })
	if denied(err) {
		d.limits.remove.refused(err)
		return false
	}
	return err == nil || isAnswer(err)
}
