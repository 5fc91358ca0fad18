//go:build linux

package powerfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// twin does the same in a directory of the mount and in one of the machine, which is
// the model.
type twin struct {
	dirs [2]string
	open [2][]*os.File
}

// both carries out an operation on both sides and compares what they answer.
func (w *twin) both(t *rapid.T, what string, do func(side int, at func(string) string) (string, error)) {
	t.Helper()
	var results [2]string
	for side := range w.dirs {
		text, err := do(side, func(name string) string { return filepath.Join(w.dirs[side], name) })
		var errno syscall.Errno
		if errors.As(err, &errno) {
			text += " " + unix.ErrnoName(errno)
		} else if err != nil {
			text += " " + err.Error()
		}
		results[side] = text
	}
	if results[0] != results[1] {
		t.Fatalf("%s: %s; a real file system: %s", what, results[0], results[1])
	}
}

func (w *twin) closeAll() {
	for side := range w.open {
		for _, file := range w.open[side] {
			file.Close()
		}
		w.open[side] = nil
	}
}

// tree tells all that stat and read tell of what is below dir.
func tree(dir string) (string, error) {
	var lines []string
	inodes := map[uint64]int{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		if _, seen := inodes[stat.Ino]; !seen {
			inodes[stat.Ino] = len(inodes)
		}
		line := fmt.Sprintf("%s %v inode %d", name[len(dir):], info.Mode(), inodes[stat.Ino])
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" links %d size %d %q", stat.Nlink, info.Size(), summary(data))
			if info.ModTime().Year() < 2020 {
				line += info.ModTime().String()
			}
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			line += " to " + target
		}
		lines = append(lines, line)
		return nil
	})
	return strings.Join(lines, "\n"), err
}

// summary is data with its runs told by their length.
func summary(data []byte) string {
	var b strings.Builder
	for len(data) > 0 {
		n := 1
		for n < len(data) && data[n] == data[0] {
			n++
		}
		fmt.Fprintf(&b, "%d*%d ", n, data[0])
		data = data[n:]
	}
	return b.String()
}

