package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"sftpconnector/status"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// statusError is short for what concerns the whole destination.
type statusError = status.Error

// spareRoom is how much room may be left on a disk that counts as full: a file
// system does not give its last blocks to everybody.
const spareRoom = 64 << 10

// failed gives an error its operation and name, and one of the whole destination
// its word.
func (d *Destination) failed(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	_, ended := errors.AsType[*wire.EndError](err)
	_, whole := errors.AsType[*statusError](err)
	switch {
	case ended || d.conn.Err() != nil:
		return disconnected(d.lost(err))
	case whole || ctx.Err() != nil:
		return err
	case mustBeginAnew(err) && !errors.Is(err, filesync.ErrBeginAnew):
		err = fmt.Errorf("%w: %w", filesync.ErrBeginAnew, err)
	}
	if mustBeginAnew(err) {
		return fmt.Errorf("%s %s: %w", op, shown(name), err)
	}
	if e, ok := errors.AsType[*wire.StatusError](err); ok {
		switch {
		case e.Code == wire.CodeExists:
			err = fmt.Errorf("%w (%w)", filesync.ErrConflict, err)
		case saysFull(e):
			return fullError(op, name, err)
		}
	}
	return fmt.Errorf("%s %s: %w", op, shown(name), err)
}

// failed is the same for a file on its way, where a failure without a reason may
// be that there is no room.
func (p *pendingFile) failed(ctx context.Context, op string, err error) error {
	if isFailure(err) && p.noRoom(ctx) {
		return fullError(op, p.entry.Name, err)
	}
	return p.d.failed(ctx, op, p.entry.Name, err)
}

// failedToWrite is failed for what was being written. Where that may be the fault
// of how it was written, through several handles or on top of what an earlier pass
// has left, this is not done again on this server, and the copy begins anew.
func (p *pendingFile) failedToWrite(ctx context.Context, op string, err error) error {
	_, size := errors.AsType[*sizeError](err)
	if !isAnswer(err) && !size || errors.Is(err, fs.ErrPermission) || isFull(err) || isFailure(err) && p.noRoom(ctx) {
		return p.failed(ctx, op, err)
	}
	p.mu.Lock()
	wide := len(p.channels) > 1
	p.mu.Unlock()
	switch {
	case wide:
		p.d.limits.parallelWrites.state.Store(featureAbsent)
	case p.resumed && isAnswer(err):
		p.d.limits.resumeWrite.state.Store(featureAbsent)
	case !p.resumed:
		return p.failed(ctx, op, err)
	}
	return p.failed(ctx, op, fmt.Errorf("%w: %w", filesync.ErrBeginAnew, err))
}

// sizeError is a file of which the server has another number of bytes than were
// written.
type sizeError struct{ has, want int64 }

func (e *sizeError) Error() string {
	return fmt.Sprintf("the server has %d bytes of it, not %d", e.has, e.want)
}

// isFull reports whether a server says that there is no room.
func isFull(err error) bool {
	e, ok := errors.AsType[*wire.StatusError](err)
	return ok && saysFull(e)
}

// worthless reports whether what was written so far is worth nothing, through no
// fault of the file's own: the copy is to begin anew.
func mustBeginAnew(err error) bool {
	return errors.Is(err, filesync.ErrBeginAnew) || errors.Is(err, wire.ErrHandleReused)
}

func fullError(op, name string, err error) error {
	return &status.Error{Word: status.DestinationUnavailable, Op: op, Target: shown(name), Err: fmt.Errorf("%w (%w)", filesync.ErrFull, err)}
}

// saysFull reports whether a server gives want of room as its reason: by a code
// of a later draft, or in words.
func saysFull(e *wire.StatusError) bool {
	if e.Code == wire.CodeNoSpace || e.Code == wire.CodeQuota {
		return true
	}
	text := strings.ToLower(e.Message)
	return strings.Contains(text, "no space") || strings.Contains(text, "disk full") || strings.Contains(text, "quota exceeded")
}

// noRoom asks whether the rest of the file finds no room.
func (p *pendingFile) noRoom(ctx context.Context) bool {
	d := p.d
	if !d.has(&d.limits.statvfs, wire.StatvfsExtension) {
		return false
	}
	ch := d.pool.first().wire()
	c, err := ch.ask(ctx, func(c *wire.Call) { ch.session.Statvfs(c, d.path(parentOf(p.entry.Name))) })
	if d.limits.statvfs.refused(err); err != nil {
		return false
	}
	rest := max(0, p.entry.Size-p.ackedSize())
	return c.Space.Files == 0 || c.Space.Bytes >= 0 && c.Space.Bytes < rest+spareRoom
}

// disconnected makes the error of a lost connection sync.ErrDisconnected, too.
func disconnected(err error) error {
	e, ok := errors.AsType[*statusError](err)
	if !ok {
		return fmt.Errorf("%w: %w", filesync.ErrDisconnected, err)
	}
	lost := *e
	lost.Err = &disconnectedError{e}
	return &lost
}

// gone is why the connection was lost, under the error that says that it was.
type disconnectedError struct{ why *statusError }

func (g *disconnectedError) Error() string {
	if g.why.Err != nil {
		return g.why.Err.Error()
	}
	return string(g.why.Word)
}

func (g *disconnectedError) Unwrap() error { return g.why.Err }

func (g *disconnectedError) Is(target error) bool { return target == filesync.ErrDisconnected }

// isAnswer reports whether an error is a server's answer.
func isAnswer(err error) bool {
	_, ok := errors.AsType[*wire.StatusError](err)
	return ok
}

// isUnsupported reports whether a server does not know a request.
func isUnsupported(err error) bool {
	e, ok := errors.AsType[*wire.StatusError](err)
	return ok && e.Code == wire.CodeUnsupported
}
