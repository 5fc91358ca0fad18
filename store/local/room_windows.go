package local

import (
	"golang.org/x/sys/windows"

	filesync "sftpconnector/sync"
)

// roomOf is the room for this user, whom a quota may limit.
func roomOf(d *directory) (filesync.Room, error) {
	name, err := windows.UTF16PtrFromString(d.root.Name())
	if err != nil {
		return filesync.Room{}, err
	}
	var free, total uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, &total, nil); err != nil {
		return filesync.Room{}, err
	}
	return room(free, total, 1), nil
}
