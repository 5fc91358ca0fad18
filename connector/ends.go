package connector

import (
	"context"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// open opens the destination and the source, or joins the passes that use them.
// With probe it tries to write to the destination; else a pass that has
// something to write finds out.
func (e *Element) open(ctx context.Context, probe bool) (Source, filesync.Destination, error) {
	dst, err := e.dst.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	if probe {
		if err := dst.Probe(ctx); err != nil {
			e.dst.release(dst, false)
			return nil, nil, err
		}
	}
	src, err := e.src.acquire(ctx)
	if err != nil {
		e.dst.release(dst, false)
		return nil, nil, err
	}
	return src, dst, nil
}

func (e *Element) openSource(ctx context.Context) (Source, error) {
	open := func(ctx context.Context) (Source, error) { return e.parts.Source(ctx, e.cfg, nil) }
	if e.cfg.Uploads() || e.cfg.Space != nil {
		return open(ctx)
	}
	return login(ctx, e, open)
}

func (e *Element) openDestination(ctx context.Context) (filesync.Destination, error) {
	open := func(ctx context.Context) (filesync.Destination, error) { return e.parts.Destination(ctx, e.cfg, nil) }
	if e.cfg.Uploads() {
		return login(ctx, e, open)
	}
	return open(ctx)
}

// login opens the end that is the SFTP server, unless that refused us a short
// while ago: only a person who asks for it tries again before the hold is over.
// One login is tried at a time.
func login[T any](ctx context.Context, e *Element, open func(context.Context) (T, error)) (T, error) {
	e.mu.Lock()
	held, word := time.Now().Before(e.held), e.heldFor
	e.mu.Unlock()
	if held {
		var none T
		return none, &status.Error{Word: word, Op: "log in", Target: e.cfg.SFTP.Host, Err: ErrHeld}
	}
	end, err := open(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch word := status.Of(err); {
	case ctx.Err() != nil:
	case word == status.AuthenticationFailed, word == status.HostKeyVerificationFailed, word == status.HostKeyUnknown:
		e.heldFor = word
		e.held = time.Now().Add(min(refusedHold<<min(e.refused, 10), refusedHoldMax))
		e.refused++
	default:
		e.refused, e.held = 0, time.Time{}
	}
	return end, err
}

// letIn ends a hold, as somebody asks for a login now.
func (e *Element) letIn() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = time.Time{}
}

func (e *Element) reopen(ctx context.Context) (filesync.Source, error) {
	e.log.Info("connection lost, opening it again")
	src, err := e.src.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return src, nil
}
