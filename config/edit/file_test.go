package edit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

func fileWith(t *testing.T, text string) *File {
	t.Helper()
	f := &File{Path: filepath.Join(t.TempDir(), "config [1].yaml")}
	must(t, os.WriteFile(f.Path, []byte(text), 0o600))
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func holdsText(t *testing.T, path, want string) {
	t.Helper()
	if text, err := os.ReadFile(path); err != nil || string(text) != want {
		t.Errorf("%s has %q, %v, want %q", path, text, err, want)
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	f := fileWith(t, "0")
	must(t, os.Chmod(f.Path, 0o640))
	for i := range backups + 3 {
		text := fmt.Sprint(i)
		_, version, err := f.Read()
		must(t, err)
		backup, err := f.Replace(version, []byte(text+"+"))
		if err == nil && i == 0 {
			holdsText(t, backup, "0")
		}
		must(t, err)
		_, version, err = f.Read()
		must(t, err)
		_, err = f.Replace(version, []byte(fmt.Sprint(i+1)))
		must(t, err)
	}
	holdsText(t, f.Path, fmt.Sprint(backups+3))
	entries, err := os.ReadDir(filepath.Dir(f.Path))
	must(t, err)
	if len(entries) != backups+1 {
		t.Errorf("%d files: %v", len(entries), entries)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if _, err := f.Replace("another", []byte("x")); !errors.Is(err, ErrConflict) {
		t.Errorf("another version: %v", err)
	}
	holdsText(t, f.Path, fmt.Sprint(backups+3))
	must(t, os.Remove(f.Path))
	if _, err := f.Replace("another", nil); !errors.As(err, new(*Unwritable)) {
		t.Errorf("no file: %v", err)
	}
	if _, _, err := f.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Of many that change the same version, one does.
func TestReplaceIsOneAtATime(t *testing.T) {
	t.Parallel()
	f := fileWith(t, "0")
	_, version, err := f.Read()
	must(t, err)
	errs := make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = f.Replace(version, fmt.Append(nil, "text ", i)) })
	}
	all.Wait()
	done := slices.IndexFunc(errs, func(err error) bool { return err == nil })
	for i, err := range errs {
		if i != done && !errors.Is(err, ErrConflict) {
			t.Errorf("%v", err)
		}
	}
	holdsText(t, f.Path, fmt.Sprint("text ", done))
}

// An edit between the first look and the rename wins: nothing of it is lost.
func TestSwapLooksAgain(t *testing.T) {
	t.Parallel()
	f := fileWith(t, "0")
	_, version, err := f.Read()
	must(t, err)
	must(t, os.WriteFile(f.Path+".new", []byte("ours"), 0o600))
	must(t, os.WriteFile(f.Path, []byte("theirs"), 0o600))
	if err := f.swap(f.Path+".new", f.Path, version); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
	holdsText(t, f.Path, "theirs")
}

// What a program left that was killed before the rename is no harm: the file is the old
// one, and the next change takes the same name.
func TestReplaceAfterAKill(t *testing.T) {
	t.Parallel()
	f := fileWith(t, "0")
	must(t, os.WriteFile(f.Path+".new", []byte("ha"), 0o400))
	text, version, err := f.Read()
	if string(text) != "0" {
		t.Errorf("%q, %v", text, err)
	}
	_, err = f.Replace(version, []byte("1"))
	must(t, err)
	holdsText(t, f.Path, "1")
	if _, err := os.Stat(f.Path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}

// The file that a link leads to is replaced, not the link.
func TestReplaceFollowsLinks(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // it has none for everybody
	}
	f := fileWith(t, "0")
	link := &File{Path: filepath.Join(t.TempDir(), "link")}
	must(t, os.Symlink(f.Path, link.Path))
	_, version, err := link.Read()
	must(t, err)
	backup, err := link.Replace(version, []byte("1"))
	must(t, err)
	holdsText(t, f.Path, "1")
	if info, err := os.Lstat(link.Path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if filepath.Dir(backup) != filepath.Dir(f.Path) {
		t.Errorf("the backup is %s", backup)
	}
	dangling := &File{Path: filepath.Join(t.TempDir(), "link")}
	must(t, os.Symlink("nowhere", dangling.Path))
	if dangling.ReadOnly() == "" {
		t.Error("a link to nowhere can be written")
	}
}

// A file that cannot be replaced says why, and stays as it is.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	if f := fileWith(t, "0"); f.ReadOnly() != "" {
		t.Errorf("it can be written, and is said: %s", f.ReadOnly())
	}
	for path, want := range map[string]string{"/proc/version": "", "/proc/self/mountinfo": ""} {
		if _, err := os.Stat(path); err != nil {
			continue // no such system
		}
		f := &File{Path: path}
		_, version, err := f.Read()
		must(t, err)
		_, err = f.Replace(version, []byte("x"))
		if unwritable := (*Unwritable)(nil); !errors.As(err, &unwritable) || !strings.Contains(err.Error(), "cannot be written") || unwritable.Why == want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if isRoot() {
		return // who may write everything
	}
	f := fileWith(t, "0")
	dir := filepath.Dir(f.Path)
	must(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	if why := f.ReadOnly(); !strings.Contains(why, "directory") {
		t.Errorf("a directory that is not to be written: %q", why)
	}
}

func isRoot() bool { return os.Geteuid() <= 0 }
