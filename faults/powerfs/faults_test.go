//go:build linux

package powerfs

import (
	"errors"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func wantError(t *testing.T, got error, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFaults(t *testing.T) {
	f, dir := mounted(t)
	must(t, os.MkdirAll(filepath.Join(dir, "in", "deep"), 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "inner"), 0o755))
	f.Inject(
		Fault{Ops: []Op{OpRename}, Under: "in", Errno: syscall.EACCES},
		Fault{Ops: []Op{OpFsync}, Errno: syscall.ENOSPC, From: 2, Every: 2, Limit: 2},
		Fault{Ops: []Op{OpUnlink}, Match: func(path string) bool { return strings.HasSuffix(path, ".csv") }, Errno: syscall.EPERM})
	for _, name := range []string{"a", "in/deep/a", "inner/a.csv"} {
		write(t, filepath.Join(dir, name), []byte(name), false)
	}
	wantError(t, os.Rename(filepath.Join(dir, "in/deep/a"), filepath.Join(dir, "b")), syscall.EACCES)
	wantError(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "in/b")), syscall.EACCES)
	wantError(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "inner/b")), nil)
	wantError(t, os.Remove(filepath.Join(dir, "inner/a.csv")), syscall.EPERM)
	wantError(t, os.Remove(filepath.Join(dir, "inner/b")), nil)
	file, err := os.Create(filepath.Join(dir, "synced"))
	must(t, err)
	defer file.Close()
	for n := 1; n <= 8; n++ {
		var want error
		if n == 2 || n == 4 {
			want = syscall.ENOSPC
		}
		wantError(t, file.Sync(), want)
	}
	got := f.Injected()
	if got[OpRename] != 2 || got[OpFsync] != 2 || got[OpUnlink] != 1 || len(got) != 3 {
		t.Errorf("injected: %v", got)
	}
	f.Inject()
	wantError(t, os.Remove(filepath.Join(dir, "inner/a.csv")), nil)
}

// A failed fsync makes nothing durable.
func TestAFailedSyncKeepsNothing(t *testing.T) {
	for _, op := range []Op{OpFsync, OpFsyncdir} {
		wantOutcomes(t, survivorsOfFailed(t, op), "", "lost")
	}
}

func survivorsOfFailed(t *testing.T, op Op) map[string]int {
	f, dir := mounted(t)
	seen := map[string]int{}
	name := filepath.Join(dir, "a")
	for seed := range 100 {
		f.Inject(Fault{Ops: []Op{op}, Errno: syscall.EIO})
		file, err := os.Create(name)
		must(t, err)
		_, err = file.WriteString("text")
		must(t, err)
		failed := file.Sync()
		must(t, file.Close())
		opened, err := os.Open(dir)
		must(t, err)
		failed = errors.Join(failed, opened.Sync())
		must(t, opened.Close())
		wantError(t, failed, syscall.EIO)
		f.Inject()
		f.Restore(rand.New(rand.NewSource(int64(seed))))
		left := ""
		if data, err := os.ReadFile(name); err != nil || string(data) != "text" {
			left = "lost"
		}
		seen[left]++
		os.Remove(name)
		syncDir(t, dir)
	}
	return seen
}

func TestDelays(t *testing.T) {
	f, dir := mounted(t)
	const delay = 200 * time.Millisecond
	f.Inject(Fault{Ops: []Op{OpMkdir}, Delay: delay, Errno: syscall.EBUSY})
	began := time.Now()
	wantError(t, os.Mkdir(filepath.Join(dir, "a"), 0o755), syscall.EBUSY)
	if took := time.Since(began); took < delay {
		t.Errorf("a delay of %v took %v", delay, took)
	}
	for _, end := range []struct {
		name string
		end  func()
		want error
	}{
		{"Inject", func() { f.Inject() }, nil},
		{"Cut", f.Cut, syscall.EIO},
		{"Restore", func() { f.Restore(rand.New(rand.NewSource(1))) }, syscall.EIO},
	} {
		f.Restore(rand.New(rand.NewSource(1)))
		f.Inject(Fault{Ops: []Op{OpMkdir}, Delay: time.Hour})
		before := f.Injected()[OpMkdir]
		made := make(chan error)
		go func() { made <- os.Mkdir(filepath.Join(dir, end.name), 0o755) }()
		must(t, waitFor(func() bool { return f.Injected()[OpMkdir] > before }))
		end.end()
		wantError(t, <-made, end.want)
	}
}

// A program that waits for a slow disk can be killed.
func TestAKilledCallerNeedNotBeWaitedFor(t *testing.T) {
	f, dir := mounted(t)
	f.Inject(Fault{Ops: []Op{OpMkdir}, Delay: time.Hour})
	cmd := exec.Command("mkdir", filepath.Join(dir, "a"))
	must(t, cmd.Start())
	must(t, waitFor(func() bool { return f.Injected()[OpMkdir] > 0 }))
	must(t, cmd.Process.Kill())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it lives on")
		f.Inject()
		<-ended
	}
	f.Inject()
	_, err := os.Stat(filepath.Join(dir, "a"))
	wantError(t, err, syscall.ENOENT)
}

