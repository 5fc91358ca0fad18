package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// resume resumes an interrupted upload. The length of the remote file says nothing
// about its contents, as WRITEs may have left gaps. Only the checkpoint counts.
func (d *Destination) resume(ctx context.Context, e filesync.Entry, from filesync.Checkpoint) (filesync.Pending, error) {
	err := d.dirs.ensure(ctx, parentOf(e.Name), false)
	if errors.Is(err, filesync.ErrConflict) { // a file stands where the directory was
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err == nil && d.cfg.Direct {
		err = d.checkPartial(ctx, e, from)
	}
	p := d.newPending(ctx, e, from.ID)
	if err != nil {
		return nil, p.failed(ctx, "resume", err)
	}
	err = errNoReopen
	if !d.limits.resumeWrite.absent() {
		err = p.create(ctx, 0)
		d.limits.resumeWrite.refused(err)
	}
	switch {
	case err == nil:
		err = p.truncateTo(ctx, from.Prefix)
	case errors.Is(err, errNoReopen), isAnswer(err) && !errors.Is(err, fs.ErrNotExist) && !isFull(err):
		err = p.drop(ctx, from.Prefix, err)
	}
	if err != nil {
		return nil, p.failed(ctx, "resume", err)
	}
	if len(p.channels) == 0 {
		return p, nil
	}
	p.widen(from.Prefix)
	return p, nil
}

// errNoReopen means that the server does not open an existing file for writing.
var errNoReopen = errors.New("the server does not let a file be gone on with")

// drop removes an interrupted file that the server does not let us open again. At
// prefix 0 there is nothing to resume: the result only tells whether the file was still
// pending, and writing to it fails.
func (p *pendingFile) drop(ctx context.Context, prefix int64, refused error) error {
	err := p.remove(ctx)
	switch {
	case err == nil && prefix == 0:
		return nil
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, refused)
	case !isAnswer(err):
		return err
	}
	if _, lerr := p.d.statAt(ctx, p.path); errors.Is(lerr, fs.ErrNotExist) || prefix > 0 && !p.d.cfg.Direct {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, refused) // what cannot be removed is left
	}
	return refused
}

// checkPartial checks that the file under the name may be the one that was begun there.
// A complete file is published and not pending any more, and a file that cannot be ours
// is left alone. Only the checkpoint tells that it is ours. A file that is to be begun
// anew (filesync.InPlaceID) may look complete.
func (d *Destination) checkPartial(ctx context.Context, e filesync.Entry, from filesync.Checkpoint) error {
	now, err := d.statOne(ctx, e.Name)
	switch {
	case err != nil:
		return err
	case !now.Mode.IsRegular(), now.Size < from.Prefix, now.Size > e.Size,
		!strings.HasPrefix(from.ID, filesync.InPlaceID) && (now.SameVersion(e) || now.Size == e.Size && from.Prefix == 0):
		return fs.ErrNotExist
	}
	return nil
}

// truncateTo cuts an interrupted file to the prefix. Where the server does not truncate
// files, the rest is overwritten: it is no longer than the file will be, or Finish
// notices it. A file that is shorter than the prefix is not the one that was kept. A
// file of unknown length may be shorter than any prefix but 0.
//
// At prefix 0 nothing is cut, as the file may have its name already: OpenSSH's RENAME
// links and unlinks, so that a kill between the two leaves one file under both names,
// and a RENAME of the last connection may still be running.
func (p *pendingFile) truncateTo(ctx context.Context, prefix int64) error {
	ch := p.channels[0]
	a := attrs{size: -1}
	if !p.d.limits.noFstat.Load() {
		c, err := ch.wire().ask(ctx, func(c *wire.Call) { ch.wire().session.Fstat(c, ch.h) })
		if err == nil {
			a = attrsOf(c.Attr)
		}
	}
	var err error
	if a.size < 0 {
		a, err = p.statByName(ctx)
	}
	unknown := a.size < 0
	if err == nil && a.size < prefix && !(unknown && prefix == 0) { // or OPEN has truncated it
		if p.d.cfg.Direct {
			p.d.limits.resumeWrite.state.Store(featureAbsent) // it was long enough before the OPEN
		}
		_ = p.Abort(ctx)
		err = fmt.Errorf("%d bytes are there and not %d: %w", a.size, prefix, fs.ErrNotExist)
	}
	if err == nil && prefix > 0 && a.size > prefix && !p.d.limits.truncate.absent() {
		_, err = ch.wire().ask(ctx, func(c *wire.Call) { ch.wire().session.FsetSize(c, ch.h, prefix) })
		if p.d.limits.truncate.refused(err) || isAnswer(err) {
			err = nil
		}
	}
	if err != nil {
		_ = p.Keep()
		return err
	}
	p.acked.add(0, prefix)
	p.resumed = true
	return nil
}
