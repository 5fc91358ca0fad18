package local

import (
	"context"
	"errors"
	"io/fs"
	"path"

	filesync "sftpconnector/sync"
)

var _ filesync.Roomer = (*Destination)(nil)

// Room implements sync.Roomer.
func (d *Destination) Room(ctx context.Context, name string) (filesync.Room, error) {
	if name == "" {
		name = "."
	}
	for ctx.Err() == nil {
		dir, err := d.dirs.acquire(name, false)
		if errors.Is(err, fs.ErrNotExist) && name != "." {
			name = path.Dir(name)
			continue
		}
		if err != nil {
			return filesync.Room{}, d.failed("open", name, err)
		}
		defer d.dirs.release(dir)
		r, err := roomOf(dir)
		if err != nil {
			return filesync.Room{}, d.failed("ask for the room of", name, err)
		}
		return r, nil
	}
	return filesync.Room{}, context.Cause(ctx)
}

// room multiplies the numbers of a file system, in blocks; the zero Room where
// they cannot be meant.
func room(free, total, block uint64) filesync.Room {
	const most = 1<<63 - 1
	if block == 0 || free > most/block || total > most/block {
		return filesync.Room{}
	}
	return filesync.Room{Free: int64(free * block), Total: int64(total * block)}
}
