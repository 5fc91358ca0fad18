package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"sftpconnector/status"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Probe implements sync.Destination. It makes the directory if only that is missing,
// writes a small pending file, gives it another hidden name and removes it. Every error
// is a *status.Error.
//
// It writes no file where a receiver may take it: with Direct, or after one was taken.
// Nor does it where the file could not be removed. Untried tells.
func (d *Destination) Probe(ctx context.Context) error {
	err := d.dirs.ensure(ctx, "", true)
	if err == nil {
		err = d.probeWrite(ctx)
	}
	if err == nil {
		return nil
	}
	err = d.failed(ctx, "write to", "", err)
	if _, ok := errors.AsType[*status.Error](err); ok {
		return err
	}
	word := status.DestinationUnavailable
	if ctx.Err() != nil {
		word = status.ConnectionTimedOut
	}
	e := &status.Error{Word: word, Op: "write to", Target: shown(d.path("")), Err: unnamed(err)}
	if own, ok := errors.AsType[*hintedError](err); ok {
		e.Hint = own.hint
	}
	return e
}

// unnamed takes the operation and path off an error of failed.
func unnamed(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// Untried is why the last Probe wrote no file; "" if it wrote one.
func (d *Destination) Untried() string {
	if why := d.untried.Load(); why != nil {
		return *why
	}
	return ""
}

// probeWrite writes a file of one byte. A failure without a reason may be for want of
// room.
func (d *Destination) probeWrite(ctx context.Context) error {
	why := ""
	switch {
	case d.cfg.Direct:
		why = "writing was not tried: with upload_name direct, a receiver may take every file"
	case d.limits.takenEarly.Load():
		why = "writing was not tried: a receiver took the last file that was written to try it"
	case !d.canRemove(ctx, d.pool.first()):
		why = "writing was not tried: the server does not let files be removed"
	}
	d.untried.Store(&why)
	if why != "" {
		return d.probeWithoutWriting(ctx)
	}
	e := filesync.Entry{Name: pending.Name("probe", d.cfg.Owner.NewID()), Size: 1}
	p := &pendingFile{d: d, ctx: ctx, entry: e, path: d.path(e.Name)}
	err := p.probeWrite(ctx)
	if _, withStatus := errors.AsType[*status.Error](err); !withStatus && isFailure(err) && p.noRoom(ctx) {
		return fullError("write to", d.path(""), err)
	}
	return err
}

// probeWithoutWriting asks for what uploads need where no file may be written: to open
// and to rename a missing file. A server that denies this of a file that it says is
// missing will deny it for any file.
func (d *Destination) probeWithoutWriting(ctx context.Context) error {
	if err := d.conn.Err(); err != nil || d.cfg.Direct {
		return err
	}
	name := func() string { return pending.Name("probe", d.cfg.Owner.NewID()) }
	_, err := d.statOne(ctx, name())
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !isAnswer(err):
		return err
	case isHidden(err) && !d.cfg.Overwrite && !d.limits.takenEarly.Load() && !d.renameKeepsTarget(ctx, ""):
		return overwriteError(err) // as each file would fail
	case isHidden(err) && d.pool.first().wire().ordered:
		return d.probeRenameMissing(ctx, name) // OpenSSH answers that it is missing, if it would rename
	case !errors.Is(err, fs.ErrNotExist), isHidden(err):
		return nil // the answers would tell nothing
	}
	p := &pendingFile{d: d, ctx: ctx, path: d.path(name())}
	ch := d.pool.first()
	h, err := p.open(ctx, ch, 0)
	if err == nil { // it made the file
		ch.wire().session.CloseHandle(h, nil)
	}
	if denied(err) {
		return d.nameHint(fmt.Errorf("write a file: %w", err))
	}
	return d.probeRenameMissing(ctx, name)
}

// probeRenameMissing asks to rename a missing file. A server that denies that will deny
// it for any file.
func (d *Destination) probeRenameMissing(ctx context.Context, name func() string) error {
	if err := d.renameOne(ctx, d.path(name()), d.path(name())); denied(err) {
		return renameError(fmt.Errorf("rename a file: %w", err))
	}
	d.limits.rename.state.CompareAndSwap(featureAbsent, 0)
	return nil
}

// denied reports whether the server refuses for want of rights or support.
func denied(err error) bool { return errors.Is(err, fs.ErrPermission) || isUnsupported(err) }

// probeWrite writes the one byte of a file, renames and removes it.
func (p *pendingFile) probeWrite(ctx context.Context) error {
	if err := p.create(ctx, wire.Create|wire.Exclusive); err != nil {
		return p.d.nameHint(err)
	}
	_, err := p.WriteAt([]byte("x"), 0)
	if err == nil {
		err = p.drain(ctx)
	}
	if cerr := p.closeAll(ctx); err == nil {
		err = cerr
	}
	first := p.path
	if err == nil {
		err = p.probeRename(ctx)
	}
	rerr := p.d.discard(ctx, p.path)
	switch {
	case err == nil && errors.Is(rerr, fs.ErrNotExist) && p.path != first && !p.d.isMissing(ctx, first):
		_ = p.d.discard(ctx, first)
		return renameError(errNotRenamed)
	case err == nil && errors.Is(rerr, errNotGone): // the next pass removes it
		return nil
	case err == nil && !errors.Is(rerr, fs.ErrNotExist) && !p.d.limits.remove.refused(rerr):
		err = rerr
	}
	return err
}

// probeRename gives the file another hidden name, as Publish gives a file its own.
func (p *pendingFile) probeRename(ctx context.Context) error {
	to := p.d.path(pending.Name("probe", p.d.cfg.Owner.NewID()))
	err := p.d.renameOne(ctx, p.path, to)
	if err == nil {
		p.path = to
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, lerr := p.d.statOne(ctx, p.entry.Name); errors.Is(lerr, fs.ErrNotExist) && !isHidden(lerr) {
			return p.d.explainMissing(ctx, "", err)
		}
	}
	_ = p.d.discard(ctx, to) // it may have been renamed all the same
	return renameError(fmt.Errorf("rename a file: %w", err))
}

// errTakenEarly means that a receiver does not wait for a file's own name.
var errTakenEarly = errors.New("a file was gone as soon as it was written, under its temporary name: something takes files away as they come")

// renameError is the failure of a RENAME, with a hint.
func renameError(err error) error {
	return &hintedError{
		fmt.Errorf("%w; if this server does not let files be renamed, set files.upload_name: direct", err),
		"If this server does not let files be renamed, set files.upload_name: direct.",
	}
}

// nameHint adds a hint where a temporary file is refused.
func (d *Destination) nameHint(err error) error {
	if d.cfg.Direct || isFull(err) || !errors.Is(err, fs.ErrPermission) && !isFailure(err) {
		return err
	}
	return &hintedError{err, "Have the server's administrator let this user write here. If the server takes files of certain names only, " +
		"or none that begin with a dot, set files.upload_name: direct."}
}
