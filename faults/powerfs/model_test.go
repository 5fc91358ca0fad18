//go:build linux

package powerfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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

func (w *twin) actions() map[string]func(*rapid.T) {
	fill := byte(0)
	bytes := func(n int) []byte {
		fill++
		return []byte(strings.Repeat(string(rune('a'+fill%26)), n))
	}
	offset, length := rapid.OneOf(rapid.IntRange(0, 5000), rapid.IntRange(0, 100_000)), rapid.OneOf(rapid.IntRange(0, 700), rapid.IntRange(0, 70_000))
	name := func(t *rapid.T) string { return names.Draw(t, "name") }
	flags := rapid.SampledFrom([]int{os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_EXCL, os.O_RDWR | os.O_CREATE | os.O_TRUNC,
		os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREATE | os.O_SYNC})
	simple := func(what string, do func(name string) error) func(*rapid.T) {
		return func(t *rapid.T) {
			n := name(t)
			w.both(t, what+" "+n, func(_ int, at func(string) string) (string, error) { return "", do(at(n)) })
		}
	}
	pair := func(what string, do func(from, to string) error) func(*rapid.T) {
		return func(t *rapid.T) {
			from, to := name(t), name(t)
			w.both(t, what+" "+from+" "+to, func(_ int, at func(string) string) (string, error) { return "", do(at(from), at(to)) })
		}
	}
	return map[string]func(*rapid.T){
		"open": func(t *rapid.T) {
			n, how := name(t), flags.Draw(t, "flags")
			w.both(t, "open "+n, func(side int, at func(string) string) (string, error) {
				file, err := os.OpenFile(at(n), how, 0o640)
				if err == nil {
					w.open[side] = append(w.open[side], file)
				}
				return "", err
			})
		},
		"close": func(t *rapid.T) {
			w.closeAll()
		},
		"write": func(t *rapid.T) {
			if len(w.open[0]) == 0 {
				return
			}
			n, off, data := rapid.IntRange(0, len(w.open[0])-1).Draw(t, "file"), int64(offset.Draw(t, "offset")), bytes(length.Draw(t, "length"))
			w.both(t, "write", func(side int, _ func(string) string) (string, error) {
				if _, err := w.open[side][n].Seek(off, io.SeekStart); err != nil {
					return "", err
				}
				n, err := w.open[side][n].Write(data)
				return fmt.Sprint(n), err
			})
		},
		"read": func(t *rapid.T) {
			if len(w.open[0]) == 0 {
				return
			}
			n, off, size := rapid.IntRange(0, len(w.open[0])-1).Draw(t, "file"), int64(offset.Draw(t, "offset")), length.Draw(t, "length")
			w.both(t, "read", func(side int, _ func(string) string) (string, error) {
				data := make([]byte, size)
				n, err := w.open[side][n].ReadAt(data, off)
				return summary(data[:n]), err
			})
		},
		"fallocate": func(t *rapid.T) {
			if len(w.open[0]) == 0 {
				return
			}
			n, off, size := rapid.IntRange(0, len(w.open[0])-1).Draw(t, "file"), int64(offset.Draw(t, "offset")), int64(length.Draw(t, "length"))
			mode := rapid.SampledFrom([]uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE}).Draw(t, "mode")
			w.both(t, "fallocate", func(side int, _ func(string) string) (string, error) {
				return "", unix.Fallocate(int(w.open[side][n].Fd()), mode, off, size)
			})
		},
		"truncate": func(t *rapid.T) {
			n, size := name(t), int64(offset.Draw(t, "size"))
			w.both(t, "truncate "+n, func(_ int, at func(string) string) (string, error) { return "", os.Truncate(at(n), size) })
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
		"": func(t *rapid.T) {
			w.both(t, "all", func(side int, _ func(string) string) (string, error) { return tree(w.dirs[side]) })
		},
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
		w.actions()[""](t)
		if err := os.RemoveAll(w.dirs[0]); err != nil {
			t.Fatal(err)
		}
	})
	// The kernel tells of the end of a handle some time after its close.
	must(t, waitFor(func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.used == 0 && len(f.handles) == 0 && len(f.nodes) == 1
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
