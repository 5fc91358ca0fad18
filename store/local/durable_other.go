//go:build !linux

package local

import (
	"os"
	"runtime"
)

// keepsDescriptors: a finished file keeps its descriptor until Sync. Windows gives no
// new name to a file that is open.
const keepsDescriptors = runtime.GOOS != "windows"

// Without syncfs(2) every file is synced by itself.
func syncDevice(*os.File) bool { return false }

func (f *file) syncDevice() bool { return false }

func device(*os.File) uint64 { return 0 }

func renameNew(dir *directory, from string, other *directory, to string) error {
	return renameLooking(dir, from, other, to)
}
