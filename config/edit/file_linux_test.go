package edit

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// Where the group of a file cannot be kept, another group may not read it instead. Only
// root can make such a file here.
func TestAnotherGroupMayNotRead(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	const user, group, other = 65534, 100, 2000
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // another user has to get there
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	for p, gid := range map[string]int{dir: group, path: other} {
		if err := os.Chown(p, user, gid); err != nil {
			t.Fatal(err)
		}
	}
	like, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(dir, "next")
	written := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with what it became
		for _, call := range [][2]uintptr{{syscall.SYS_SETGROUPS, 0}, {syscall.SYS_SETRESGID, group}, {syscall.SYS_SETRESUID, user}} {
			a, b, c := call[1], call[1], call[1]
			if call[0] == syscall.SYS_SETGROUPS {
				a, b, c = 0, 0, 0
			}
			if _, _, errno := syscall.RawSyscall(call[0], a, b, c); errno != 0 {
				written <- errno
				return
			}
		}
		written <- writeLike(next, []byte("new"), like)
	}()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	got, err := os.Stat(next)
	if err != nil {
		t.Fatal(err)
	}
	if gid := got.Sys().(*syscall.Stat_t).Gid; gid != group || got.Mode().Perm() != 0o600 {
		t.Errorf("group %d, mode %v", gid, got.Mode())
	}
}
