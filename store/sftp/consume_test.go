package sftp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// exists says whether something stands on the server.
func exists(e sftptest.Endpoint, name string) bool {
	_, err := os.Lstat(filepath.Join(e.Root, filepath.FromSlash(name)))
	return err == nil
}

// notTheVersion makes entries that RemoveIf and MoveIf must leave alone.
func notTheVersion(t *testing.T, e sftptest.Endpoint, s *Source, act func(filesync.Entry) error) {
	t.Helper()
	for name, test := range map[string]struct {
		entry filesync.Entry
		want  error
	}{
		"another size": {filesync.Entry{Name: "f", Size: 2, ModTime: old}, filesync.ErrChanged},
		"another time": {filesync.Entry{Name: "f", Size: 3, ModTime: old.Add(time.Second)}, filesync.ErrChanged},
		"gone":         {filesync.Entry{Name: "gone", Size: 3, ModTime: old}, os.ErrNotExist},
		"a link":       {filesync.Entry{Name: "l", Size: 3, ModTime: old}, filesync.ErrLink},
		"a directory":  {filesync.Entry{Name: "d", Size: 3, ModTime: old}, errNoFile},
	} {
		err := act(test.entry)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), " "+test.entry.Name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"f", "l", "d"} {
		if !exists(e, name) {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestRemoveIf(t *testing.T) {
	onServers(t, func(t *testing.T, e sftptest.Endpoint) {
		f := put(t, e, "f", []byte("abc"))
		link(t, e, "f", "l")
		if err := os.Mkdir(filepath.Join(e.Root, "d"), 0o755); err != nil {
			t.Fatal(err)
		}
		s := openSource(t, byKey(e))
		notTheVersion(t, e, s, func(e filesync.Entry) error { return s.RemoveIf(t.Context(), e) })
		if err := s.RemoveIf(t.Context(), f); err != nil || exists(e, "f") {
			t.Errorf("RemoveIf: %v", err)
		}
		if err := s.RemoveIf(t.Context(), f); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("RemoveIf once more: %v", err)
		}
	})
}

func TestMoveIf(t *testing.T) {
	onServers(t, func(t *testing.T, e sftptest.Endpoint) {
		put(t, e, "f", []byte("abc"))
		link(t, e, "f", "l")
		if err := os.Mkdir(filepath.Join(e.Root, "d"), 0o755); err != nil {
			t.Fatal(err)
		}
		s := openSource(t, byKey(e))
		notTheVersion(t, e, s, func(e filesync.Entry) error { return s.MoveIf(t.Context(), e, "done") })
		for _, want := range []string{"done/a/b.csv", "done/a/b (2).csv", "done/a/b (3).csv"} {
			f := put(t, e, "a/b.csv", []byte(want))
			if err := s.MoveIf(t.Context(), f, "done"); err != nil {
				t.Fatal(err)
			}
			moved, err := os.ReadFile(filepath.Join(e.Root, want))
			if err != nil || string(moved) != want || exists(e, "a/b.csv") {
				t.Errorf("after the move: %q, %v", moved, err)
			}
		}
		f := put(t, e, "deep/er/.profile", []byte("x"))
		to := e.Root + "/x/y/z/"
		put(t, e, "x/y/z/deep/er/.profile", []byte("there"))
		if err := s.MoveIf(t.Context(), f, to); err != nil || !exists(e, "x/y/z/deep/er/.profile (2)") {
			t.Errorf("MoveIf to an absolute directory: %v", err)
		}
		f = put(t, e, "g", []byte("x"))
		put(t, e, "file", []byte("x"))
		if err := s.MoveIf(t.Context(), f, "file"); err == nil || !exists(e, "g") {
			t.Errorf("MoveIf into a file: %v", err)
		}
	})
}
