package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Sync implements sync.Destination: Finish has done it, where it can be done.
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

// Publish implements sync.Destination. SFTP has nothing that makes a name
// durable: when the server says that it is there, that has to do. What stands then
// is looked at, for Stands; that a receiver has taken a file meanwhile is no failure.
//
// Where nothing may stand under the name, OpenSSH's RENAME keeps what does, at
// whatever moment it comes (it links and unlinks). Other servers are asked
// before, and mostly refuse by themselves; one whose RENAME overwrites would do
// so to a file that comes between the two. Where a file is to be replaced, that
// is looked at, and then replaced by posix-rename@openssh.com: another version
// that comes between the two is lost. On a server without that, the file goes
// first: if the RENAME then fails, nothing stands under the name, and the new
// one stays pending.
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
				d.limits.takenEarly.Store(false) // it was left until it had its name
			}
		}
	}
	return errs
}

// publication is a file on its way to its name.
type publication struct {
	*pendingFile
	replaces *filesync.Entry
	done     bool  // it has its name
	hidden   bool  // the server does not let us look what stands under it
	failure  error // why it has not
	refusal  error // the server's answer to RENAME

	found *filesync.Entry // what stood under it right behind the RENAME
}

func (f *publication) fail(ctx context.Context, err error) {
	f.failure = f.failed(ctx, "publish", err)
}

func (f *publication) waits() bool { return !f.done && f.failure == nil }

// closeThem publishes files that are written under their own names. One that
// the server could not close may have lost bytes of it (for want of room, say),
// and looks whole to a later pass: it goes at once.
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
			f.fail(ctx, fmt.Errorf("close it: %w", err)) // which asks for room, before there is some again
			if isAnswer(err) || mustBeginAnew(err) {
				f.removePublished(ctx)
			}
			continue
		}
		f.done = true
	}
}

// takeBack removes a file that has its own name and is not whole. Where that cannot be
// done, the failure is this file's alone, as one of the whole destination would
// leave it to a later pass to find out what became of it.
func (f *publication) removePublished(ctx context.Context) {
	if err := f.d.remove(ctx, f.d.path(f.entry.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.failure = fmt.Errorf("%v; it stands there, as it cannot be removed: %v", f.failure, err)
	}
}

// each sends one request for each of the files that want it, and tells of its
// answer. All go to the first channel, so that two of them are never done at once.
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
