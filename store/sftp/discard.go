package sftp

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

var (
	// errNotRemoved means that no removal was tried yet.
	errNotRemoved = errors.New("not removed yet")
	// errNotGone means that the server did not do what it confirmed.
	errNotGone = errors.New("the server says that it was removed, and it is still there")
)

// discard removes a file of ours and checks that it is gone.
func (d *Destination) discard(ctx context.Context, path string) error {
	err := d.remove(ctx, path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		if _, lerr := d.statAt(ctx, path); lerr == nil {
			err = errNotGone
		}
	}
	// Where a server lets no file be removed, a sweep at each pass would be in vain.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && (!denied(err) || d.limits.hasRemoved.Load()) {
		d.leftPending.Store(true)
	}
	return err
}

// NeedsSweep implements sync.SweepRequester.
func (d *Destination) NeedsSweep() bool {
	return d.leftPending.Swap(false) || d.limits.failedSweeps.due(d.cfg.Owner, time.Now())
}
