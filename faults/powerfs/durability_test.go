//go:build linux

package powerfs

import (
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// survivors runs a scene and a power cut with many seeds, and counts what is told
// of what is left.
func survivors(t *testing.T, scene func(dir string), left func(dir string) string) map[string]int {
	t.Helper()
	f, mount := mounted(t)
	seen := map[string]int{}
	for seed := range 300 {
		dir := filepath.Join(mount, fmt.Sprint(seed))
		must(t, os.Mkdir(dir, 0o755))
		syncDir(t, mount)
		scene(dir)
		f.Restore(rand.New(rand.NewSource(int64(seed))))
		seen[left(dir)]++
		must(t, os.RemoveAll(dir))
	}
	return seen
}

// wantOutcomes fails if the outcomes are others than those listed.
func wantOutcomes(t *testing.T, seen map[string]int, want ...string) {
	t.Helper()
	for _, outcome := range want {
		if seen[outcome] == 0 {
			t.Errorf("never: %s", outcome)
		}
	}
	for outcome, times := range seen {
		if !slices.Contains(want, outcome) {
			t.Errorf("%d times: %s", times, outcome)
		}
	}
}

// listing tells the names in dir, sorted, and of each whether it holds all of
// want, less or something else.
func listing(t *testing.T, want string) func(dir string) string {
	return func(dir string) string {
		var found []string
		must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || name == dir {
				return err
			}
			if d.IsDir() {
				found = append(found, name[len(dir)+1:]+"/")
				return nil
			}
			data, err := os.ReadFile(name)
			state := "half"
			switch {
			case string(data) == want:
				state = "whole"
			case len(data) == 0:
				state = "empty"
			case strings.Trim(string(data), "\x00") == "":
				state = "zeros"
			}
			found = append(found, name[len(dir)+1:]+" "+state)
			return err
		}))
		return strings.Join(found, ", ")
	}
}

// scene is what is done before a power cut, and what may be left of it.
type scene struct {
	name string
	do   func(t *testing.T, dir string)
	want []string // each is seen with some seed, and nothing else
}

func test(t *testing.T, scenes []scene) {
	t.Helper()
	for _, c := range scenes {
		t.Run(c.name, func(t *testing.T) {
			wantOutcomes(t, survivors(t, func(dir string) { c.do(t, dir) }, listing(t, text())), c.want...)
		})
	}
}

func text() string { return strings.Repeat("text ", 2000) }

func at(names ...string) string { return filepath.Join(names...) }

