//go:build !windows

package local_test

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	filesync "sftpconnector/sync"
)

// TestFetchOfWhatIsNoFile: neither a pipe nor a directory is waited for.
func TestFetchOfWhatIsNoFile(t *testing.T) {
	s, h := openSource(t)
	h.must(syscall.Mkfifo(h.path("pipe"), 0o666))
	h.must(os.Mkdir(h.path("dir"), 0o777))
	for _, name := range []string{"pipe", "dir"} {
		_, err := s.Fetch(t.Context(), filesync.Entry{Name: name, Size: 1}, 0, writer(func(b []byte, off int64) (int, error) { return len(b), nil }))
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for e, err := range s.List(t.Context(), "") {
		if err != nil || e.Name == "pipe" && e.Mode.IsRegular() {
			t.Errorf("%+v, %v", e, err)
		}
	}
}
