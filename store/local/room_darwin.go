package local

import (
	"golang.org/x/sys/unix"

	filesync "sftpconnector/sync"
)

// roomOf is the room for one who is not the administrator.
func roomOf(d *directory) (filesync.Room, error) {
	var s unix.Statfs_t
	if err := ignoringEINTR(func() error { return unix.Fstatfs(d.fd(), &s) }); err != nil {
		return filesync.Room{}, err
	}
	return room(s.Bavail, s.Blocks, uint64(s.Bsize)), nil
}