func TestContentsSurviveApart(t *testing.T) {
	test(t, []scene{
		{"all is synced", func(t *testing.T, dir string) {
			write(t, at(dir, "a"), []byte(text()), true)
			syncDir(t, dir)
		}, []string{"a whole"}},
		{"the contents are not", func(t *testing.T, dir string) {
			write(t, at(dir, "a"), []byte(text()), false)
			syncDir(t, dir)
		}, []string{"a empty", "a zeros", "a half", "a whole"}},
		{"renamed with the contents synced", func(t *testing.T, dir string) {
			write(t, at(dir, "tmp"), []byte(text()), true)
			must(t, os.Rename(at(dir, "tmp"), at(dir, "a")))
			syncDir(t, dir)
		}, []string{"a whole"}},
		{"renamed before the contents are synced", func(t *testing.T, dir string) {
			write(t, at(dir, "tmp"), []byte(text()), false)
			must(t, os.Rename(at(dir, "tmp"), at(dir, "a")))
			syncDir(t, dir)
		}, []string{"a empty", "a zeros", "a half", "a whole"}},
		{"truncated", func(t *testing.T, dir string) {
			write(t, at(dir, "a"), []byte(text()), true)
			syncDir(t, dir)
			must(t, os.Truncate(at(dir, "a"), 0))
		}, []string{"a empty", "a whole", "a half", "a zeros"}},
		{"written with O_SYNC", func(t *testing.T, dir string) {
			file, err := os.OpenFile(at(dir, "a"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o644)
			must(t, err)
			_, err = file.WriteString(text())
			must(t, err)
			must(t, file.Close())
			syncDir(t, dir)
		}, []string{"a whole"}},
		{"written with fdatasync", func(t *testing.T, dir string) {
			file, err := os.Create(at(dir, "a"))
			must(t, err)
			_, err = file.WriteString(text())
			must(t, err)
			must(t, syscall.Fdatasync(int(file.Fd())))
			must(t, file.Close())
			syncDir(t, dir)
		}, []string{"a whole"}},
	})
}

func TestNamesSurviveApart(t *testing.T) {
	test(t, []scene{
		{"the name is not", func(t *testing.T, dir string) {
			write(t, at(dir, "a"), []byte(text()), true)
		}, []string{"", "a whole"}},
		{"the rename is not synced", func(t *testing.T, dir string) {
			write(t, at(dir, "tmp"), []byte(text()), true)
			syncDir(t, dir)
			must(t, os.Rename(at(dir, "tmp"), at(dir, "a")))
		}, []string{"tmp whole", "a whole"}},
		{"replaced", func(t *testing.T, dir string) {
			write(t, at(dir, "a"), []byte("other"), true)
			write(t, at(dir, "b"), []byte(text()), true)
			syncDir(t, dir)
			must(t, os.Rename(at(dir, "b"), at(dir, "a")))
		}, []string{"a half, b whole", "a whole"}},
		{"removed", func(t *testing.T, dir string) {
			write(t, at(dir, "a"), []byte(text()), true)
			syncDir(t, dir)
			must(t, os.Remove(at(dir, "a")))
		}, []string{"", "a whole"}},
		{"removed for good", func(t *testing.T, dir string) {
			write(t, at(dir, "a"), []byte(text()), true)
			syncDir(t, dir)
			must(t, os.Remove(at(dir, "a")))
			syncDir(t, dir)
		}, []string{""}},
		{"moved into a new directory", func(t *testing.T, dir string) {
			write(t, at(dir, "a"), []byte(text()), true)
			syncDir(t, dir)
			must(t, os.Mkdir(at(dir, "d"), 0o755))
			must(t, os.Rename(at(dir, "a"), at(dir, "d", "a")))
			syncDir(t, at(dir, "d"))
		}, []string{"a whole", "d/, d/a whole"}},
		{"moved out of a removed directory", func(t *testing.T, dir string) {
			must(t, os.Mkdir(at(dir, "d"), 0o755))
			write(t, at(dir, "d", "a"), []byte(text()), true)
			syncDir(t, at(dir, "d"))
			syncDir(t, dir)
			must(t, os.Rename(at(dir, "d", "a"), at(dir, "a")))
			must(t, os.Remove(at(dir, "d")))
		}, []string{"d/, d/a whole", "a whole, d/", "a whole"}},
		{"an open file without a name", func(t *testing.T, dir string) {
			file, err := os.Create(at(dir, "a"))
			must(t, err)
			must(t, os.Remove(at(dir, "a")))
			_, err = file.WriteString(text())
			must(t, err)
			must(t, file.Sync())
			must(t, file.Close())
			syncDir(t, dir)
		}, []string{""}},
	})
}

// A write may survive in half, and the sectors of it in any order.
func TestSectorsSurviveApart(t *testing.T) {
	seen := survivors(t, func(dir string) {
		write(t, filepath.Join(dir, "a"), []byte(strings.Repeat("0", 4*sectorSize)), true)
		syncDir(t, dir)
		file, err := os.OpenFile(filepath.Join(dir, "a"), os.O_WRONLY, 0)
		must(t, err)
		for _, digit := range []string{"1", "2"} {
			_, err = file.WriteAt([]byte(strings.Repeat(digit, 2*sectorSize)), sectorSize)
			must(t, err)
		}
		must(t, file.Close())
	}, func(dir string) string {
		data, err := os.ReadFile(filepath.Join(dir, "a"))
		must(t, err)
		return summary(data)
	})
	var want []string
	for _, first := range "012" {
		for _, second := range "012" {
			half := strings.Repeat
			want = append(want, summary([]byte(half("0", sectorSize)+half(string(first), sectorSize)+half(string(second), sectorSize)+half("0", sectorSize))))
		}
	}
	wantOutcomes(t, seen, want...)
}

func TestAttributesSurviveApart(t *testing.T) {
	for sync, want := range map[bool][]string{false: {"-rw-r--r--", "-rwx------"}, true: {"-rwx------"}} {
		wantOutcomes(t, survivors(t, func(dir string) {
			name := filepath.Join(dir, "a")
			write(t, name, nil, true)
			syncDir(t, dir)
			must(t, os.Chmod(name, 0o700))
			if sync {
				file, err := os.Open(name)
				must(t, err)
				must(t, file.Sync())
				must(t, file.Close())
			}
		}, func(dir string) string {
			info, err := os.Stat(filepath.Join(dir, "a"))
			must(t, err)
			return info.Mode().String()
		}), want...)
	}
}

// ledger knows what may be there after a power cut: it is a second account of the
// rules, which remembers each state since the last sync.
type ledger struct {
	dir   string
	data  map[uint64][]string // by inode: the contents since its last sync, oldest first
	names map[string][]uint64 // by path: the inodes since the last sync of the directory, 0 for none
}

func (l *ledger) name(path string, ino uint64) {
	if len(l.names[path]) == 0 {
		l.names[path] = []uint64{0}
	}
	l.names[path] = append(l.names[path], ino)
}

func inodeAt(name string) (uint64, error) {
	var stat syscall.Stat_t
	err := syscall.Lstat(name, &stat)
	return stat.Ino, err
}

func (l *ledger) actions(t *rapid.T) map[string]func(*rapid.T) {
	name := func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"x/a", "x/b", "y/a", "y/b"}).Draw(t, "name")
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	fill := 0
	return map[string]func(*rapid.T){
		"write": func(t *rapid.T) {
			path, off, size := name(t), rapid.IntRange(0, 3000).Draw(t, "offset"), rapid.IntRange(1, 3000).Draw(t, "size")
			_, missing := inodeAt(filepath.Join(l.dir, path))
			file, err := os.OpenFile(filepath.Join(l.dir, path), os.O_CREATE|os.O_RDWR, 0o644)
			check(err)
			defer file.Close()
			ino, err := inodeAt(file.Name())
			check(err)
			if missing != nil {
				l.name(path, ino)
				l.data[ino] = []string{""}
			}
			fill++
			_, err = file.WriteAt([]byte(strings.Repeat(string(rune('A'+fill%50)), size)), int64(off))
			check(err)
			data, err := os.ReadFile(file.Name())
			check(err)
			l.data[ino] = append(l.data[ino], string(data))
		},
		"fsync": func(t *rapid.T) {
			file, err := os.Open(filepath.Join(l.dir, name(t)))
			if err != nil {
				return
			}
			defer file.Close()
			ino, err := inodeAt(file.Name())
			check(err)
			check(file.Sync())
			l.data[ino] = l.data[ino][len(l.data[ino])-1:]
		},
		"rename": func(t *rapid.T) {
			from, to := name(t), name(t)
			ino, err := inodeAt(filepath.Join(l.dir, from))
			if err != nil || from == to {
				return
			}
			check(os.Rename(filepath.Join(l.dir, from), filepath.Join(l.dir, to)))
			l.name(from, 0)
			l.name(to, ino)
		},
		"unlink": func(t *rapid.T) {
			path := name(t)
			if os.Remove(filepath.Join(l.dir, path)) == nil {
				l.name(path, 0)
			}
		},
		"fsync directory": func(t *rapid.T) {
			of := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "directory")
			dir, err := os.Open(filepath.Join(l.dir, of))
			check(err)
			defer dir.Close()
			check(dir.Sync())
			for path, states := range l.names {
				if strings.HasPrefix(path, of) {
					l.names[path] = states[len(states)-1:]
				}
			}
		},
	}
}

