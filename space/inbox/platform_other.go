//go:build !windows

package inbox

import (
	"errors"
	"os"
	"syscall"
)

// checkPlatform refuses names that this system cannot hold.
func checkPlatform(string) error { return nil }

// syncDirectory makes the names in a directory durable. File systems that
// cannot do it say EINVAL, and have nothing to sync.
func syncDirectory(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// noRoom reports whether the disk is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
