//go:build !windows

package local

import (
	"errors"
	"os"
	"syscall"
)

// syncHandle makes the entries of an open directory durable. File systems
// that cannot sync a directory say EINVAL, and have nothing to sync.
func syncHandle(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// noRoom reports whether a smaller file might still fit.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// full reports whether the whole destination takes no more.
func full(err error) bool {
	for _, e := range []error{syscall.EROFS, syscall.EIO, syscall.ESTALE, syscall.ENODEV, syscall.ENOTCONN,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
