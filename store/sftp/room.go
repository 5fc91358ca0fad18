package sftp

import (
	"context"
	"errors"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

var _ filesync.Roomer = (*Destination)(nil)

// Room implements sync.Roomer by statvfs@openssh.com, where the server has that.
func (d *Destination) Room(ctx context.Context, dir string) (filesync.Room, error) {
	for {
		if !d.has(&d.limits.statvfs, wire.StatvfsExtension) {
			return filesync.Room{}, errors.ErrUnsupported
		}
		ch := d.pool.first().wire()
		c, err := ch.ask(ctx, func(c *wire.Call) { ch.session.Statvfs(c, d.path(dir)) })
		d.limits.statvfs.refused(err)
		if e, ok := errors.AsType[*wire.StatusError](err); ok && e.Code == wire.CodeNoSuchFile && dir != "" {
			dir = parentOf(dir)
			continue
		}
		if err != nil {
			return filesync.Room{}, d.failed(ctx, "ask for the room of", dir, err)
		}
		return filesync.Room{Free: c.Space.Bytes, Total: c.Space.Total, Remote: true}, nil
	}
}
