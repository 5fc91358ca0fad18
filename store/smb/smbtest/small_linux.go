package smbtest

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDir gives a directory with room for so many bytes, for a share that gets
// full. That takes a file system of its own, which root may mount; ok is false
// where it cannot be had.
func SmallDir(tb testing.TB, size int64) (dir string, ok bool) {
	tb.Helper()
	dir = tb.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=777", size)); err != nil {
		return "", false
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			tb.Errorf("smbtest: %v", err)
		}
	})
	return dir, true
}
