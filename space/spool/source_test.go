package spool_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/space/spool"
	"sftpconnector/status"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

// host lets the contract of sources work on an inbox through a client.
type host struct {
	*bench
	client *session
}

func (h host) Put(name, data string, mod time.Time) {
	h.must(h.client.MkdirAll(filepath.ToSlash(filepath.Dir(name))))
	h.putAt(h.client, name, data, mod)
}

func (h host) Read(name string) (string, bool) {
	f, err := h.client.Open(name)
	if err != nil {
		return "", false
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	return string(data), err == nil
}

// Link makes a copy: an inbox has no links.
func (h host) Link(name, target string) {
	data, _ := h.Read(target)
	h.Put(name, data, then)
}

func TestSource(t *testing.T) {
	storetest.Source(t, func(t *testing.T) (filesync.Source, storetest.Host) {
		b := newBench(t, spool.Options{})
		// The import removes and never moves, so that the contract's part on
		// consumers is not for it; tests of its own are below.
		return struct{ filesync.Source }{b.src}, host{b, b.connect()}
	})
}

func TestUploadImportRemove(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.wantReady()
	b.must(c.MkdirAll("/d/e"))
	f, err := c.Create("/d/e/a.csv")
	b.must(err)
	_, err = f.Write([]byte("hello"))
	b.must(err)
	b.wantReady()
	if info, err := c.Stat("/d/e/a.csv"); err != nil || info.Size() != 5 || info.Mode() != 0o644 {
		t.Errorf("while it is uploaded: %v, %v", info, err)
	}
	b.must(f.Close())
	b.must(c.Chtimes("d/e/a.csv", then, then))
	b.wantReady("d/e/a.csv")
	b.wantUsage(5, 1)
	e := b.ready()["d/e/a.csv"]
	if e.Size != 5 || !e.ModTime.Equal(then) || !e.Mode.IsRegular() {
		t.Errorf("%+v", e)
	}
	if got := b.get(c, "/d/e/a.csv"); got != "hello" {
		t.Errorf("the client reads %q", got)
	}
	if got := b.fetch(e); got != "hello" {
		t.Errorf("the import reads %q", got)
	}
	objects, err := os.ReadDir(filepath.Join(b.dir, "objects"))
	b.must(err)
	if info, err := objects[0].Info(); err != nil || len(objects) != 1 || info.Mode().Perm() != 0o600 {
		t.Errorf("on the disk: %v, %v", info, err)
	}
	b.must(b.src.RemoveIf(t.Context(), e))
	b.wantReady()
	b.wantUsage(0, 0)
	if err := b.src.RemoveIf(t.Context(), e); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if info, err := c.Stat("/d/e"); err != nil || !info.IsDir() {
		t.Errorf("the client's directory: %v, %v", info, err)
	}
}

func TestConsumer(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.putAt(c, "x", "data", then)
	e := b.ready()["x"]
	for _, other := range []filesync.Entry{
		{Name: "x", Size: 4, ModTime: then, Version: "another"}, {Name: "x", Size: 4, ModTime: then}, // of an inbox, which this one is not from
		{Name: "x", Size: 5, ModTime: then}, {Name: "x", Size: 4, ModTime: then.Add(time.Second)},
	} {
		if err := b.src.RemoveIf(t.Context(), other); !errors.Is(err, filesync.ErrChanged) {
			t.Errorf("another version: %v", err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{
		b.src.RemoveIf(cancelled, e),
		b.src.RemoveIf(t.Context(), filesync.Entry{Name: "none"}),
		b.src.RemoveIf(t.Context(), filesync.Entry{Name: "no/ne"}),
		b.src.MoveIf(t.Context(), e, "done"),
	} {
		if err == nil {
			t.Error("went through")
		}
	}
	b.wantReady("x")
	b.must(b.src.RemoveIf(t.Context(), e))
}

// A file changes between the import's steps in every way that a client has, at
// equal size and time wherever that can be.
func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	replace := func(b *bench, c *session) { b.putAt(c, "x", "DATA", then) }
	for name, change := range map[string]func(*bench, *session){
		"replaced": replace,
		"replaced by a rename": func(b *bench, c *session) {
			b.putAt(c, "y.tmp", "DATA", then)
			b.must(c.PosixRename("y.tmp", "x"))
		},
		"removed and uploaded": func(b *bench, c *session) {
			b.must(c.Remove("x"))
			replace(b, c)
		},
		"written on": func(b *bench, c *session) {
			f, err := c.OpenFile("x", os.O_WRONLY)
			b.must(err)
			_, err = f.Write([]byte("DATA"))
			b.must(err)
			b.must(f.Close())
			b.must(c.Chtimes("x", then, then))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, when := range []string{"before it is read", "while it is read", "before it is removed"} {
				b := newBench(t, spool.Options{})
				c := b.connect()
				b.putAt(c, "x", "data", then)
				e := b.ready()["x"]
				var s sink
				switch when {
				case "before it is read":
					change(b, c)
				case "while it is read":
					s.onWrite = sync.OnceFunc(func() { change(b, c) })
				}
				got, err := b.src.Fetch(t.Context(), e, 0, &s)
				if when == "before it is removed" {
					b.must(err)
					change(b, c)
				}
				if when == "before it is read" && !errors.Is(err, filesync.ErrChanged) {
					t.Errorf("%s: %+v, %v", when, got, err)
				}
				if when == "while it is read" && err == nil && got.SameVersion(e) {
					t.Errorf("%s: %+v passes for %+v", when, got, e)
				}
				if err := b.src.RemoveIf(t.Context(), e); !errors.Is(err, filesync.ErrChanged) {
					t.Errorf("%s: removed: %v", when, err)
				}
				// The import tells the new one from the old one, and gets it whole.
				next, ok := b.ready()["x"]
				if !ok || next.SameVersion(e) {
					t.Fatalf("%s: the next is %+v, %v", when, next, ok)
				}
				if data := b.fetch(next); data != "DATA" {
					t.Errorf("%s: the next is %q", when, data)
				}
				b.must(b.src.RemoveIf(t.Context(), next))
				// Nor is what comes next taken for what was imported a moment ago, and its
				// time is the client's.
				b.putAt(c, "x", "data", then)
				if last := b.ready()["x"]; last.SameVersion(next) || last.SameVersion(e) || !last.ModTime.Equal(then) {
					t.Errorf("%s: after the import: %+v, like %+v", when, last, next)
				}
			}
		})
	}
}

// A restart changes nothing of that.
func TestReplacedAfterRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	b.putAt(b.connect(), "x", "data", then)
	e := b.ready()["x"]
	b.fetch(e)
	b.again()
	b.putAt(b.connect(), "x", "DATA", then)
	if err := b.src.RemoveIf(t.Context(), e); !errors.Is(err, filesync.ErrChanged) {
		t.Errorf("removed: %v", err)
	}
}

// A client sets the time of a file that the import has read: it is no new one.
func TestTimeSetBeforeRemoval(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "x", "data")
	e := b.ready()["x"]
	b.fetch(e)
	b.must(c.Chtimes("x", then, then))
	b.ready() // the import may even be told of the new time
	if err := b.src.RemoveIf(t.Context(), e); err != nil {
		t.Errorf("removed: %v", err)
	}
	b.wantReady()
	b.wantUsage(0, 0)
	if info, err := c.Stat("x"); err != nil || !info.ModTime().Equal(then) {
		t.Errorf("%v, %v", info, err)
	}
	// Another content is never removed for it.
	b.putAt(c, "x", "data", then)
	e = b.ready()["x"]
	b.putAt(c, "x", "DATA", then.Add(time.Hour))
	if err := b.src.RemoveIf(t.Context(), e); !errors.Is(err, filesync.ErrChanged) {
		t.Errorf("another content: %v", err)
	}
}

