//go:build linux

package world

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// walWriteLock is the byte of the -shm file that a writer of SQLite locks
// (https://sqlite.org/walformat.html, "locks").
const walWriteLock = 120

// lockLedger has another program hold the ledger's write lock for a while. The file
// is not opened with SQLite here: it would map memory of a file system that this
// very process serves.
func (w *world) lockLedger(ctx context.Context, how time.Duration) error {
	f, err := os.OpenFile(w.path("data/connector/ledger.db-shm"), os.O_RDWR, 0)
	if err != nil {
		return nil // not made yet, or out of reach by another fault
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: walWriteLock, Len: 1}
	if err := w.until(ctx, func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock) }); err != nil {
		return nil
	}
	wait(ctx, how)
	return nil
}

// garbleLedger ends the daemon, spoils the ledger, and sees that the daemon says
// so and ends, instead of beginning with an empty one. Then the ledger comes back.
func (w *world) garbleLedger(ctx context.Context, how string) error {
	w.daemon.hold()
	defer w.daemon.release()
	w.daemon.end()
	dir := w.path("data/connector")
	kept := w.path("ledger.kept")
	if err := copyFiles(dir, kept, "ledger.db*"); err != nil {
		return nil // there is none yet, or its disk has a fault
	}
	defer os.RemoveAll(kept)
	if err := spoil(filepath.Join(dir, "ledger.db"), how); err != nil {
		return nil // a disk with a fault
	}
	before := w.log()
	w.daemon.tryOnce(ctx, 20*time.Second)
	said := strings.TrimPrefix(w.log(), before)
	if strings.Contains(said, "msg=running") {
		w.notes.violation("a broken ledger is told", fmt.Sprintf("%s: the daemon ran: %s", how, said))
	}
	// The disk may have faults of its own.
	return insist(ctx, func() error {
		for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return copyFiles(kept, dir, "ledger.db*")
	})
}

// insist tries until it goes well, for a minute at most.
func insist(ctx context.Context, what func() error) error {
	for deadline := time.Now().Add(time.Minute); ; {
		err := what()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		wait(ctx, 100*time.Millisecond)
	}
}

// spoil breaks a database file.
func spoil(file, how string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	switch how {
	case "truncate":
		return os.Truncate(file, info.Size()/2)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	at := int64(0)
	if how == "middle" {
		at = info.Size() / 2
	}
	_, err = f.WriteAt([]byte(strings.Repeat("garbage.", 1024)), at)
	return err
}

// copyFiles copies the files of a directory that match, durably.
func copyFiles(from, to, pattern string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(from, pattern))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errNotYet
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := writeDurably(filepath.Join(to, filepath.Base(file)), data); err != nil {
			return err
		}
	}
	return syncDirectory(to)
}

func writeDurably(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// log is what the daemon has said so far.
func (w *world) log() string {
	text, _ := os.ReadFile(w.daemon.log)
	return string(text)
}
