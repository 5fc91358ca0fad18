package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

// place is a directory of its own, with nothing beside it.
func place(t *testing.T) storetest.Place {
	dir := filepath.Join(t.TempDir(), "to")
	open := func(owner string) func(*testing.T) filesync.Destination {
		return func(t *testing.T) filesync.Destination {
			t.Helper()
			d, err := local.Open(dir, pending.NewOwner(owner, "c", 0))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	return storetest.Place{Dir: dir, Open: open("0badcafe"), OtherOwner: open("deadbeef")}
}

func TestDestination(t *testing.T) { storetest.Destination(t, place) }

func TestOpenMakesOneDirectory(t *testing.T) {
	dir := t.TempDir()
	d, err := local.Open(filepath.Join(dir, "new"), pending.NewOwner("0badcafe", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	// With the parent missing too, a disk is not mounted.
	for _, path := range []string{filepath.Join(dir, "missing", "new"), filepath.Join(dir, "file"), filepath.Join(dir, "file", "new")} {
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o666)
		_, err := local.Open(path, pending.NewOwner("0badcafe", "c", 0))
		if !status.Is(err, status.DestinationUnavailable) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); err == nil {
		t.Error("the parent was made")
	}
}

func TestDirectoryIsGone(t *testing.T) {
	p := place(t)
	d := p.Open(t)
	defer d.Close()
	if err := os.RemoveAll(p.Dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Probe(t.Context()); !status.Is(err, status.DestinationUnavailable) {
		t.Errorf("Probe: %v", err)
	}
	if _, err := d.Begin(t.Context(), filesync.Entry{Name: "x"}, nil); !status.Is(err, status.DestinationUnavailable) {
		t.Errorf("Begin: %v", err)
	}
}