// A file that the import has read cannot be given another name: it would be
// imported under both. One that it could not deliver can, after a while.
func TestRenamedDuringTheImport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, spool.Options{})
		c := b.connect()
		b.must(c.Mkdir("d"))
		b.put(c, "d/x", "data")
		time.Sleep(time.Second)
		e := b.ready()["d/x"]
		tryAll := func(when string, wants string) {
			t.Helper()
			for what, err := range map[string]error{
				"rename": c.Rename("d/x", "y"), "replace": c.PosixRename("d/x", "y"), "rename its directory": c.Rename("d", "e"),
			} {
				if err == nil || !strings.Contains(err.Error(), wants) {
					t.Errorf("%s %s: %v, want %q", what, when, err, wants)
				}
			}
		}
		s := sink{onWrite: sync.OnceFunc(func() { tryAll("while it is read", "being imported") })}
		_, err := b.src.Fetch(t.Context(), e, 0, &s)
		b.must(err)
		tryAll("when it was read", "being imported")
		time.Sleep(6 * time.Minute)
		b.must(c.Rename("d/x", "y"))
		b.must(c.Rename("y", "d/x"))
		time.Sleep(time.Second)
		e = b.ready()["d/x"]
		s = sink{onWrite: func() { b.Error("written") }}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.src.Fetch(ctx, e, 0, &s); err == nil { // the import was not read to its end
			t.Error("read without a context")
		}
		b.must(c.Rename("d", "e"))
		c.end()
		b.Close()
	})
}

