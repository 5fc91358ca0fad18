//go:build linux || darwin

package spool

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// readNote gives what is noted; 0 for no note.
func readNote(f *os.File, about note) int64 {
	c, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	var number [8]byte
	err = c.Control(func(fd uintptr) {
		if n, ferr := unix.Fgetxattr(int(fd), string(about), number[:]); ferr != nil || n != len(number) {
			number = [8]byte{}
		}
	})
	if err != nil {
		return 0
	}
	return max(0, int64(binary.BigEndian.Uint64(number[:])))
}
