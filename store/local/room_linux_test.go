package local_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// disk mounts a file system of so many bytes, which takes root; without root,
// and where root may not mount, it gives "".
func disk(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return ""
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func free(t *testing.T, dir string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

func TestRoom(t *testing.T) {
	d := place(t).Open(t)
	defer d.Close()
	for _, dir := range []string{"", "not/yet/there"} {
		r, err := d.(filesync.Roomer).Room(t.Context(), dir)
		if err != nil || r.Free <= 0 || r.Total < r.Free {
			t.Errorf("%q: %+v %v", dir, r, err)
		}
	}
	dir := disk(t, 8<<20)
	if dir == "" {
		t.Log("no file system can be mounted here")
		return
	}
	below, err := local.Open(filepath.Dir(dir), pending.NewOwner("0badcafe", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 3<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	// A directory may be a file system of its own.
	r, err := below.Room(t.Context(), filepath.Base(dir)+"/not/yet")
	if want := (filesync.Room{Free: 5 << 20, Total: 8 << 20}); err != nil || r != want {
		t.Errorf("%+v, want %+v (%v)", r, want, err)
	}
}

// Two connectors that write to one file system know nothing of each other. Each
// file fits alone: one is delivered, and the disk is never filled.
func TestTwoConnectorsOnOneDisk(t *testing.T) {
	const mib = 1 << 20
	dir := disk(t, 64*mib)
	if dir == "" {
		t.Log("no file system can be mounted here: TestOthersTakeTheRoom has to do")
		return
	}
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	filter, _ := filesync.NewFilter(filesync.FilterOptions{})
	var all, begun sync.WaitGroup
	begun.Add(2)
	var mu sync.Mutex
	least := int64(64 * mib)
	results := make([]filesync.Result, 2)
	for i := range results {
		src := storetest.NewMemory()
		src.Block = 64 << 10
		src.Put("large", string(make([]byte, 40*mib)), time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC))
		var once sync.Once
		src.OnFetch = func(filesync.Entry, int64) error {
			once.Do(func() { begun.Done(); begun.Wait() })
			mu.Lock()
			defer mu.Unlock()
			least = min(least, free(t, dir))
			return nil
		}
		c, err := l.Connector(t.Context(), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		dst, err := local.Open(filepath.Join(dir, fmt.Sprint(i)), pending.NewOwner(l.Owner(), "c", 0))
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		all.Go(func() {
			o := pass.Options{ID: "1", Mode: filesync.Automatic, Filter: filter}
			results[i] = pass.New(src, src.Open, dst, c, pass.NewShared(0), o).Run(t.Context())
		})
	}
	all.Wait()
	copied := 0
	for _, r := range results {
		copied += int(r.Files.Copied)
		if r.Files.Copied == 0 && !errors.Is(r.Err, filesync.ErrFull) {
			t.Errorf("%s %v", r.Outcome, r.Err)
		}
	}
	if copied > 1 || least < mib/2 {
		t.Errorf("%d were copied, %d bytes were free at one time", copied, least)
	}
}
