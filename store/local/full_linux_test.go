package local_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// small mounts a file system of 1 MiB, which takes root; without root, and
// where root may not mount, it gives "".
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		return ""
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk ends the pass and is the destination's fault, not the file's; it
// leaves nothing behind, and with room again the files arrive.
func TestFullDisk(t *testing.T) {
	dir := small(t)
	if dir == "" {
		t.Log("no file system can be mounted here: TestErrorsOfTheWhole has to do")
		return
	}
	src := storetest.NewMemory()
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 600<<10), 0o666); err != nil {
		t.Fatal(err)
	}
	src.Put("small", "fits", old)
	src.Put("big", string(make([]byte, 700<<10)), old)
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
		dst, err := local.Open(dir, pending.NewOwner(l.Owner(), "c", 0))
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		filter, _ := filesync.NewFilter(filesync.FilterOptions{})
		return pass.New(src, src.Open, dst, c, pass.NewShared(0), pass.Options{ID: id, Mode: filesync.Apply, Filter: filter}).Run(t.Context())
	}
	r := pass("1")
	if r.Outcome != filesync.Failed || !status.Is(r.Err, status.DestinationUnavailable) {
		t.Errorf("%s, %v", r.Outcome, r.Err)
	}
	recs, err := c.Find(t.Context(), []string{"big", "small"})
	if err != nil || recs[0].FailureID != 0 || recs[1].FailureID != 0 || recs[0].ID != 0 {
		t.Errorf("a full disk is a try of a file: %+v %v", recs, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	os.Remove(ballast)
	if r := pass("2"); r.Outcome != filesync.Succeeded || r.Files.Copied+r.Files.Present != 2 {
		t.Errorf("with room again: %s %+v %v", r.Outcome, r.Files, r.Err)
	}
}

func TestErrorsOfTheWhole(t *testing.T) {
	d := place(t).Open(t)
	defer d.Close()
	for errno, whole := range map[unix.Errno]bool{
		unix.ENOSPC: true, unix.EDQUOT: true, unix.EROFS: true, unix.EIO: true, unix.ESTALE: true, unix.ENODEV: true,
		unix.ENAMETOOLONG: false, unix.EACCES: false, unix.EISDIR: false, unix.ENOENT: false,
	} {
		err := local.Failed(d, &fs.PathError{Op: "write", Path: "x", Err: errno})
		if status.Is(err, status.DestinationUnavailable) != whole || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	dir := small(t)
	if dir == "" {
		dir = t.TempDir()
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	d, err := local.Open(dir, pending.NewOwner("0badcafe", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	if err := d.Probe(t.Context()); !status.Is(err, status.DestinationUnavailable) {
		t.Errorf("Probe: %v", err)
	}
	_, err = d.Begin(t.Context(), filesync.Entry{Name: "sub/x"}, nil)
	if err == nil || !status.Is(err, status.DestinationUnavailable) && !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Begin: %v", err)
	}
}
