package local

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// NTFS journals its directories; there is nothing to sync.
func syncHandle(*os.File) error { return nil }

func syncDirectory(string) {}

// full reports whether the whole destination takes no more.
func full(err error) bool {
	for _, e := range []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_WRITE_PROTECT,
		windows.ERROR_NOT_READY, windows.ERROR_DEV_NOT_EXIST, windows.ERROR_DISK_QUOTA_EXCEEDED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
