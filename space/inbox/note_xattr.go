//go:build linux || darwin

package inbox

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// noteName is the attribute that holds the length of the durable prefix of a part.
const noteName = "user.sftp-connector.durable"

// writeNote notes that the first bytes of a part are durable. The note is durable with
// the next flush.
func writeNote(f *os.File, prefix int64) error {
	return onDescriptor(f, func(fd int) error {
		return unix.Fsetxattr(fd, noteName, binary.BigEndian.AppendUint64(nil, uint64(prefix)), 0)
	})
}

// readNote gives what is noted; 0 for no note.
func readNote(f *os.File) int64 {
	var note [8]byte
	err := onDescriptor(f, func(fd int) error {
		n, err := unix.Fgetxattr(fd, noteName, note[:])
		if err == nil && n != len(note) {
			err = unix.EINVAL
		}
		return err
	})
	if err != nil {
		return 0
	}
	return max(0, int64(binary.BigEndian.Uint64(note[:])))
}

// removeNote leaves nothing of ours on a file that is uploaded.
func removeNote(f *os.File) {
	_ = onDescriptor(f, func(fd int) error { return unix.Fremovexattr(fd, noteName) }) // there need not be one
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
