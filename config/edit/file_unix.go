//go:build unix

package edit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// readOnly says why a file cannot be replaced; "" when it can.
func readOnly(path string) string {
	if isMount(path) {
		return mounted
	}
	// A file that its owner made read-only is meant so, though its directory may be written.
	switch err := unix.Access(path, unix.W_OK); {
	case errors.Is(err, fs.ErrPermission):
		return "this program's user may not write the file"
	case err != nil:
		return reason(err)
	}
	if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
		return reason(err)
	}
	return ""
}

// isMount reports whether a path is a mount point, where the system tells.
func isMount(path string) bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.SplitSeq(string(table), "\n") {
		if fields := strings.Fields(line); len(fields) > 4 && unescape.Replace(fields[4]) == path {
			return true
		}
	}
	return false
}

// keepOwner gives a file the owner and the group of another one, as far as that is
// allowed, and says which mode it may have: where the group cannot be kept, no other one
// may use the file instead.
func keepOwner(file *os.File, like fs.FileInfo) (fs.FileMode, error) {
	mode := like.Mode().Perm()
	owner, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return mode, nil
	}
	err := file.Chown(int(owner.Uid), int(owner.Gid))
	if !errors.Is(err, fs.ErrPermission) || os.Geteuid() == 0 {
		return mode, err
	}
	if err = file.Chown(-1, int(owner.Gid)); errors.Is(err, fs.ErrPermission) {
		return mode &^ 0o070, nil
	}
	return mode, err
}
