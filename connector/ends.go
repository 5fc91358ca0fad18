package connector

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sftpconnector/config"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// ends are the source and the destination of a connector. Passes side by side share what is
// open. An end whose server refused the login a short while ago is not opened: only a
// person who asks for it tries again before the hold is over. Methods may be called
// concurrently.
type ends struct {
	cfg    *config.Connector
	parts  Parts
	ledger *ledger.Connector
	epoch  func() int64 // of the connector
	log    *slog.Logger

	src *shared[Source]
	dst *shared[filesync.Destination]

	mu      sync.Mutex
	srcHold hold // of logins at the source
	dstHold hold // of logins at the destination
}

// newEnds makes the ends of a connector, with the holds that the ledger remembers.
func newEnds(cfg *config.Connector, parts Parts, past ledger.Remembered, epoch func() int64, log *slog.Logger) *ends {
	e := &ends{cfg: cfg, parts: parts, ledger: past.Connector, epoch: epoch, log: log}
	e.srcHold = newHold(sourceEnd, loginOf(cfg, sourceEnd), past.Holds, time.Now())
	e.dstHold = newHold(destinationEnd, loginOf(cfg, destinationEnd), past.Holds, time.Now())
	e.src = newShared(e.openSource, func(s Source) { s.Close() })
	e.dst = newShared(e.openDestination, func(d filesync.Destination) { d.Close() })
	return e
}

// open opens the destination and the source, or joins the passes that use them. With probe
// it tries to write to the destination; else a pass that has something to write finds out.
func (e *ends) open(ctx context.Context, probe bool) (Source, filesync.Destination, error) {
	dst, err := e.dst.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	if probe {
		if err := e.probe(ctx, dst); err != nil {
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

// reopen opens the source again, whose connection was lost.
func (e *ends) reopen(ctx context.Context) (filesync.Source, error) {
	e.log.Info("connection lost, opening it again")
	src, err := e.src.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return src, nil
}

// probe tries to write to the destination. A file that it could not remove is left to the
// next pass.
func (e *ends) probe(ctx context.Context, dst filesync.Destination) error {
	err := dst.Probe(ctx)
	if l, ok := dst.(filesync.SweepRequester); ok && l.NeedsSweep() {
		e.requireSweep(ctx)
	}
	return err
}

// requireSweep has the next pass sweep once more: the far side may have done what it had
// in hand of a lost connection after this pass had swept.
func (e *ends) requireSweep(ctx context.Context) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	if err := e.ledger.RequireSweep(late); err != nil {
		e.log.Warn("pending files may be left at the destination", "error", err)
	}
}

func (e *ends) openSource(ctx context.Context) (Source, error) {
	return unlessHeld(ctx, e, &e.srcHold, e.cfg.SFTP.Host, func(ctx context.Context) (Source, error) {
		return e.source(ctx, nil)
	})
}

func (e *ends) openDestination(ctx context.Context) (filesync.Destination, error) {
	target := e.cfg.Files.DestinationDirectoryPath // on a share, perhaps
	if e.cfg.Uploads() {
		target = e.cfg.SFTP.Host
	}
	return unlessHeld(ctx, e, &e.dstHold, target, func(ctx context.Context) (filesync.Destination, error) {
		return e.destination(ctx, nil)
	})
}

// source opens the source, whether it is held or not.
func (e *ends) source(ctx context.Context, observe status.Observer) (Source, error) {
	if e.cfg.Uploads() {
		return e.parts.Source(ctx, e.cfg, observe)
	}
	return withCredentials(ctx, e.parts.Credentials, e.cfg, observe, e.parts.Source)
}

// destination opens the destination, whether it is held or not.
func (e *ends) destination(ctx context.Context, observe status.Observer) (filesync.Destination, error) {
	open := func(ctx context.Context, cfg *config.Connector, observe status.Observer) (filesync.Destination, error) {
		return e.parts.Destination(ctx, cfg, e.epoch(), observe)
	}
	if !e.cfg.Uploads() {
		return open(ctx, e.cfg, observe)
	}
	return withCredentials(ctx, e.parts.Credentials, e.cfg, observe, open)
}
