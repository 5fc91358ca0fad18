package local

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// A sync that failed has failed for good: the system tells of a lost write once, and a
// second try that works says nothing of what the disk has.
func TestFailedSyncIsForGood(t *testing.T) {
	t.Parallel()
	d, err := Open(filepath.Join(t.TempDir(), "to"), pending.NewOwner("0123abcd", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := d.Begin(t.Context(), filesync.Entry{Name: "x", ModTime: time.Unix(1e9, 0)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	var pipe [2]int // which cannot be synced
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	file := p.(*pendingFile).file
	defer unix.Close(file.fd)
	file.fd = pipe[1]
	for try := range 2 {
		if err := d.Sync(t.Context(), []filesync.Pending{p})[0]; err == nil {
			t.Errorf("try %d: no error", try+1)
		}
	}
	if err := p.Abort(t.Context()); err != nil {
		t.Error(err)
	}
}
