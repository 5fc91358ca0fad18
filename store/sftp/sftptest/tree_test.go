package sftptest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

func TestTree(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	m := sftptest.Tree(t, a, sftptest.TreeOptions{BigFile: 3 << 20})
	if len(m) != 5000 {
		t.Errorf("%d files", len(m))
	}
	deepest, dirs, empty := 0, map[string]bool{}, 0
	for _, f := range m {
		dirs[filepath.Dir(f.Name)] = true
		deepest = max(deepest, strings.Count(f.Name, "/"))
		if f.Size == 0 {
			empty++
		}
		fi, err := os.Stat(filepath.Join(a, f.Name))
		if err != nil || fi.Size() != f.Size || !fi.ModTime().Equal(f.ModTime) {
			t.Fatalf("%q is not as in the manifest: %v", f.Name, err)
		}
	}
	if deepest != 8 || len(dirs) != 301 || empty < 400 {
		t.Errorf("%d levels, %d directories with files, %d empty files", deepest, len(dirs), empty)
	}
	sftptest.Tree(t, b, sftptest.TreeOptions{BigFile: 3 << 20})
	sftptest.CompareTrees(t, a, b)
}

// recorder stands for a test that may fail.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestCompareTreesFindsDifferences(t *testing.T) {
	small := sftptest.TreeOptions{Files: 50, Dirs: 10}
	for name, spoil := range map[string]func(file string) error{
		"missing":              os.Remove,
		"differs from byte 1 ": func(f string) error { return rewrite(f, func(b []byte) []byte { b[1] ^= 1; return b }) },
		"bytes, want":          func(f string) error { return rewrite(f, func(b []byte) []byte { return b[1:] }) },
		"modified":             func(f string) error { return os.Chtimes(f, time.Now(), time.Now()) },
		"a leftover":           func(f string) error { return os.WriteFile(f+".part", nil, 0o600) },
		"should not be there":  func(f string) error { return os.WriteFile(f+".csv", nil, 0o600) },
		"not a plain file": func(f string) error {
			if err := os.Rename(f, f+"~"); err != nil {
				return err
			}
			return os.Symlink(f+"~", f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := t.TempDir(), t.TempDir()
			m := sftptest.Tree(t, a, small)
			sftptest.Tree(t, b, small)
			var victim string
			for _, f := range m {
				if f.Size > 2 {
					victim = f.Name
				}
			}
			if err := spoil(filepath.Join(b, victim)); err != nil {
				t.Fatal(err)
			}
			r := &recorder{TB: t}
			sftptest.CompareTrees(r, a, b)
			if got := strings.Join(r.errors, "\n"); !strings.Contains(got, name) {
				t.Errorf("reported: %q", got)
			}
		})
	}
}

// rewrite changes the contents and keeps the time.
func rewrite(path string, change func([]byte) []byte) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		return err
	}
	return os.Chtimes(path, fi.ModTime(), fi.ModTime())
}