// check compares what is there after a power cut with what may be.
func (l *ledger) check(t *rapid.T) {
	for path, states := range l.names {
		ino, err := inodeAt(filepath.Join(l.dir, path))
		if err != nil {
			ino = 0
		}
		if !slices.Contains(states, ino) {
			t.Fatalf("%s is inode %d, not one of %v", path, ino, states)
		}
		if ino == 0 {
			continue
		}
		data, err := os.ReadFile(filepath.Join(l.dir, path))
		if err != nil {
			t.Fatal(err)
		}
		l.checkData(t, path, string(data), l.data[ino])
	}
}

func (l *ledger) checkData(t *rapid.T, path, data string, versions []string) {
	longest := len(slices.MaxFunc(versions, func(a, b string) int { return len(a) - len(b) }))
	if len(versions) == 1 && data != versions[0] {
		t.Fatalf("%s was synced as %s, and is %s", path, summary([]byte(versions[0])), summary([]byte(data)))
	}
	if len(data) > longest {
		t.Fatalf("%s is %d bytes, and was %d at most", path, len(data), longest)
	}
	for off := 0; off < len(data); off += sectorSize {
		end := min(off+sectorSize, len(data))
		if !slices.ContainsFunc(versions, func(version string) bool {
			version += strings.Repeat("\x00", max(0, end-len(version)))
			return version[off:end] == data[off:end]
		}) {
			t.Fatalf("%s at %d is %s, which it never was", path, off, summary([]byte(data[off:end])))
		}
	}
}

func TestWhatMaySurvive(t *testing.T) {
	f, mount := mounted(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		l := &ledger{filepath.Join(mount, fmt.Sprint(run)), map[uint64][]string{}, map[string][]uint64{}}
		for _, dir := range []string{"x", "y"} {
			if err := os.MkdirAll(filepath.Join(l.dir, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		f.Sync()
		t.Repeat(l.actions(t))
		f.Restore(rand.New(rand.NewSource(int64(run))))
		l.check(t)
	})
}

// The same calls and the same seed leave the same.
func TestACutCanBeRepeated(t *testing.T) {
	var first string
	for range 5 {
		f, dir := mounted(t)
		for n := range 50 {
			write(t, filepath.Join(dir, fmt.Sprint(n)), []byte(strings.Repeat("x", 100*n)), n%7 == 0)
		}
		f.Restore(rand.New(rand.NewSource(4)))
		left, err := tree(dir)
		must(t, err)
		if first == "" {
			first = left
		}
		if left != first {
			t.Fatalf("once:\n%s\n\nthen:\n%s", first, left)
		}
	}
}
