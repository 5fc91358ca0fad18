package transfer

import (
	"context"
	"errors"
	"fmt"

	filesync "sftpconnector/sync"
)

// link makes the pending file as a link to the original, where both ends are on one file
// system and the original is never written to. That takes no room, and no time for the
// contents. It reports false where the file has to be copied.
func (k *copier) link(ctx context.Context, f *finished) (linked bool, err error) {
	d, ok := k.dst.(filesync.LinkingDestination)
	if !ok || f.file.Checkpoint != nil { // what was copied of it earlier is of use
		return false, nil
	}
	e := f.file.Entry
	got, err := k.src.Link(ctx, e, func(path string) (err error) {
		f.pending, err = d.BeginLink(ctx, path, f.delivery.Target)
		return err
	})
	if err == nil && !got.SameVersion(e) {
		err = fmt.Errorf("%w: it was %s, and is %s", filesync.ErrChanged, describe(e), describe(got))
	}
	var will filesync.Entry // stand
	if err == nil {
		will, err = f.pending.Finish(ctx)
	}
	if err != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
		defer cancel()
		k.remove(late, f)
		f.pending = nil
		if errors.Is(err, errors.ErrUnsupported) {
			err = nil
		}
		return false, err
	}
	f.delivery.PendingID, f.delivery.Target = f.pending.ID(), will
	f.client.wrote(e.Size)
	k.src.arrived()
	return true, nil
}
