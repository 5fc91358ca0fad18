package local_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// openBelow counts the descriptors of this process for files below dir.
func openBelow(t *testing.T, dir string) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir+"/") {
			n++
		}
	}
	return n
}

// A finished file keeps the descriptor that wrote it until it is synced, as another
// one need not hear of a write that failed; but not more of them than a process can
// have open.
func TestDescriptorsAreKeptUntilSync(t *testing.T) {
	t.Parallel()
	for _, files := range []int{1, 3, 40, 600} {
		dir := filepath.Join(t.TempDir(), "to")
		d, err := local.Open(dir, pending.NewOwner("0123abcd", "c", 0))
		if err != nil {
			t.Fatal(err)
		}
		var batch []filesync.Pending
		for i := range files {
			e := filesync.Entry{Name: strconv.Itoa(i), Size: 4, ModTime: time.Unix(1e9, 0)}
			p, err := d.Begin(t.Context(), e, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.WriteAt([]byte("data"), 0); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			batch = append(batch, p)
		}
		if n := openBelow(t, dir); n != min(files, 512) {
			t.Errorf("%d files: %d descriptors are open before they are synced", files, n)
		}
		for i, err := range d.Sync(t.Context(), batch) {
			if err != nil {
				t.Errorf("sync %d: %v", i, err)
			}
		}
		if n := openBelow(t, dir); n != 0 {
			t.Errorf("%d files: %d descriptors are open after they were synced", files, n)
		}
		for _, p := range batch[:files/2] {
			if err := p.Abort(t.Context()); err != nil {
				t.Error(err)
			}
		}
		publications := make([]filesync.Publication, 0, files)
		for _, p := range batch[files/2:] {
			publications = append(publications, filesync.Publication{Pending: p})
		}
		for _, err := range d.Publish(t.Context(), publications) {
			if err != nil {
				t.Error(err)
			}
		}
		if all, err := os.ReadDir(dir); err != nil || len(all) != files-files/2 {
			t.Errorf("%d files: %d are there, %v", files, len(all), err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is given up before it is synced has no descriptor either.
func TestDescriptorsOfAbortedFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "to")
	d, err := local.Open(dir, pending.NewOwner("0123abcd", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i, end := range []func(filesync.Pending) error{
		func(p filesync.Pending) error { return p.Abort(t.Context()) },
		func(p filesync.Pending) error { return p.Keep() },
	} {
		p, err := d.Begin(t.Context(), filesync.Entry{Name: strconv.Itoa(i), ModTime: time.Unix(1e9, 0)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := end(p); err != nil {
			t.Error(err)
		}
		if n := openBelow(t, dir); n != 0 {
			t.Errorf("%d descriptors are open", n)
		}
	}
}

// syncfs tells of writes that failed since Linux 5.8 only.
func TestKernelsWhoseSyncfsTells(t *testing.T) {
	t.Parallel()
	for release, tells := range map[string]bool{
		"2.6.32-754.el6.x86_64": false, "3.10.0-1160.el7": false, "4.18.0-553.el8_10.x86_64": false, "4.19.0": false,
		"5.4.0-190-generic": false, "5.7.19": false, "5.8.0": true, "5.8-rc1": true, "5.10.0-32-amd64": true,
		"5.14.0-427.el9": true, "6.1.0-25-amd64": true, "6.18.44-fc": true, "10.0": true, "": false, "unknown": false, "6": false,
	} {
		if got := local.SyncfsTells(release); got != tells {
			t.Errorf("%q: %v", release, got)
		}
	}
}

// syncfs is gone by only where it waits for the disk and tells of errors itself:
// overlayfs has another file system below it that the errors are noted at.
func TestFileSystemsWhoseSyncfsWaits(t *testing.T) {
	t.Parallel()
	for magic, waits := range map[uint32]bool{
		unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true,
		unix.F2FS_SUPER_MAGIC: true, unix.OVERLAYFS_SUPER_MAGIC: false, unix.NFS_SUPER_MAGIC: false, unix.FUSE_SUPER_MAGIC: false, 0: false,
	} {
		if got := local.SyncfsWaits(magic); got != waits {
			t.Errorf("%#x: %v", magic, got)
		}
	}
}
