package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/sys/windows"
)

// checkPlatform refuses names that this system cannot hold, or takes for
// something else: devices, streams, and what it drops at the end of a name.
func checkPlatform(base string) error {
	control := func(r rune) bool { return r < ' ' }
	if !filepath.IsLocal(base) || strings.ContainsAny(base, `<>:"|?*\`) || strings.ContainsFunc(base, control) ||
		strings.HasSuffix(base, ".") || strings.HasSuffix(base, " ") {
		return refuse(sftp.ErrSSHFxFailure, "this server cannot hold files of this name")
	}
	return nil
}

// NTFS journals its directories; there is nothing to sync.
func syncDirectory(*os.Root) error { return nil }

// diskFree is how many bytes may be written below a directory.
func diskFree(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(free), nil
}

// isLinked reports whether a file has more than one name. Nothing is linked here.
func isLinked(*os.File) bool { return false }

// noRoom reports whether the disk is full.
func noRoom(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
