package smb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"

	smb2 "github.com/cloudsoda/go-smb2"

	filesync "sftpconnector/sync"
)

var _ filesync.Roomer = (*Destination)(nil)

// Room implements sync.Roomer. A quota of this user counts.
func (d *Destination) Room(ctx context.Context, dir string) (filesync.Room, error) {
	if dir == "" {
		dir = "."
	}
	for {
		at := d.path(dir)
		info, err := ask(ctx, d.s, func() (smb2.FileFsInfo, error) { return d.s.share.Statfs(at) }, nil)
		if errors.Is(err, fs.ErrNotExist) && dir != "." {
			dir = path.Dir(dir)
			continue
		}
		if err != nil {
			return filesync.Room{}, fmt.Errorf("ask for the room of %s: %w", dir, err)
		}
		free, total, block := info.AvailableBlockCount(), info.TotalBlockCount(), info.BlockSize()
		if block == 0 || free > math.MaxInt64/block || total > math.MaxInt64/block {
			return filesync.Room{}, errors.ErrUnsupported
		}
		return filesync.Room{Free: int64(free * block), Total: int64(total * block), Remote: true}, nil
	}
}
