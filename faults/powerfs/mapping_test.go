//go:build linux

package powerfs

import (
	"bufio"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The environment that makes the test program one that writes to a mapped file.
const (
	mappedFile = "POWERFS_TEST_MAPPED"
	mappedSync = "POWERFS_TEST_MAPPED_SYNC"
)

// useMapping writes to all pages of a file through a mapping, with msync on demand,
// says "written", and waits for the end of standard input.
func useMapping(name string, sync bool) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for n := range data {
		data[n]++
	}
	if sync {
		if err := unix.Msync(data, unix.MS_SYNC); err != nil {
			return err
		}
	}
	fmt.Println("written")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// mapping starts a program that has written through a mapping, and gives what ends
// it and waits for it.
func mapping(t *testing.T, name string, sync bool) (end func()) {
	t.Helper()
	program, err := os.Executable()
	must(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), mappedFile+"="+name)
	if sync {
		cmd.Env = append(cmd.Env, mappedSync+"=1")
	}
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	stuck := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "written\n" {
		t.Errorf("%q, %v", line, err)
	}
	return func() {
		stdin.Close()
		cmd.Wait()
		stuck.Stop()
	}
}

func TestMappedFiles(t *testing.T) {
	f, dir := mounted(t)
	name := filepath.Join(dir, "mapped")
	text := func(letter string) string { return strings.Repeat(letter, 50_000) }
	want := func(letter string) {
		t.Helper()
		data, err := os.ReadFile(name)
		must(t, err)
		if string(data) != text(letter) {
			t.Errorf("%.60s, want only %s", summary(data), letter)
		}
	}
	write(t, name, []byte(text("a")), true)
	syncDir(t, dir)

	end := mapping(t, name, true)
	f.Restore(rand.New(rand.NewSource(1)))
	want("b") // msync is a sync
	end()

	end = mapping(t, name, false)
	want("c") // others see it at once
	f.Restore(rand.New(rand.NewSource(1)))
	want("b")
	end() // the kernel has pages of before to write
	f.Restore(rand.New(rand.NewSource(1)))
	want("b")
}

// What a mapping has in memory is not lost when it cannot be written back and somebody
// opens the file: SQLite has its index of the log there.
func TestMappingOutlivesFailedWrites(t *testing.T) {
	f, dir := mounted(t)
	name := filepath.Join(dir, "mapped")
	write(t, name, []byte(strings.Repeat("a", 50_000)), true)
	end := mapping(t, name, false)
	defer end()
	f.Inject(Fault{Ops: []Op{OpWrite}, Errno: syscall.EIO, Every: 2})
	for range 5 {
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		_, _ = file.Write([]byte("b")) // another time
		file.Close()                   // may fail, as the pages are written back
		_, err = os.Stat(name)
		must(t, err)
	}
	f.Inject()
	data, err := os.ReadFile(name)
	must(t, err)
	if string(data) != strings.Repeat("b", 50_000) {
		t.Errorf("%.60s, want only b", summary(data))
	}
}

func TestLocks(t *testing.T) {
	f, dir := mounted(t)
	name := filepath.Join(dir, "locked")
	write(t, name, nil, true)
	syncDir(t, dir)
	lock := func() (*os.File, error) {
		file, err := os.Open(name)
		must(t, err)
		t.Cleanup(func() { file.Close() })
		return file, syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	first, err := lock()
	wantError(t, err, nil)
	_, err = lock()
	wantError(t, err, syscall.EWOULDBLOCK)
	must(t, first.Close())
	_, err = lock()
	wantError(t, err, nil)
	f.Restore(rand.New(rand.NewSource(1)))
	_, err = lock()
	wantError(t, err, nil)
}
