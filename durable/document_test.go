package durable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	d := Document{Path: filepath.Join(t.TempDir(), "deep", "file"), Limit: 10}
	if _, err := d.Version(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := d.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	versions := map[string]bool{}
	want := func(text string) {
		t.Helper()
		data, version, err := d.Read()
		if string(data) != text || err != nil {
			t.Errorf("%q, %v, want %q", data, err, text)
		}
		if now, err := d.Version(); now != version || err != nil {
			t.Errorf("version %q, then %q, %v", version, now, err)
		}
		if versions[version] {
			t.Errorf("%q has the version of an older one", text)
		}
		versions[version] = true
	}
	put := func(text string, old any) error {
		return d.Edit(t.Context(), func(was []byte) ([]byte, error) {
			if was == nil && old != nil || was != nil && string(was) != old {
				t.Errorf("%q was to be edited, not %v", was, old)
			}
			return []byte(text), nil
		})
	}
	must(t, put("", nil))
	if _, err := d.Version(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing was written: %v", err)
	}
	must(t, d.Create([]byte("a")))
	want("a")
	if err := d.Create([]byte("b")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	for range 20 { // within one tick of the file system's clock
		must(t, put("b", "a"))
		want("b")
		must(t, put("a", "b"))
		want("a")
	}
	before, _ := d.Version()
	must(t, put("a", "a"))
	if now, _ := d.Version(); now != before {
		t.Error("what is unchanged was written")
	}
	refused := errors.New("refused")
	if err := d.Edit(t.Context(), func([]byte) ([]byte, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
	must(t, os.WriteFile(d.Path, []byte(strings.Repeat("x", 11)), 0o600))
	for _, err := range []error{second(d.Read()), put("b", "")} {
		if err == nil || !strings.Contains(err.Error(), "larger than 10 bytes") {
			t.Errorf("too large: %v", err)
		}
	}
}

func second(_ []byte, _ string, err error) error { return err }

// A file keeps its mode, and what a link leads to is replaced, not the link.
func TestDocumentKeepsModeAndLink(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // it has neither
	}
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	must(t, os.WriteFile(real, []byte("a"), 0o600))
	must(t, os.Chmod(real, 0o640))
	must(t, os.Symlink(real, link))
	change := func([]byte) ([]byte, error) { return []byte("b"), nil }
	must(t, Document{Path: link}.Edit(t.Context(), change))
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o640 || info.Size() != 1 {
		t.Errorf("the file is %v, %v", info, err)
	}
	must(t, Document{Path: real, Mode: 0o600}.Edit(t.Context(), func([]byte) ([]byte, error) { return []byte("c"), nil }))
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
}

// Many that edit at once lose nothing, and one that waits obeys its context.
func TestDocumentEditsWait(t *testing.T) {
	t.Parallel()
	d := Document{Path: filepath.Join(t.TempDir(), "file")}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			must(t, d.Edit(t.Context(), func(old []byte) ([]byte, error) { return fmt.Appendf(old, "%d\n", i), nil }))
		})
	}
	all.Wait()
	if data, _, err := d.Read(); strings.Count(string(data), "\n") != 20 {
		t.Errorf("%q, %v", data, err)
	}
	err := d.Edit(t.Context(), func([]byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return nil, d.Edit(ctx, func([]byte) ([]byte, error) { return nil, nil })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
