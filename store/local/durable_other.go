//go:build !linux

package local

import "os"

// Without syncfs(2) every file is synced by itself.
func syncDevice(*os.File) bool { return false }

func device(*os.File) uint64 { return 0 }

func renameNew(dir *directory, from string, other *directory, to string) error {
	return renameLooking(dir, from, other, to)
}
