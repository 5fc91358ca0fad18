package spool_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
)

// Whatever touches a file starts its wait anew; OnChange comes when that is over.
func TestQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int32
		b := newBench(t, spool.Options{Quiet: 2 * time.Second, OnChange: func() { told.Add(1) }})
		c := b.connect()
		f, err := c.Create("x")
		b.must(err)
		time.Sleep(time.Minute)
		b.wantReady()
		b.must(f.Close())
		for name, touch := range map[string]func(){
			"replaced": func() { b.put(c, "z", ""); b.must(c.PosixRename("z", "x")) },
			"setstat":  func() { b.must(c.Chtimes("x", then, then)) },
			"chmod":    func() { b.must(c.Chmod("x", 0o644)) },
			"renamed":  func() { b.must(c.Rename("x", "y")); b.must(c.Rename("y", "x")) },
			"written":  func() { b.put(c, "x", "data") },
			"moved":    func() { b.must(c.Mkdir("d")); b.must(c.Rename("x", "d/x")); b.must(c.Rename("d/x", "x")) },
		} {
			touch()
			told.Store(0)
			time.Sleep(1900 * time.Millisecond)
			b.wantReady()
			time.Sleep(200 * time.Millisecond)
			b.wantReady("x")
			if told.Load() != 1 {
				t.Errorf("%s: told %d times", name, told.Load())
			}
			c.RemoveDirectory("d")
		}
		// Nothing is told of what is not ready, and of many files at once.
		told.Store(0)
		b.put(c, "a.part", "")
		g, err := c.Create("open")
		b.must(err)
		time.Sleep(time.Minute)
		if told.Load() != 0 {
			t.Error("told of an unfinished file")
		}
		b.must(g.Close())
		for _, name := range strings.Split("abcdefgh", "") {
			b.put(c, name, "")
		}
		time.Sleep(time.Minute)
		if told.Load() != 1 {
			t.Errorf("told %d times of files that came together", told.Load())
		}
		// A restart starts the wait anew, and tells of what is there.
		b.Close()
		told.Store(0)
		b.open(spool.Options{Quiet: 2 * time.Second, OnChange: func() { told.Add(1) }})
		b.wantReady()
		time.Sleep(3 * time.Second)
		if told.Load() != 1 || len(b.ready()) != 10 {
			t.Errorf("after a restart: told %d times, %d are ready", told.Load(), len(b.ready()))
		}
		b.put(b.connect(), "late", "")
		b.Close()
		time.Sleep(time.Minute)
		if told.Load() != 1 {
			t.Error("told after the end")
		}
		c.end()
	})
}

// What was imported answers STAT and SETSTAT for a while, and nothing else.
func TestRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, spool.Options{})
		c := b.connect()
		imported := func() {
			t.Helper()
			b.putAt(c, "d/x", "data", then)
			time.Sleep(time.Second)
			b.imports(b.ready()["d/x"])
		}
		b.must(c.Mkdir("d"))
		imported()
		for what, err := range map[string]error{
			"truncate": c.Truncate("d/x", 1), "rename": c.Rename("d/x", "y"), "remove": c.Remove("d/x"),
			"open": func() error { _, err := c.Open("d/x"); return err }(), "append": func() error { _, err := c.OpenFile("d/x", os.O_WRONLY); return err }(),
		} {
			if err == nil {
				t.Errorf("%s of an imported file", what)
			}
		}
		b.must(c.Truncate("d/x", 4))
		b.must(c.Chmod("d/x", 0o600))
		if info, err := c.Stat("d/x"); err != nil || info.Size() != 4 || !info.ModTime().Equal(then) || info.Mode() != 0o644 {
			t.Errorf("%v, %v", info, err)
		}
		if _, err := c.Lstat("d/x"); !errors.Is(err, fs.ErrNotExist) { // nothing is in the way of another one
			t.Errorf("LSTAT: %v", err)
		}
		b.must(c.Chtimes("d/x", then, then.Add(time.Hour)))
		if info, err := c.Stat("d/x"); err != nil || !info.ModTime().Equal(then.Add(time.Hour)) {
			t.Errorf("%v, %v", info, err)
		}
		if infos, err := c.ReadDir("d"); err != nil || len(infos) != 0 {
			t.Errorf("listed: %v, %v", infos, err)
		}
		time.Sleep(59 * time.Second)
		if _, err := c.Stat("d/x"); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := c.Stat("d/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after a minute: %v", err)
		}
		// An upload, a directory, or a move of its own ends it.
		imported()
		f, err := c.Create("d/x")
		b.must(err)
		if info, err := c.Stat("d/x"); err != nil || info.Size() != 0 {
			t.Errorf("while it is uploaded again: %v, %v", info, err)
		}
		b.must(f.Close())
		b.must(c.Remove("d/x"))
		if _, err := c.Stat("d/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("removed: %v", err)
		}
		imported()
		b.must(c.Rename("d", "e"))
		b.must(c.Mkdir("d"))
		if _, err := c.Stat("d/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("in another directory of that name: %v", err)
		}
		// A file that goes on where an imported one ended has no beginning.
		imported()
		g, err := c.OpenFile("d/x", os.O_WRONLY|os.O_CREATE|os.O_APPEND)
		b.must(err)
		if _, err = g.WriteAt([]byte("more"), 4); err == nil {
			t.Error("appended to nothing")
		}
		if err := g.Close(); err == nil {
			t.Error("half a file was closed")
		}
		for _, size := range []int64{4, 20 << 20} { // as lftp's put -c does, which ignores the answer
			h, err := c.OpenFile("d/x", os.O_WRONLY|os.O_CREATE)
			b.must(err)
			_ = h.Truncate(size)
			if err := h.Close(); err == nil {
				t.Errorf("nothing of %d bytes was closed", size)
			}
		}
		b.wantReady()
		c.end()
		b.Close()
	})
}