var names = rapid.SampledFrom([]string{"a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "e"})

var (
	offsets = rapid.OneOf(rapid.IntRange(0, 5000), rapid.IntRange(0, 100_000))
	lengths = rapid.OneOf(rapid.IntRange(0, 700), rapid.IntRange(0, 70_000))
	flags   = rapid.SampledFrom([]int{os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_EXCL, os.O_RDWR | os.O_CREATE | os.O_TRUNC,
		os.O_WRONLY | os.O_APPEND})
)

func (w *twin) actions() map[string]func(*rapid.T) {
	actions := w.actionsOnNames()
	maps.Copy(actions, w.actionsOnFiles())
	actions[""] = w.compare
	return actions
}

func (w *twin) compare(t *rapid.T) {
	w.both(t, "all", func(side int, _ func(string) string) (string, error) { return tree(w.dirs[side]) })
}

// actionsOnFiles open files, and use those that are open.
func (w *twin) actionsOnFiles() map[string]func(*rapid.T) {
	fill := byte(0)
	opened := func(what string, do func(file *os.File, off int64, size int) (string, error)) func(*rapid.T) {
		return func(t *rapid.T) {
			if len(w.open[0]) == 0 {
				return
			}
			n := rapid.IntRange(0, len(w.open[0])-1).Draw(t, "file")
			off, size := int64(offsets.Draw(t, "offset")), lengths.Draw(t, "length")
			fill++
			w.both(t, what, func(side int, _ func(string) string) (string, error) {
				return do(w.open[side][n], off, size)
			})
		}
	}
	actions := map[string]func(*rapid.T){
		"open": func(t *rapid.T) {
			name, how := names.Draw(t, "name"), flags.Draw(t, "flags")
			w.both(t, "open "+name, func(side int, at func(string) string) (string, error) {
				file, err := os.OpenFile(at(name), how, 0o640)
				if err == nil {
					w.open[side] = append(w.open[side], file)
				}
				return "", err
			})
		},
		"close": func(t *rapid.T) { w.closeAll() },
		"write": opened("write", func(file *os.File, off int64, size int) (string, error) {
			if _, err := file.Seek(off, io.SeekStart); err != nil {
				return "", err
			}
			n, err := file.Write([]byte(strings.Repeat(string(rune('a'+fill%26)), size)))
			return fmt.Sprint(n), err
		}),
		"read": opened("read", func(file *os.File, off int64, size int) (string, error) {
			data := make([]byte, size)
			n, err := file.ReadAt(data, off)
			return summary(data[:n]), err
		}),
	}
	for _, mode := range []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE} {
		actions[fmt.Sprint("fallocate ", mode)] = opened("fallocate", func(file *os.File, off int64, size int) (string, error) {
			err := unix.Fallocate(int(file.Fd()), mode, off, int64(size))
			// File systems differ in whether this is a change that shows in mtime.
			when := unix.NsecToTimeval(1_000_000_001_000_000_000)
			return "", errors.Join(err, unix.Futimes(int(file.Fd()), []unix.Timeval{when, when}))
		})
	}
	return actions
}

// actionsOnNames take one path, or two.
func (w *twin) actionsOnNames() map[string]func(*rapid.T) {
	simple := func(what string, do func(name string) error) func(*rapid.T) {
		return func(t *rapid.T) {
			name := names.Draw(t, "name")
			w.both(t, what+" "+name, func(_ int, at func(string) string) (string, error) { return "", do(at(name)) })
		}
	}
	pair := func(what string, do func(from, to string) error) func(*rapid.T) {
		return func(t *rapid.T) {
			from, to := names.Draw(t, "from"), names.Draw(t, "to")
			w.both(t, what+" "+from+" "+to, func(_ int, at func(string) string) (string, error) { return "", do(at(from), at(to)) })
		}
	}
	return map[string]func(*rapid.T){
		"truncate": func(t *rapid.T) {
			size := int64(offsets.Draw(t, "size"))
			simple("truncate", func(name string) error { return os.Truncate(name, size) })(t)
		},
		"mkdir":  simple("mkdir", func(name string) error { return syscall.Mkdir(name, 0o755) }),
		"rmdir":  simple("rmdir", syscall.Rmdir),
		"unlink": simple("unlink", syscall.Unlink),
		"chmod":  simple("chmod", func(name string) error { return os.Chmod(name, 0o600) }),
		"utimes": simple("utimes", func(name string) error {
			when := time.Unix(1_000_000_000, 123_456_789)
			return os.Chtimes(name, when, when)
		}),
		"symlink":  simple("symlink", func(name string) error { return os.Symlink("a", name) }),
		"readdir":  simple("readdir", func(name string) error { _, err := os.ReadDir(name); return err }),
		"rename":   pair("rename", syscall.Rename),
		"link":     pair("link", syscall.Link),
		"swap":     pair("swap", func(from, to string) error { return renameat2(from, to, unix.RENAME_EXCHANGE) }),
		"move new": pair("move new", func(from, to string) error { return renameat2(from, to, unix.RENAME_NOREPLACE) }),
	}
}

func renameat2(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
}

func TestItIsLikeARealFileSystem(t *testing.T) {
	f, mount := mounted(t)
	real, run := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		w := &twin{dirs: [2]string{filepath.Join(mount, fmt.Sprint(run)), filepath.Join(real, fmt.Sprint(run))}}
		for _, dir := range w.dirs {
			if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		defer w.closeAll()
		t.Repeat(w.actions())
		w.closeAll()
		// What is synced is the same after a power cut.
		f.Sync()
		if lost := f.Restore(rand.New(rand.NewSource(int64(run)))); lost != (Lost{}) {
			t.Fatalf("after a sync there was lost: %+v", lost)
		}
		w.compare(t)
		if err := os.RemoveAll(w.dirs[0]); err != nil {
			t.Fatal(err)
		}
	})
	// The kernel tells of the end of a handle some time after its close.
	must(t, waitFor(func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.room.used == 0 && len(f.handles) == 0 && len(f.inodes.byNode) == 1
	}))
}

func TestManyNames(t *testing.T) {
	f, dir := mounted(t)
	var want []string
	for n := range 5000 {
		name := fmt.Sprintf("file %d", n)
		write(t, filepath.Join(dir, name), nil, false)
		want = append(want, name)
	}
	sort.Strings(want)
	syncDir(t, dir)
	f.Restore(rand.New(rand.NewSource(1)))
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != len(want) {
		t.Fatalf("%d names of %d", len(entries), len(want))
	}
	for n, entry := range entries {
		if entry.Name() != want[n] {
			t.Fatalf("name %d is %q, not %q", n, entry.Name(), want[n])
		}
	}
}
