package connector

import (
	"context"

	filesync "sftpconnector/sync"
)

// open opens the destination and the source, or joins the passes that use them.
// With probe it tries to write to the destination; else a pass that has
// something to write finds out.
func (c *Connector) open(ctx context.Context, probe bool) (Source, filesync.Destination, error) {
	dst, err := c.dst.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	if probe {
		if err := c.tryDestination(ctx, dst); err != nil {
			c.dst.release(dst, false)
			return nil, nil, err
		}
	}
	src, err := c.src.acquire(ctx)
	if err != nil {
		c.dst.release(dst, false)
		return nil, nil, err
	}
	return src, dst, nil
}

// tryDestination tries to write to the destination. A file that it could not remove is
// left to the next pass.
func (c *Connector) tryDestination(ctx context.Context, dst filesync.Destination) error {
	err := dst.Probe(ctx)
	if l, ok := dst.(filesync.SweepRequester); ok && l.NeedsSweep() {
		c.requireSweep(ctx)
	}
	return err
}

func (c *Connector) openSource(ctx context.Context) (Source, error) {
	return unlessHeld(ctx, c, &c.srcHold, c.cfg.SFTP.Host, func(ctx context.Context) (Source, error) {
		return c.source(ctx, nil)
	})
}

func (c *Connector) openDestination(ctx context.Context) (filesync.Destination, error) {
	target := c.cfg.Files.DestinationDirectoryPath // on a share, perhaps
	if c.cfg.Uploads() {
		target = c.cfg.SFTP.Host
	}
	return unlessHeld(ctx, c, &c.dstHold, target, func(ctx context.Context) (filesync.Destination, error) {
		return c.destination(ctx, nil)
	})
}

func (c *Connector) reopen(ctx context.Context) (filesync.Source, error) {
	c.log.Info("connection lost, opening it again")
	src, err := c.src.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return src, nil
}