// A writer that fell silent loses its file to another connection.
func TestSilentWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, spool.Options{})
		dead, c := b.connect(), b.connect()
		f, err := dead.Create("x")
		b.must(err)
		_, err = f.Write([]byte("1234"))
		b.must(err)
		time.Sleep(29 * time.Second)
		if _, err := c.OpenFile("x", os.O_WRONLY); err == nil {
			t.Error("taken over too soon")
		}
		time.Sleep(2 * time.Second)
		g, err := c.OpenFile("x", os.O_WRONLY)
		b.must(err)
		if _, err := f.WriteAt([]byte("late"), 4); err == nil || !strings.Contains(err.Error(), "taken over") {
			t.Errorf("the first one goes on: %v", err)
		}
		_, err = g.WriteAt([]byte("5678"), 4)
		b.must(err)
		if err := f.Close(); err == nil {
			t.Error("the first one was closed")
		}
		b.wantReady()
		b.must(g.Close())
		time.Sleep(time.Second)
		if got := b.fetch(b.ready()["x"]); got != "12345678" {
			t.Errorf("%q", got)
		}
		dead.end()
		b.wantReady("x")
		c.end()
		b.Close()
	})
}

// A file that was held back because a client wrote on it is told of once that has
// ended, in whatever way.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*bench, *session, *sftp.File){
		"the write passes a limit": func(b *bench, _ *session, f *sftp.File) {
			if _, err := f.WriteAt(make([]byte, 30), 8); err == nil {
				b.Error("it went through")
			}
			f.Close()
		},
		"the connection is lost": func(_ *bench, c *session, _ *sftp.File) { c.end() },
		"it is closed":           func(b *bench, _ *session, f *sftp.File) { b.must(f.Close()) },
	} {
		for _, adds := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Int32
				b := newBench(t, spool.Options{Quiet: 2 * time.Second, OnChange: func() { told.Add(1) }, Limits: spool.Limits{MaximumFileSize: 20}})
				c := b.connect()
				b.put(c, "x", "hello")
				f, err := c.OpenFile("x", os.O_WRONLY)
				b.must(err)
				if adds {
					_, err := f.WriteAt([]byte("123"), 5)
					b.must(err)
				}
				time.Sleep(time.Minute)
				if told.Load() != 0 {
					t.Errorf("%s: told while it is written on", name)
				}
				end(b, c, f)
				time.Sleep(3 * time.Second)
				if b.wantReady("x"); told.Load() != 1 {
					t.Errorf("%s, adds %v: told %d times", name, adds, told.Load())
				}
				c.end()
				b.Close()
			})
		}
	}
}

// A command on a file whose silent writer goes for it finds what is left then.
func TestSilentWriterThatAddedNothing(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]func(*session) error{
		"rm":     func(c *session) error { return c.Remove("x") },
		"rename": func(c *session) error { return c.Rename("x", "y") },
		"over":   func(c *session) error { return c.PosixRename("z", "x") },
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, spool.Options{})
			dead, c := b.connect(), b.connect()
			b.put(c, "x", "hello")
			b.put(c, "z", "over")
			f, err := dead.OpenFile("x", os.O_WRONLY)
			b.must(err)
			_, err = f.WriteAt([]byte("far away"), 100)
			b.must(err)
			time.Sleep(31 * time.Second)
			if err := command(c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			want := map[string][]string{"rm": {"z"}, "rename": {"y", "z"}, "over": {"x"}}[name]
			time.Sleep(time.Second)
			b.wantReady(want...)
			bytes := map[string]int64{"rm": 4, "rename": 9, "over": 4}[name]
			b.wantUsage(bytes, len(want))
			dead.end()
			c.end()
			b.Close()
		})
	}
}
