package smb_test

import (
	"os"
	"path/filepath"
	"testing"

	"sftpconnector/store/smb/smbtest"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

// The server tells its room, and a file that does not fit is not begun: nothing
// of it is written.
func TestRoom(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	dir, ok := smbtest.SmallDir(t, 8*mib)
	if !ok {
		dir = t.TempDir()
	}
	s := smbtest.Start(t, smbtest.Options{Dir: dir})
	d := open(t, config(s, ""))
	defer d.Close()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "sub", "sub/not/yet"} {
		r, err := d.Room(t.Context(), name)
		if err != nil || r.Free <= 0 || r.Free > r.Total || ok && (r.Total != 8*mib || r.Free < 7*mib) {
			t.Errorf("%q: %+v %v", name, r, err)
		}
	}
	if !ok {
		t.Log("no file system can be mounted here: of the pass, the tests of sync have to do")
		return
	}
	src := storetest.NewMemory()
	src.Put("large", string(text(9*mib)), then)
	src.Put("small", "fits", then)
	if r := passes(t, s, src, nil)(); r.Outcome != filesync.Failed || r.Files.Copied != 1 || r.Files.Failed != 1 {
		t.Errorf("%s %+v %v", r.Outcome, r.Files, r.Err)
	}
	if n := src.Fetches(); n != 1 {
		t.Errorf("%d files were read", n)
	}
	wantFiles(t, s, "small")
}
