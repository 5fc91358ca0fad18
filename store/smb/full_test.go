package smb_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sftpconnector/status"
	"sftpconnector/store/smb"
	"sftpconnector/store/smb/smbtest"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// A full share ends the pass and is the destination's fault, not the file's; it
// leaves nothing behind, and with room again the files arrive.
func TestFullShare(t *testing.T) {
	t.Parallel()
	dir, ok := smbtest.SmallDir(t, 1<<20)
	if !ok {
		t.Log("no file system can be mounted here: TestErrorsOfTheWhole has to do")
		return
	}
	s := smbtest.Start(t, smbtest.Options{Dir: dir})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 600<<10), 0o666); err != nil {
		t.Fatal(err)
	}
	src := storetest.NewMemory()
	src.Put("small", "fits", then)
	src.Put("big", string(text(700<<10)), then)
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := l.Connector(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	pass := func(id string) filesync.Result {
		d := open(t, config(s, ""))
		defer d.Close()
		filter, _ := filesync.NewFilter(filesync.FilterOptions{})
		o := filesync.Options{ID: id, Mode: filesync.Apply, Filter: filter}
		return filesync.New(src, src.Open, d, c, filesync.NewShared(0), o).Run(t.Context())
	}
	r := pass("1")
	if r.Outcome != filesync.Failed || !status.Is(r.Err, status.DestinationUnavailable) || !errors.Is(r.Err, filesync.ErrFull) {
		t.Errorf("%s, %v", r.Outcome, r.Err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(filepath.Join(dir, "rest"), make([]byte, 1<<20), 0o666); err == nil {
		t.Fatal("the share is not full")
	}
	d := open(t, config(s, ""))
	if err := d.Probe(t.Context()); !status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Probe: %v", err)
	}
	d.Close()
	os.Remove(ballast)
	os.Remove(filepath.Join(dir, "rest"))
	if r := pass("2"); r.Outcome != filesync.Succeeded || r.Files.Copied+r.Files.Present != 2 {
		t.Errorf("with room again: %s %+v %v", r.Outcome, r.Files, r.Err)
	}
	wantThere(t, s, "big", text(700<<10))
}

func TestErrorsOfTheWhole(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	d := open(t, config(s, ""))
	defer d.Close()
	for code, whole := range map[uint32]bool{
		0xC000007F: true, 0xC0000044: true, 0xC0000802: true, 0xC00000A2: true, 0xC0000185: true,
		0xC0000043: false, 0xC0000056: false, 0xC0000033: false, 0xC0000106: false, 0xC0000001: false,
	} {
		err := smb.Failed(t.Context(), d, code)
		if status.Is(err, status.DestinationUnavailable) != whole || strings.Contains(err.Error(), "\n") {
			t.Errorf("%#x: %v", code, err)
		}
		if full := code == 0xC000007F || code == 0xC0000044 || code == 0xC0000802; errors.Is(err, filesync.ErrFull) != full {
			t.Errorf("%#x: %v; that is full: %v", code, err, full)
		}
	}
}
