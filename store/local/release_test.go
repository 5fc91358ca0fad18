package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sftpconnector/store/pending"
)

// endsAfter is a context that ends when it was looked at so often.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A Stat gives its directories back, wherever its context ends.
func TestStatGivesItsDirectoriesBack(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"d", "e"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"d/a", "d/b", "e/a", "missing/a", "e/b"}
	for stats := range len(names) + 1 {
		d, err := Open(dir, pending.NewOwner("00000000", "c", 0))
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Stat(&endsAfter{t.Context(), stats}, names)
		if ended := stats < len(names); ended != (err != nil) {
			t.Errorf("after %d names: %v", stats, err)
		}
		for name, open := range d.dirs.open {
			if name != "." && open.users != 0 {
				t.Errorf("after %d names %s has %d users", stats, name, open.users)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file that is begun and not published gives its directory back.
func TestAbandonedFilesGiveTheirDirectoriesBack(t *testing.T) {
	d, err := Open(t.TempDir(), pending.NewOwner("00000000", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped"))
	if _, err := d.Open(ended, "x"); err == nil {
		t.Error("a file that is not there was opened")
	}
	d.Persist(ended, []string{"x", "y"})
	d.Sweep(ended, func(string) bool { return false })
	if users := d.dirs.open["."].users; users != 1 {
		t.Errorf("the root has %d users, want the one it has for good", users)
	}
}