// What was read before a restart is removed after it, whatever name it has by then,
// and nothing else is.
func TestRenamedBeforeItIsRemoved(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.must(c.Mkdir("d"))
	b.putAt(c, "d/x", "data", then)
	e := b.ready()["d/x"]
	b.fetch(e)
	b.again()
	c = b.connect()
	b.must(c.Rename("d", "e"))
	b.must(c.Rename("e/x", "y"))
	b.must(c.Mkdir("d"))
	b.putAt(c, "d/x", "DATA", then)
	stats, err := b.src.Relist(t.Context(), []filesync.Entry{e, {Name: "d/x", Version: "none"}, {Name: "none"}})
	b.must(err)
	if stats[0].Err != nil || !stats[0].Entry.SameVersion(e) || stats[1].Entry.SameVersion(e) || !errors.Is(stats[2].Err, fs.ErrNotExist) {
		t.Errorf("%+v", stats)
	}
	b.must(b.src.RemoveIf(t.Context(), e))
	if _, err := c.Lstat("y"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was delivered is there under its new name: %v", err)
	}
	if got := b.imports(b.ready()["d/x"]); got != "DATA" {
		t.Errorf("imported %q", got)
	}
	b.wantUsage(0, 0)
}

// objects are the paths of the objects.
func (b *bench) objects() []string {
	b.Helper()
	all, err := filepath.Glob(filepath.Join(b.dir, "objects", "*"))
	b.must(err)
	return all
}

// An upload that gets another name keeps its own in the spool until it is removed, and its
// name in the index.
func TestLink(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "x", "data")
	e := b.ready()["x"]
	other := filepath.Join(t.TempDir(), "other")
	got, err := b.src.Link(t.Context(), e, func(path string) error {
		if err := c.Rename("x", "y"); err == nil {
			t.Error("renamed while it is linked")
		}
		return os.Link(path, other)
	})
	b.must(err)
	if data, err := os.ReadFile(other); err != nil || string(data) != "data" || got != e {
		t.Errorf("%q, %v, %+v", data, err, got)
	}
	if err := c.Rename("x", "y"); err == nil {
		t.Error("renamed while it is delivered")
	}
	if data := b.get(c, "x"); data != "data" {
		t.Errorf("read: %q", data)
	}
	b.must(b.src.RemoveIf(t.Context(), e))
	b.eventually("the object is removed", func() bool { return len(b.objects()) == 0 })
	if data, err := os.ReadFile(other); err != nil || string(data) != "data" {
		t.Errorf("after the removal: %q, %v", data, err)
	}
	if _, err := b.src.Link(t.Context(), e, func(string) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
}

// What a client does to a name while its upload is linked is a change. An error of who
// links it is handed on.
func TestLinkWhileChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "x", "data")
	e := b.ready()["x"]
	if _, err := b.src.Link(t.Context(), e, func(string) error { return errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an error: %v", err)
	}
	for what, change := range map[string]func(){
		"replaced": func() { b.put(c, "x", "other") },
		"removed":  func() { b.must(c.Remove("x")) },
		"gone on with": func() {
			f, err := c.OpenFile("x", os.O_WRONLY)
			b.must(err)
			t.Cleanup(func() { f.Close() })
		},
	} {
		b.put(c, "x", "data")
		_, err := b.src.Link(t.Context(), b.ready()["x"], func(string) error { change(); return nil })
		if !errors.Is(err, filesync.ErrChanged) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
		if what == "gone on with" {
			c.end()
			c = b.connect()
		}
	}
	b.put(c, "x", "data")
	if _, err := b.src.Link(t.Context(), e, func(string) error { return nil }); !errors.Is(err, filesync.ErrChanged) {
		t.Errorf("another version: %v", err)
	}
}

// Once an upload has a name at the destination, somebody may write to it there. No client
// goes on with that, until the other name is gone.
func TestLinkedIsNotGoneOnWith(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "x", "data")
	other := filepath.Join(t.TempDir(), "other")
	_, err := b.src.Link(t.Context(), b.ready()["x"], func(path string) error { return os.Link(path, other) })
	b.must(err)
	b.must(os.WriteFile(other, []byte("DATA"), 0))
	if _, err := c.OpenFile("x", os.O_WRONLY); err == nil {
		t.Error("opened for writing")
	}
	b.must(os.WriteFile(other, []byte("data"), 0))
	b.must(os.Remove(other))
	f, err := c.OpenFile("x", os.O_WRONLY)
	b.must(err)
	_, err = f.WriteAt([]byte(" more"), 4)
	b.must(err)
	b.must(f.Close())
	b.eventually("it is ready", func() bool { _, ok := b.ready()["x"]; return ok })
	if got := b.imports(b.ready()["x"]); got != "data more" {
		t.Errorf("imported %q", got)
	}
}

// An inbox that a reload has closed is no file's fault.
func TestClosedMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	b.put(b.connect(), "x", "data")
	e := b.ready()["x"]
	b.Close()
	for what, err := range map[string]error{
		"fetch":  second(b.src.Fetch(t.Context(), e, 0, &sink{})),
		"remove": b.src.RemoveIf(t.Context(), e),
		"probe":  b.src.Probe(t.Context()),
		"list": func() (err error) {
			for _, err = range b.src.List(t.Context(), "") {
			}
			return err
		}(),
	} {
		if _, ok := errors.AsType[*status.Error](err); !ok {
			t.Errorf("%s: %v is of that file", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
