package local_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
)

// untouched reports whether nothing was made or removed in a directory since do began.
func untouched(t *testing.T, dir string, do func()) bool {
	t.Helper()
	then := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(dir, then, then); err != nil {
		t.Fatal(err)
	}
	do()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime().Equal(then)
}

func openAt(t *testing.T, f *local.Foldings, dir string) *local.Destination {
	t.Helper()
	d, err := f.Open(dir, pending.NewOwner("0badcafe", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A directory is tried once in the life of a program, and not where nothing may be
// written.
func TestFoldsCaseIsTriedOnce(t *testing.T) {
	var known local.Foldings
	dir := t.TempDir()
	usual := runtime.GOOS == "windows" || runtime.GOOS == "darwin"
	d := openAt(t, &known, dir)
	for range 2 {
		if !untouched(t, dir, func() { d.FoldsCase(false) }) {
			t.Error("it was written to where that was not asked for")
		}
	}
	if untouched(t, dir, func() {
		if d.FoldsCase(true) != usual {
			t.Errorf("folds case: %v", !usual)
		}
	}) {
		t.Error("an empty directory was not tried")
	}
	for range 2 {
		d := openAt(t, &known, dir)
		if !untouched(t, dir, func() { d.FoldsCase(true) }) {
			t.Error("it was tried again")
		}
	}
	if untouched(t, dir, func() { openAt(t, new(local.Foldings), dir).FoldsCase(true) }) {
		t.Error("another program did not try it")
	}
}

// The names that are there tell without a trial, but for those that tell nothing.
func TestFoldsCaseIsSeenByNames(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Log("two names that differ in case cannot be made here")
		return
	}
	for name, tt := range map[string]struct {
		names, links []string // links are of the first name
		seen         bool
	}{
		"small letters": {names: []string{"1", "report.csv"}, seen: true},
		"capitals":      {names: []string{"REPORT"}, seen: true},
		"none":          {names: []string{"1", "2024-01-01", "\u00e9"}},
		"both":          {names: []string{"a", "A"}},
		"one file":      {names: []string{"a"}, links: []string{"A"}},
		"both and more": {names: []string{"a", "A", "b"}, seen: true},
	} {
		dir := t.TempDir()
		for _, file := range tt.names {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, link := range tt.links {
			if err := os.Link(filepath.Join(dir, tt.names[0]), filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		d := openAt(t, new(local.Foldings), dir)
		seen := untouched(t, dir, func() {
			if d.FoldsCase(true) {
				t.Errorf("%s: names fold", name)
			}
		})
		if seen != tt.seen {
			t.Errorf("%s: seen without a trial: %v", name, seen)
		}
	}
}