func TestRoom(t *testing.T) {
	f, dir := mounted(t)
	const room = 1 << 20
	write(t, filepath.Join(dir, "before"), make([]byte, 50_000), false)
	f.SetFree(room)
	var stat syscall.Statfs_t
	must(t, syscall.Statfs(dir, &stat))
	if free := int64(stat.Bavail) * stat.Bsize; free != room {
		t.Errorf("%d bytes left, want %d", free, room)
	}
	file, err := os.Create(filepath.Join(dir, "a"))
	must(t, err)
	defer file.Close()
	n, err := io.Copy(file, io.LimitReader(rand.New(rand.NewSource(1)), 2*room))
	wantError(t, err, syscall.ENOSPC)
	if n != room {
		t.Errorf("%d bytes were written, want %d", n, room)
	}
	_, err = file.WriteAt([]byte("over"), 100)
	wantError(t, err, nil)
	wantError(t, os.Mkdir(filepath.Join(dir, "d"), 0o755), syscall.ENOSPC)
	must(t, os.Remove(filepath.Join(dir, "before")))
	_, err = file.WriteAt([]byte("more"), room)
	wantError(t, err, nil)
	f.SetFree(-1)
	_, err = io.Copy(file, io.LimitReader(rand.New(rand.NewSource(1)), 2*room))
	wantError(t, err, nil)
}

func TestReadOnly(t *testing.T) {
	f, dir := mounted(t)
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	name := filepath.Join(dir, "d", "a")
	file, err := os.Create(name)
	must(t, err)
	defer file.Close()
	f.SetReadOnly("d", true)
	_, err = file.WriteString("text")
	wantError(t, err, syscall.EROFS)
	wantError(t, os.Rename(name, filepath.Join(dir, "a")), syscall.EROFS)
	wantError(t, os.Chmod(name, 0o600), syscall.EROFS)
	_, err = os.ReadFile(name)
	wantError(t, err, nil)
	write(t, filepath.Join(dir, "b"), nil, true)
	f.SetReadOnly("d", false)
	_, err = file.WriteString("text")
	wantError(t, err, nil)
}

func TestWatch(t *testing.T) {
	f, dir := mounted(t)
	var mu sync.Mutex
	var got []string
	seen := func(events int) error {
		return waitFor(func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == events })
	}
	f.Watch(func(e Event) {
		if e.Op == OpRename {
			// A watcher may use the mount.
			if data, err := os.ReadFile(filepath.Join(dir, e.To)); err != nil || string(data) != "text" {
				t.Errorf("after %v: %q, %v", e, data, err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, strings.TrimSpace(string(e.Op)+" "+e.Path+" "+e.To))
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(at("d"), 0o755))
	write(t, at("d/tmp"), []byte("text"), true)
	must(t, os.Rename(at("d/tmp"), at("d/a")))
	must(t, seen(4))
	must(t, os.Link(at("d/a"), at("b")))
	must(t, os.Symlink("b", at("c")))
	must(t, os.Truncate(at("d/a"), 1))
	must(t, os.Remove(at("b")))
	must(t, os.Remove(at("d/a")))
	must(t, os.Remove(at("d")))
	want := []string{"mkdir d", "create d/tmp", "write d/tmp", "rename d/tmp d/a", "link d/a b", "symlink c", "truncate b",
		"unlink b", "unlink d/a", "rmdir d"}
	err := seen(len(want))
	if mu.Lock(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	mu.Unlock()
}

// Many file systems live side by side in one process.
func TestManyMounts(t *testing.T) {
	var work sync.WaitGroup
	for n := range 16 {
		f, dir := mounted(t)
		work.Go(func() {
			big := make([]byte, 4<<20)
			rand.New(rand.NewSource(int64(n))).Read(big)
			for seed := range int64(5) {
				name := filepath.Join(dir, "big")
				err := os.WriteFile(name, big, 0o644)
				if file, e := os.Open(name); e == nil {
					err = errors.Join(err, file.Sync(), file.Close())
				}
				if opened, e := os.Open(dir); e == nil {
					err = errors.Join(err, opened.Sync(), opened.Close())
				}
				f.Cut()
				f.Restore(rand.New(rand.NewSource(seed)))
				data, e := os.ReadFile(name)
				if err = errors.Join(err, e); err != nil || string(data) != string(big) {
					t.Errorf("mount %d: %d bytes, %v", n, len(data), err)
				}
			}
		})
	}
	work.Wait()
}

// What a test starts does not hold on to the file system of a test that died.
func TestChildrenDoNotInheritTheDevice(t *testing.T) {
	mounted(t)
	listed, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
	must(t, err)
	if strings.Contains(string(listed), "fuse") {
		t.Errorf("a child has open:\n%s", listed)
	}
}
