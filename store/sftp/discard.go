package sftp

import (
	"context"
	"errors"
	"io/fs"
)

var (
	// errNotRemoved is a file that nobody has tried to remove.
	errNotRemoved = errors.New("not removed yet")
	// errStays is a server whose word is not to be taken.
	errNotGone = errors.New("the server says that it was removed, and it is still there")
)

// discard removes a file that is not to stay, and makes sure that it is gone.
func (d *Destination) discard(ctx context.Context, path string) error {
	err := d.remove(ctx, path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		if _, lerr := d.statAt(ctx, path); lerr == nil {
			err = errNotGone
		}
	}
	// A server that lets nothing be removed would be swept at each pass, for nothing.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && (!denied(err) || d.limits.hasRemoved.Load()) {
		d.littered.Store(true)
	}
	return err
}

// Littered implements sync.Litterer.
func (d *Destination) Littered() bool { return d.littered.Swap(false) }
