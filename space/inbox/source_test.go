package inbox_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sftpconnector/space/inbox"
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
	data, err := os.ReadFile(filepath.Join(h.dir, name))
	return string(data), err == nil
}

// Link makes a copy: an inbox has no links.
func (h host) Link(name, target string) {
	data, _ := h.Read(target)
	h.Put(name, data, then)
}

func TestSource(t *testing.T) {
	storetest.Source(t, func(t *testing.T) (filesync.Source, storetest.Host) {
		b := newBench(t, inbox.Options{})
		// The import removes and never moves, so that the contract's part on
		// consumers is not for it; tests of its own are below.
		return struct{ filesync.Source }{b.src}, host{b, b.connect()}
	})
}

func TestUploadImportRemove(t *testing.T) {
	t.Parallel()
	b := newBench(t, inbox.Options{})
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
	if info, err := os.Stat(filepath.Join(b.dir, "d/e/a.csv")); err != nil || info.Mode().Perm() != 0o600 {
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
	b := newBench(t, inbox.Options{})
	c := b.connect()
	b.putAt(c, "x", "data", then)
	e := b.ready()["x"]
	for _, other := range []filesync.Entry{{Name: "x", Size: 5, ModTime: then}, {Name: "x", Size: 4, ModTime: then.Add(time.Second)}} {
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
		"moved away, and another there": func(b *bench, c *session) {
			b.must(c.Rename("x", "y.tmp"))
			b.putAt(c, "z.tmp", "DATA", then)
			b.must(c.Rename("z.tmp", "x"))
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
				b := newBench(t, inbox.Options{})
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
				} else if err == nil && got.SameVersion(e) {
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
				// What comes after an import may look as it likes.
				b.putAt(c, "x", "data", next.ModTime)
				if last := b.ready()["x"]; !last.SameVersion(next) {
					t.Errorf("%s: after the import: %+v, want %+v", when, last, next)
				}
			}
		})
	}
}

// After a restart nobody knows what the import had read.
func TestReplacedAfterRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t, inbox.Options{})
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
	b := newBench(t, inbox.Options{})
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
