package spool_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/space/spool"
)

// eventually waits until is.
func (b *bench) eventually(what string, is func() bool) {
	b.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("waited in vain: %s", what)
		}
	}
}

// wantEntries checks how many files and directories the inbox holds.
func (b *bench) wantEntries(want int) {
	b.Helper()
	if r := b.Room(); r.Entries != want {
		b.Errorf("%d files and directories, want %d", r.Entries, want)
	}
}

// missing reports whether a client sees nothing of a name.
func (s *session) missing(name string) bool {
	_, err := s.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// Directories that hold nothing do not fill an inbox for good.
func TestEmptyDirectoriesGo(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	b.Close()
	old := time.Now().Add(-25 * time.Hour)
	for _, name := range []string{"a", "a/b", "a/b/c", "full", "young"} {
		b.must(os.Mkdir(filepath.Join(b.inbox, name), 0o700))
	}
	b.must(os.WriteFile(filepath.Join(b.inbox, "full", "x"), nil, 0o600))
	for _, name := range []string{"a/b/c", "a/b", "a", "full", "full/x"} {
		b.must(os.Chtimes(filepath.Join(b.inbox, name), old, old))
	}
	b.open(spool.Options{Quiet: time.Nanosecond, MaximumEntries: 4})
	b.eventually("the old ones are gone", func() bool { return b.Room().Entries == 3 })
	c := b.connect()
	if !c.missing("a") || c.missing("full/x") || c.missing("young") {
		t.Error("others are gone than those that are old and hold nothing")
	}
	b.put(c, "y", "data") // there is room again, for one more
	r := b.Room()
	if err := c.Mkdir("z"); err == nil || r.Full == "" || !strings.Contains(err.Error(), r.Full) || r.MaximumEntries != 4 {
		t.Errorf("%+v, and a client is told: %v", r, err)
	}
}

// What a session asks for stays, and so does what is in it; a directory that nobody
// has asked for is gone after a day, whatever time a client gave it.
func TestUsedDirectoriesStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, spool.Options{})
		c := b.connect()
		for _, name := range []string{"listed", "looked", "above", "above/below", "left"} {
			b.must(c.Mkdir(name))
		}
		b.must(c.Chtimes("left", then, then))
		b.wantEntries(5)
		for range 30 {
			time.Sleep(time.Hour)
			_, err := c.ReadDir("listed")
			b.must(err)
			_, err = c.Stat("looked")
			b.must(err)
			if _, err := c.Stat("above/below/x"); !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
		if !c.missing("left") {
			t.Error("a directory that nobody asks for is there after 30 hours")
		}
		b.wantEntries(4)
		time.Sleep(26 * time.Hour)
		b.wantEntries(0)
		b.must(c.Mkdir("left"))
		b.putAt(c, "left/x", "data", then)
		time.Sleep(50 * time.Hour)
		b.imports(b.ready()["left/x"])
		time.Sleep(23 * time.Hour)
		b.wantEntries(1)
		time.Sleep(3 * time.Hour)
		b.wantEntries(0)
	})
}

// The time that a client gives a directory stays until a client changes what is in
// it: neither the end of an upload nor an import does.
func TestDirectoryTimes(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	check := func(after string) {
		t.Helper()
		for _, dir := range []string{"d", "."} {
			if info, err := c.Stat(dir); err != nil || !info.ModTime().Equal(then) {
				t.Errorf("%s: %s has the time %v, %v", after, dir, info.ModTime(), err)
			}
		}
	}
	b.must(c.Mkdir("d"))
	f, err := c.Create("d/x")
	b.must(err)
	b.must(c.Chtimes("d", then, then))
	b.must(c.Chtimes(".", then, then))
	check("set")
	b.must(f.Close())
	check("closed")
	b.put(c, "d/x", "another")
	check("replaced")
	f, err = c.OpenFile("d/x", os.O_WRONLY)
	b.must(err)
	_, err = f.WriteAt([]byte("A"), 0)
	b.must(err)
	b.must(f.Close())
	check("written on")
	b.must(c.Chmod("d", 0o700))
	b.must(c.Chown("d", 1, 1))
	b.imports(b.ready()["d/x"])
	check("imported")
	b.again()
	c = b.connect()
	check("restarted")
	b.put(c, "d/y", "")
	if info, err := c.Stat("d"); err != nil || info.ModTime().Equal(then) {
		t.Errorf("a new file in it: %v, %v", info, err)
	}
}

// Owners are of no account: clients that set them go on.
func TestOwners(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	f, err := c.Create("x")
	b.must(err)
	b.must(c.Chown("x", 1000, 1000)) // while it is uploaded
	b.must(f.Close())
	b.must(c.Chown("x", 1000, 1000))
	b.must(c.Mkdir("d"))
	b.must(c.Chown("d", 1000, 1000))
	b.imports(b.ready()["x"])
	b.must(c.Chown("x", 1000, 1000)) // it was imported a moment ago
	if err := c.Chown("y", 1000, 1000); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}
