package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Sync implements sync.Destination. Finish has synced the files, where the server can
// do that.
func (d *Destination) Sync(ctx context.Context, batch []filesync.Pending) []error {
	errs := make([]error, len(batch))
	if d.conn.Err() == nil {
		return errs
	}
	for i, p := range batch {
		errs[i] = p.(*pendingFile).failed(ctx, "sync", d.conn.Err())
	}
	return errs
}

// Publish implements sync.Destination. SFTP cannot make a name durable, so that the
// server's confirmation has to do. Publish then asks what is under each name, for
// Stands. A file that its receiver has taken by then is no failure.
//
// If nothing may be under the name, OpenSSH's RENAME keeps a file that is, whenever it
// came (it links and unlinks). For other servers, Publish checks the name before; most
// of them refuse by themselves as well, but one whose RENAME overwrites would overwrite
// a file that comes in between. A file that is to be replaced is checked, and then
// replaced by posix-rename@openssh.com: another version that comes in between is lost.
// On a server without that, the existing file is removed first: if the RENAME then
// fails, no file is under the name, and the new one stays pending.
func (d *Destination) Publish(ctx context.Context, batch []filesync.Publication) []error {
	files := make([]*publication, len(batch))
	for i, each := range batch {
		files[i] = &publication{pendingFile: each.Pending.(*pendingFile), replaces: each.Replaces}
		if state := files[i].currentState(); state != pendingFinished {
			files[i].fail(ctx, fs.ErrClosed)
		}
	}
	if d.cfg.Direct {
		d.publishDirect(ctx, files)
	} else {
		d.publishByRename(ctx, files)
	}
	d.checkPublished(ctx, files)
	errs := make([]error, len(batch))
	for i, f := range files {
		if errs[i] = f.failure; errs[i] == nil {
			f.advance(pendingFinished, pendingPublished)
			if !d.cfg.Direct {
				d.limits.takenEarly.Store(false) // no receiver took it before it had its name
			}
		}
	}
	return errs
}

// publication is a file that is being published.
type publication struct {
	*pendingFile
	replaces *filesync.Entry
	done     bool  // the file has its name
	hidden   bool  // the server hides what is under the name
	failure  error // why the file does not have its name
	refusal  error // the server's answer to RENAME

	found *filesync.Entry // the entry under the name, right after the RENAME
}

func (f *publication) fail(ctx context.Context, err error) {
	f.failure = f.failed(ctx, "publish", err)
}

func (f *publication) waits() bool { return !f.done && f.failure == nil }

// publishDirect publishes files that are written under their own names. A file that the
// server could not close may lack bytes (for want of room, say), and a later pass would
// take it for complete. So it is removed at once.
func (d *Destination) publishDirect(ctx context.Context, files []*publication) {
	calls := make([][]*wire.Call, len(files))
	for i, f := range files {
		if f.waits() {
			calls[i] = f.sendCloses(f.channels)
		}
	}
	for i, f := range files {
		if !f.waits() {
			continue
		}
		if err := waitAll(ctx, calls[i]); err != nil {
			f.fail(ctx, fmt.Errorf("close it: %w", err)) // fail asks for the room on the disk, which removePublished changes
			if isAnswer(err) || mustBeginAnew(err) {
				f.removePublished(ctx)
			}
			continue
		}
		f.done = true
	}
}

// removePublished removes a file that has its own name and is not complete. If that
// fails, the failure stays this file's alone: with a failure of the whole destination,
// a later pass would look for what became of the file.
func (f *publication) removePublished(ctx context.Context) {
	if err := f.d.remove(ctx, f.d.path(f.entry.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.failure = errors.New(f.failure.Error() + "; it stands there, as it cannot be removed: " + err.Error())
	}
}

// askEach sends one request for each file that wants reports, and passes its answer on.
// All requests go to the first channel, so that the server runs one at a time.
func (d *Destination) askEach(ctx context.Context, files []*publication, wants func(*publication) bool,
	send func(*wire.Session, *wire.Call, *publication), got func(*publication, error)) {
	var asked []*publication
	for _, f := range files {
		if wants(f) {
			asked = append(asked, f)
		}
	}
	answered := make([]bool, len(asked))
	ch := d.pool.first().wire()
	err := ch.askAll(ctx, len(asked), func(i int, c *wire.Call) { send(ch.session, c, asked[i]) }, func(i int, c *wire.Call) {
		answered[i] = true
		got(asked[i], c.Err)
	})
	for i, f := range asked {
		if !answered[i] {
			f.fail(ctx, err)
		}
	}
}
