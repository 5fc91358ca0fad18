package local

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// NTFS journals its directories; there is nothing to sync.
func syncHandle(*os.File) error { return nil }

// noRoom reports whether a smaller file might still fit.
func noRoom(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// full reports whether the whole destination takes no more.
func full(err error) bool {
	for _, e := range []error{windows.ERROR_WRITE_PROTECT, windows.ERROR_NOT_READY, windows.ERROR_DEV_NOT_EXIST} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
