package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// openAsTaken opens the file for writing in one of the ways that servers take. One
// that refuses EXCL makes our temporary name without. A file under its own name is
// made without only if nothing was seen there, or may be overwritten.
func (p *pendingFile) openAsTaken(ctx context.Context, l *lane, flags uint32) (wire.Handle, error) {
	exclusive := &p.d.limits.exclusive
	var refusal error
	if p.made && flags&wire.Exclusive != 0 {
		return p.open(ctx, l, wire.Create|wire.Truncate)
	}
	if flags&wire.Exclusive == 0 || !exclusive.absent() {
		h, err := p.open(ctx, l, flags)
		if flags&wire.Exclusive != 0 && (err == nil || worthless(err)) {
			p.made = true
			exclusive.refused(nil)
		}
		if !isAnswer(err) || flags == 0 || isFull(err) {
			return h, err
		}
		refusal = err
	}
	if flags&wire.Exclusive != 0 && p.d.cfg.Direct {
		if err := p.mayTruncate(ctx, refusal); err != nil {
			return "", err
		}
	}
	if flags == wire.Truncate && errors.Is(refusal, fs.ErrNotExist) {
		return "", refusal
	}
	h, err := p.open(ctx, l, wire.Create|wire.Truncate)
	if err == nil && refusal != nil && flags&wire.Exclusive != 0 {
		exclusive.state.CompareAndSwap(0, featureAbsent)
	}
	return h, err
}

// mayTruncate reports why a file must not be made under its own name by an OPEN that
// would overwrite another one. refusal is that of an OPEN that would not, if any.
func (p *pendingFile) mayTruncate(ctx context.Context, refusal error) error {
	_, err := p.d.lookAtOne(ctx, p.entry.Name)
	switch {
	case err == nil:
		return filesync.ErrConflict
	case isUnseen(err) && !p.d.cfg.Overwrite:
		if refusal == nil {
			refusal = errNotExclusive
		}
		return &advised{fmt.Errorf("%w, and what stands under the name is not seen (%v)", refusal, err),
			"Another file may stand there, and is not overwritten: set files.on_conflict: overwrite if it may be, or files.upload_name: pending."}
	case errors.Is(err, fs.ErrNotExist):
		p.missing = !isUnseen(err)
		return nil
	}
	return err
}

var errNotExclusive = errors.New("the server makes no file without overwriting another one")

// advised is an error that comes with what would help.
type advised struct {
	error
	hint string
}

func (e *advised) Unwrap() error { return e.error }

// Hint is what would help.
func (e *advised) Hint() string { return e.hint }
