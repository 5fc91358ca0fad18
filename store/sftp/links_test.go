package sftp

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

func TestResolve(t *testing.T) {
	onServers(t, func(t *testing.T, e sftptest.Endpoint) {
		put(t, e, "dir/f", []byte("abc"))
		put(t, e, "dir/sub/g", []byte("abcd"))
		outside := t.TempDir()
		if err := os.Chmod(outside, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
		beside := e.Root + "-beside"
		if err := os.Mkdir(beside, 0o755); err != nil {
			t.Fatal(err)
		}
		link(t, e, outside, "dir/away")
		chain := 30
		for i := range chain {
			link(t, e, "chain"+strconv.Itoa(i+1), "chain"+strconv.Itoa(i))
		}
		link(t, e, "dir/f", "chain"+strconv.Itoa(chain))
		s := openSource(t, byKey(e))
		for i, test := range []struct {
			target string
			real   string
			err    error
		}{
			{"dir/f", "dir/f", nil},
			{"./dir//f", "dir/f", nil},
			{e.Root + "/dir/f", "dir/f", nil},
			{"dir", "dir", nil},
			{"dir/sub/../f", "dir/f", nil},
			{"dir/sub/..", "dir", nil},
			{"chain28", "dir/f", nil},
			{".", "", nil},
			{e.Root, "", nil},
			{"/etc", "", filesync.ErrOutside},
			{"/etc/passwd", "", filesync.ErrOutside},
			{"..", "", filesync.ErrOutside},
			{"../../etc/passwd", "", filesync.ErrOutside},
			{"dir/away/secret", "", filesync.ErrOutside},
			{"dir/away", "", filesync.ErrOutside},
			{beside, "", filesync.ErrOutside},
			{"dir/gone", "", os.ErrNotExist},
		} {
			name := "link" + strconv.Itoa(i)
			link(t, e, test.target, name)
			got, real, err := s.Resolve(t.Context(), filesync.Entry{Name: name, Mode: os.ModeSymlink})
			if !errors.Is(err, test.err) || real != test.real {
				t.Errorf("a link to %s: %+v, %q, %v", test.target, got, real, err)
			}
			if test.err == nil && (got.Name != name || got.Mode&os.ModeSymlink != 0) {
				t.Errorf("a link to %s: %+v", test.target, got)
			}
			if test.real == "dir/f" && got.Size != 3 {
				t.Errorf("a link to %s: %+v", test.target, got)
			}
		}
		// A link in a directory that was reached through a link.
		link(t, e, "dir/sub", "alias")
		link(t, e, "../f", "dir/sub/up")
		if _, real, err := s.Resolve(t.Context(), filesync.Entry{Name: "alias/up"}); real != "dir/f" || err != nil {
			t.Errorf("a link below a link: %q, %v", real, err)
		}
		link(t, e, "loop2", "loop1")
		link(t, e, "loop1", "loop2")
		link(t, e, "self", "self")
		for _, name := range []string{"loop1", "self", "chain0"} {
			if got, real, err := s.Resolve(t.Context(), filesync.Entry{Name: name}); !errors.Is(err, filesync.ErrLoop) && (name != "chain0" || real != "dir/f") {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	})
}
