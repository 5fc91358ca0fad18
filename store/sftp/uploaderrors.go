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

// statusError is short for an error that concerns the whole destination.
type statusError = status.Error

// spareRoom is how much room a full disk may still report, as a file system keeps its
// last blocks for some users.
const spareRoom = 64 << 10

// failed gives an error its operation and name, and one of the whole destination its
// status word.
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

// failed is the same for a file that is being uploaded. A failure without a reason may
// be for want of room.
func (p *pendingFile) failed(ctx context.Context, op string, err error) error {
	if isFailure(err) && p.noRoom(ctx) {
		return fullError(op, p.entry.Name, err)
	}
	return p.d.failed(ctx, op, p.entry.Name, err)
}

// failedToWrite is failed for an error of writing. The reason may be how the file was
// written: through several handles, or on top of what an earlier pass left. Then this
// is not done again on this server, and the copy begins anew.
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

// sizeError means that the server has another number of bytes than were written.
type sizeError struct{ has, want int64 }

func (e *sizeError) Error() string {
	return fmt.Sprintf("the server has %d bytes of it, not %d", e.has, e.want)
}

// isFull reports whether a server refuses for want of room.
func isFull(err error) bool {
	e, ok := errors.AsType[*wire.StatusError](err)
	return ok && saysFull(e)
}

// mustBeginAnew reports whether all that was written so far is lost, through no fault
// of the file: the copy has to begin anew.
func mustBeginAnew(err error) bool {
	return errors.Is(err, filesync.ErrBeginAnew) || errors.Is(err, wire.ErrHandleReused)
}

func fullError(op, name string, err error) error {
	return &status.Error{Word: status.DestinationUnavailable, Op: op, Target: shown(name), Err: fmt.Errorf("%w (%w)", filesync.ErrFull, err)}
}

// saysFull reports whether a status gives want of room as the reason: by a code of a
// later draft, or in words.
func saysFull(e *wire.StatusError) bool {
	if e.Code == wire.CodeNoSpace || e.Code == wire.CodeQuota {
		return true
	}
	text := strings.ToLower(e.Message)
	return strings.Contains(text, "no space") || strings.Contains(text, "disk full") || strings.Contains(text, "quota exceeded")
}

// noRoom asks whether the disk lacks room for the rest of the file.
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

// disconnected makes the error of a lost connection a sync.ErrDisconnected, too.
func disconnected(err error) error {
	e, ok := errors.AsType[*statusError](err)
	if !ok {
		return fmt.Errorf("%w: %w", filesync.ErrDisconnected, err)
	}
	lost := *e
	lost.Err = &disconnectedError{e}
	return &lost
}

// disconnectedError is the cause of a lost connection, and a sync.ErrDisconnected.
type disconnectedError struct{ why *statusError }

func (g *disconnectedError) Error() string {
	if g.why.Err != nil {
		return g.why.Err.Error()
	}
	return string(g.why.Word)
}

func (g *disconnectedError) Unwrap() error { return g.why.Err }

func (g *disconnectedError) Is(target error) bool { return target == filesync.ErrDisconnected }

// isAnswer reports whether an error is a server's status.
func isAnswer(err error) bool {
	_, ok := errors.AsType[*wire.StatusError](err)
	return ok
}

// isUnsupported reports whether a server does not know a request.
func isUnsupported(err error) bool {
	e, ok := errors.AsType[*wire.StatusError](err)
	return ok && e.Code == wire.CodeUnsupported
}
