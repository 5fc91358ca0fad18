//go:build linux

package powerfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(sqliteDirectory) != "":
		err = useSQLite(os.Getenv(sqliteDirectory), os.Getenv(sqliteSynchronous))
	case os.Getenv(mappedFile) != "":
		err = useMapping(os.Getenv(mappedFile), os.Getenv(mappedSync) != "")
	default:
		goleak.VerifyTestMain(m)
		return
	}
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
}

// mounted mounts a file system for the time of the test, and gives its directory.
func mounted(t *testing.T) (*FS, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := Mount(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return f, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file, and syncs it on demand.
func write(t *testing.T, name string, data []byte, sync bool) {
	t.Helper()
	file, err := os.Create(name)
	must(t, err)
	_, err = file.Write(data)
	must(t, err)
	if sync {
		must(t, file.Sync())
	}
	must(t, file.Close())
}

func syncDir(t *testing.T, name string) {
	t.Helper()
	dir, err := os.Open(name)
	must(t, err)
	must(t, dir.Sync())
	must(t, dir.Close())
}

func TestACutForgetsWhatWasNotSynced(t *testing.T) {
	f, dir := mounted(t)
	data := make([]byte, 100_000)
	rand.New(rand.NewSource(1)).Read(data)
	write(t, filepath.Join(dir, "kept"), data, true)
	syncDir(t, dir)
	open, err := os.Open(filepath.Join(dir, "kept"))
	must(t, err)
	defer open.Close()
	f.Cut()
	if _, err := os.Stat(filepath.Join(dir, "kept")); !errors.Is(err, syscall.EIO) {
		t.Errorf("a look after the cut: %v", err)
	}
	// A read may find the pages that the kernel still has: no call, so nothing fails.
	if _, err := open.Stat(); !errors.Is(err, syscall.EIO) {
		t.Errorf("a look through a handle after the cut: %v", err)
	}
	f.Restore(rand.New(rand.NewSource(1)))
	got, err := os.ReadFile(filepath.Join(dir, "kept"))
	must(t, err)
	if string(got) != string(data) {
		t.Error("what was synced was lost")
	}
	if _, err := open.Read(make([]byte, 10)); !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ESTALE) {
		t.Errorf("a read through a handle of before: %v", err)
	}
}

func TestUnmountCutsOffWhoIsThere(t *testing.T) {
	f, err := Mount(t.TempDir())
	must(t, err)
	file, err := os.Create(filepath.Join(f.mount, "open"))
	must(t, err)
	f.Inject(Fault{Ops: []Op{OpWrite}, Delay: time.Hour})
	written := make(chan error, 1)
	go func() {
		_, err := file.Write([]byte("x"))
		written <- err
	}()
	must(t, waitFor(func() bool { return f.Injected()[OpWrite] > 0 }))
	must(t, f.Unmount())
	<-written // with an error or without: it may have been done just in time
	if _, err := file.Stat(); err == nil {
		t.Error("a handle works after the end")
	}
	file.Close()
	if _, err := os.Stat(filepath.Join(f.mount, "open")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

// waitFor waits until the condition holds, ten seconds at most.
func waitFor(condition func() bool) error {
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			return errors.New("it took too long")
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
