package sftp

import (
	"context"
	"errors"
	"io/fs"
)

// A server may confirm a RENAME and not have done it. If the new name exists, that is
// not checked. If it does not, the receiver has taken the file only if the file is not
// pending any more. Otherwise the original would be removed, and the file lost.

// errNotRenamed means that the server did not do what it confirmed.
var errNotRenamed = errors.New("the server says that it was renamed, and it still has its temporary name")

// maybeNotReplaced reports whether the file under the name may still be the one that
// was to be replaced.
func (f *publication) maybeNotReplaced() bool {
	return f.replaces != nil && !f.d.cfg.Direct && (f.found.Agrees(*f.replaces) || f.found.Size != f.entry.Size)
}

// awaitRenames fails files that are still pending. Some servers confirm a RENAME a
// moment before they do it.
func (d *Destination) awaitRenames(ctx context.Context, files []*publication) {
	still := d.stillPending(ctx, files)
	if len(still) > 0 && !d.renameWaitFailed.Load() {
		for _, wait := range renameDelays {
			if len(still) == 0 || !pause(ctx, wait) {
				break
			}
			still = d.stillPending(ctx, still)
		}
		d.renameWaitFailed.Store(len(still) > 0)
	}
	for _, f := range still {
		f.notRenamed(ctx)
	}
}

func (f *publication) notRenamed(ctx context.Context) {
	f.done = false
	if f.failure == nil { // else the connection is lost
		f.fail(ctx, errNotRenamed)
		f.failure = renameError(f.failure)
	}
}

// stillPending gives the files that are still pending. If the server does not let us
// check, its confirmation has to do.
func (d *Destination) stillPending(ctx context.Context, files []*publication) (still []*publication) {
	if len(files) == 0 {
		return nil
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = hiddenName(f.entry.Name, f.id)
	}
	stats, err := d.statAll(ctx, names)
	for i, f := range files {
		switch {
		case err != nil:
			f.fail(ctx, err)
			still = append(still, f)
		case !errors.Is(stats[i].Err, fs.ErrNotExist):
			still = append(still, f)
		}
	}
	return still
}
