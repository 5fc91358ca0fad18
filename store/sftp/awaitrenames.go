package sftp

import (
	"context"
	"errors"
	"io/fs"
)

// A server may answer that it has renamed a file, and not have done so. Where its name
// shows, nothing is asked. Where it does not, the file is its receiver's only if it is
// not pending any more: else its original would go, and the file with it.

// errNotRenamed is a server whose word is not to be taken.
var errNotRenamed = errors.New("the server says that it was renamed, and it still has its temporary name")

// replaced reports whether what stands under the name may still be what the file was to
// replace.
func (f *publication) maybeNotReplaced() bool {
	return f.replaces != nil && !f.d.cfg.Direct && (f.found.Agrees(*f.replaces) || f.found.Size != f.entry.Size)
}

// settleRenames fails files that are pending still. Some servers take a moment to
// rename, and have answered by then.
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

// unmoved gives those of the files that are pending still. Where the server does not let
// us look, its word is taken.
func (d *Destination) stillPending(ctx context.Context, files []*publication) (still []*publication) {
	if len(files) == 0 {
		return nil
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = hiddenName(f.entry.Name, f.id)
	}
	looks, err := d.statAll(ctx, names)
	for i, f := range files {
		switch {
		case err != nil:
			f.fail(ctx, err)
			still = append(still, f)
		case !errors.Is(looks[i].Err, fs.ErrNotExist):
			still = append(still, f)
		}
	}
	return still
}
