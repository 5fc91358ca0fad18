package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	filesync "sftpconnector/sync"
)

// The proof that a file got its name stands until the ledger knows, or until a sweep,
// whatever became of the file.
func TestProof(t *testing.T) {
	t.Parallel()
	l := newLinking(t)
	publish := func(e filesync.Entry, replaces *filesync.Entry) filesync.Pending {
		p, err := l.Begin(t.Context(), e, nil)
		l.must(err)
		_, err = p.WriteAt([]byte("data"), 0)
		l.must(err)
		_, err = p.Finish(t.Context())
		l.must(err)
		l.must(l.Publish(t.Context(), []filesync.Publication{{Pending: p, Replaces: replaces}})[0])
		return p
	}
	again := func(p filesync.Pending, e filesync.Entry) error {
		q, err := l.Begin(t.Context(), e, &filesync.Checkpoint{ID: p.ID()})
		if err == nil {
			l.must(q.Abort(t.Context()))
		}
		return err
	}
	e := versioned("x")
	p := publish(e, nil)
	if !errors.Is(again(p, e), filesync.ErrPublished) {
		var s unix.Statfs_t
		l.must(unix.Statfs(l.to, &s))
		switch s.Type {
		case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
			t.Fatal("no proof is left")
		}
		return // this file system has none
	}
	l.must(os.Remove(filepath.Join(l.to, "x")))
	if err := again(p, e); !errors.Is(err, filesync.ErrPublished) {
		t.Errorf("its reader took it: %v", err)
	}
	l.Recorded(t.Context(), []filesync.Pending{p})
	if err := again(p, e); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("recorded: %v", err)
	}
	l.wantFiles(0)

	p = publish(e, nil)
	q := publish(e, &e)
	l.wantFiles(3)
	l.must(l.Sweep(t.Context(), func(string) bool { return false }))
	l.wantFiles(1)
	l.Recorded(t.Context(), []filesync.Pending{p, q})
	if l.NeedsSweep() {
		t.Error("proofs that are gone are told to be left")
	}

	// A name that is taken proves nothing, and a file without a version needs no proof.
	taken, err := l.Begin(t.Context(), e, nil)
	l.must(err)
	_, err = taken.WriteAt([]byte("data"), 0)
	l.must(err)
	_, err = taken.Finish(t.Context())
	l.must(err)
	if err := l.Publish(t.Context(), []filesync.Publication{{Pending: taken}})[0]; !errors.Is(err, filesync.ErrConflict) {
		t.Errorf("%v", err)
	}
	l.must(taken.Abort(t.Context()))
	publish(filesync.Entry{Name: "y", Size: 4}, nil)
	l.wantFiles(2)
}
