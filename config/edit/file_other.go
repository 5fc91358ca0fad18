//go:build !unix

package edit

import (
	"io/fs"
	"os"
)

func readOnly(path string) string {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o200 == 0 {
		return "it is marked as read-only"
	}
	return ""
}

func keepOwner(_ *os.File, like fs.FileInfo) (fs.FileMode, error) { return like.Mode().Perm(), nil }
