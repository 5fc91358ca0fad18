package sftp

import (
	"context"
	"errors"

	"sftpconnector/store/sftp/wire"
)

// probeHandles opens the root as a directory several times at once, on a server that
// may give one handle out twice. With Direct, written files stay open, so that this has
// to be known before. If the server does not open two of them, nothing is known, and
// the next Destination tries again.
func (d *Destination) probeHandles(ctx context.Context) {
	ch := d.pool.first().wire()
	done := func() bool { return d.handleProbeRan.Load() || d.limits.handlesProbed.Load() }
	if ch.ordered || d.limits.channelHandles.Load() == 1 || done() || d.probing.Acquire(ctx, 1) != nil {
		return
	}
	defer d.probing.Release(1)
	if done() {
		return
	}
	const handles = 4
	opened := 0
	err := ch.askAll(ctx, handles, func(_ int, c *wire.Call) { ch.session.OpenDir(c, d.path("")) }, func(_ int, c *wire.Call) {
		if c.Err == nil {
			ch.session.CloseHandle(c.Handle, nil)
		}
		if c.Err == nil || errors.Is(c.Err, wire.ErrHandleReused) {
			opened++
		}
		d.noteReuse(c.Err)
	})
	d.handleProbeRan.Store(err == nil)
	d.limits.handlesProbed.Store(err == nil && opened > 1)
}

// noteReuse remembers that a server gave one handle out twice.
func (d *Destination) noteReuse(err error) {
	if errors.Is(err, wire.ErrHandleReused) {
		d.noteHandleReused()
	}
}
