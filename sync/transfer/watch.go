package transfer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// maxUnseen is how many steps are written while the room is looked at.
const maxUnseen = 2

// watched is a pending file for which the room is looked at again as it grows:
// others write to the same file system.
type watched struct {
	filesync.Pending
	ctx  context.Context
	look func() error // nil while there is room
	step int64
	m    *room
	full atomic.Pointer[error]
	all  sync.WaitGroup
}

// watchRoom has the room looked at again while the file is written. What it
// gives is to be called before the file ends.
func (k *copier) watchRoom(ctx context.Context, v *reservation, w *extents) (stop func()) {
	v.file.Store(w)
	d, ok := k.dst.(filesync.Roomer)
	if !ok || v.step == 0 {
		return func() {}
	}
	x := &watched{Pending: w.pending, ctx: ctx, step: v.step, m: k.room}
	x.look = func() error {
		now, err := d.Room(ctx, v.dir)
		if err != nil || !isKnown(now) || now.Free >= reserveOf(now)/2 {
			return nil
		}
		return &status.Error{Word: status.DestinationUnavailable, Op: "write", Target: w.source.Name, Hint: hintRoom,
			Err: fmt.Errorf("%w: others have written there, too, and %s are left", filesync.ErrFull, inBytes(now.Free))}
	}
	w.pending = x
	return x.all.Wait
}

// WriteAt implements io.WriterAt.
func (x *watched) WriteAt(b []byte, off int64) (int, error) {
	if full := x.full.Load(); full != nil {
		return 0, *full
	}
	n, err := x.Pending.WriteAt(b, off)
	unseen := x.m.unseen.Add(int64(n))
	if unseen < x.step {
		return n, err
	}
	over := make(chan struct{})
	switch {
	case x.m.looking.CompareAndSwap(nil, &over):
		x.m.unseen.Store(0)
		x.all.Go(func() {
			defer close(over)
			defer x.m.looking.Store(nil)
			if err := x.look(); err != nil {
				x.full.Store(&err)
			}
		})
	case unseen >= maxUnseen*x.step: // no further before that is known
		if other := x.m.looking.Load(); other != nil {
			select {
			case <-*other:
			case <-x.ctx.Done():
			}
		}
	}
	return n, err
}
