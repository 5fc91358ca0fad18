//go:build linux || darwin

package inbox

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// writeNote keeps a number beside a file or directory. It is durable with the next flush.
func writeNote(f *os.File, about note, n int64) error {
	return onDescriptor(f, func(fd int) error {
		return unix.Fsetxattr(fd, string(about), binary.BigEndian.AppendUint64(nil, uint64(n)), 0)
	})
}

// readNote gives what is noted; 0 for no note.
func readNote(f *os.File, about note) int64 {
	var number [8]byte
	err := onDescriptor(f, func(fd int) error {
		n, err := unix.Fgetxattr(fd, string(about), number[:])
		if err == nil && n != len(number) {
			err = unix.EINVAL
		}
		return err
	})
	if err != nil {
		return 0
	}
	return max(0, int64(binary.BigEndian.Uint64(number[:])))
}

// removeNote leaves nothing of ours on a file that is uploaded.
func removeNote(f *os.File, about note) {
	_ = onDescriptor(f, func(fd int) error { return unix.Fremovexattr(fd, string(about)) }) // there need not be one
}

func onDescriptor(f *os.File, do func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) {
		for failed = do(int(fd)); failed == unix.EINTR; failed = do(int(fd)) {
		}
	})
	if err != nil {
		return err
	}
	return failed
}
