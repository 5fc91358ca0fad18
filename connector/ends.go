package connector

import (
	"context"

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
		if err := e.tryDestination(ctx, dst); err != nil {
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

// tryDestination tries to write to the destination. A file that it could not remove is
// left to the next pass.
func (e *Element) tryDestination(ctx context.Context, dst filesync.Destination) error {
	err := dst.Probe(ctx)
	if l, ok := dst.(filesync.Litterer); ok && l.Littered() {
		e.litter(ctx)
	}
	return err
}

func (e *Element) openSource(ctx context.Context) (Source, error) {
	return login(ctx, e, &e.srcHold, e.cfg.SFTP.Host, func(ctx context.Context) (Source, error) {
		return e.source(ctx, nil)
	})
}

func (e *Element) openDestination(ctx context.Context) (filesync.Destination, error) {
	target := e.cfg.Files.DestinationDirectoryPath // on a share, perhaps
	if e.cfg.Uploads() {
		target = e.cfg.SFTP.Host
	}
	return login(ctx, e, &e.dstHold, target, func(ctx context.Context) (filesync.Destination, error) {
		return e.destination(ctx, nil)
	})
}

func (e *Element) reopen(ctx context.Context) (filesync.Source, error) {
	e.log.Info("connection lost, opening it again")
	src, err := e.src.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return src, nil
}
