package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// openForWriting opens the file for writing in one of the ways that servers support. A
// temporary file is made without EXCL where the server refuses that. A file under its
// own name is made without EXCL only if the name is free, or may be overwritten.
func (p *pendingFile) openForWriting(ctx context.Context, ch *dataChannel, flags uint32) (wire.Handle, error) {
	exclusive := &p.d.limits.exclusiveOpen
	var refusal error
	if p.made && flags&wire.Exclusive != 0 {
		return p.open(ctx, ch, wire.Create|wire.Truncate)
	}
	if flags&wire.Exclusive == 0 || !exclusive.absent() {
		h, err := p.open(ctx, ch, flags)
		if flags&wire.Exclusive != 0 && (err == nil || mustBeginAnew(err)) {
			p.made = true
			exclusive.refused(nil)
		}
		if !isAnswer(err) || flags == 0 || isFull(err) {
			return h, err
		}
		refusal = err
	}
	if flags&wire.Exclusive != 0 && p.d.cfg.Direct {
		if err := p.checkTruncate(ctx, refusal); err != nil {
			return "", err
		}
	}
	if flags == wire.Truncate && errors.Is(refusal, fs.ErrNotExist) {
		return "", refusal
	}
	h, err := p.open(ctx, ch, wire.Create|wire.Truncate)
	if err == nil && refusal != nil && flags&wire.Exclusive != 0 {
		exclusive.state.CompareAndSwap(0, featureAbsent)
	}
	return h, err
}

// checkTruncate reports why a file must not be made under its own name by an OPEN that
// would overwrite another one. refusal is that of an OPEN that would not, if any.
func (p *pendingFile) checkTruncate(ctx context.Context, refusal error) error {
	_, err := p.d.statOne(ctx, p.entry.Name)
	switch {
	case err == nil:
		return filesync.ErrConflict
	case isHidden(err) && !p.d.cfg.Overwrite:
		if refusal == nil {
			refusal = errNotExclusive
		}
		return &hintedError{fmt.Errorf("%w, and what stands under the name is not seen (%s)", refusal, err.Error()),
			"Another file may stand there, and is not overwritten: set files.on_conflict: overwrite if it may be, or files.upload_name: pending."}
	case errors.Is(err, fs.ErrNotExist):
		p.nameFree = !isHidden(err)
		return nil
	}
	return err
}

var errNotExclusive = errors.New("the server makes no file without overwriting another one")

// hintedError is an error with a hint at what would help.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// Hint is what would help.
func (e *hintedError) Hint() string { return e.hint }
