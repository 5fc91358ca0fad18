package sftp

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// resume goes on with an interrupted file. Its remote length says nothing of
// what is in it: WRITEs may have left gaps. Only the checkpoint counts.
func (d *Destination) resume(ctx context.Context, e filesync.Entry, from filesync.Checkpoint) (filesync.Pending, error) {
	err := d.dirs.find(ctx, parentOf(e.Name), false)
	if err == nil && d.cfg.Direct {
		err = d.halfFile(ctx, e, from)
	}
	p := d.newPending(ctx, e, from.ID)
	if err == nil {
		err = p.create(ctx, 0)
	}
	if err == nil {
		err = p.cutTo(ctx, from.Prefix)
	}
	if err != nil {
		return nil, p.failed(ctx, "resume", err)
	}
	p.widen(from.Prefix)
	return p, nil
}

// halfFile makes sure that what stands under the name may be the file that was
// begun there: a whole one is published, and pending no more, and what cannot be
// ours is left alone. Nothing but the checkpoint tells that it is ours.
func (d *Destination) halfFile(ctx context.Context, e filesync.Entry, from filesync.Checkpoint) error {
	now, err := d.lookAtOne(ctx, e.Name)
	switch {
	case err != nil:
		return err
	case !now.Mode.IsRegular(), now.SameVersion(e), now.Size < from.Prefix, now.Size > e.Size,
		now.Size == e.Size && from.Prefix == 0 && !strings.HasPrefix(from.ID, filesync.InPlaceID):
		return fs.ErrNotExist
	}
	return nil
}

// cutTo leaves the prefix of an interrupted copy. Where the server does not cut
// files, the rest is written over: it is no longer than the file is to be, and
// where it is, Finish finds out. A file that is shorter is not the one that was kept.
//
// At prefix 0 nothing is cut, as the file may have its name already: OpenSSH's
// RENAME links and unlinks, so that a kill between the two leaves one file under
// both names, and a RENAME of the last connection may still be under way.
func (p *pendingFile) cutTo(ctx context.Context, prefix int64) error {
	l := p.lanes[0]
	a := attrs{size: -1}
	if !p.d.limits.noFstat.Load() {
		c, err := l.wire().ask(ctx, func(c *wire.Call) { l.wire().session.Fstat(c, l.h) })
		if err == nil {
			a = attrsOf(c.Attr)
		}
	}
	var err error
	if a.size < 0 {
		a, err = p.statByName(ctx)
	}
	if err == nil && a.size < prefix { // or nobody tells how long it is
		if !p.d.cfg.Direct {
			_ = p.Abort(ctx)
		}
		err = fmt.Errorf("%d bytes are there and not %d: %w", a.size, prefix, fs.ErrNotExist)
	}
	if err == nil && prefix > 0 && a.size > prefix && !p.d.limits.cut.absent() {
		_, err = l.wire().ask(ctx, func(c *wire.Call) { l.wire().session.FsetSize(c, l.h, prefix) })
		if p.d.limits.cut.refused(err) || isAnswer(err) {
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
