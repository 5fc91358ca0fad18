package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"

	"sftpconnector/space/inbox"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		serve(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// then is a modification time that clients set.
var then = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

// bench is an inbox, and what is done to it.
type bench struct {
	*testing.T
	dir string
	*inbox.Inbox
	src *inbox.Source
}

// newBench opens an inbox in which files are ready at once, unless o says otherwise.
func newBench(t *testing.T, o inbox.Options) *bench {
	b := &bench{T: t, dir: filepath.Join(t.TempDir(), "in")}
	if o.Quiet == 0 {
		o.Quiet = time.Nanosecond
	}
	b.open(o)
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bench) open(o inbox.Options) {
	b.Helper()
	var err error
	if b.Inbox, err = inbox.Open(b.dir, o); err != nil {
		b.Fatal(err)
	}
	b.src = b.Source()
}

// again opens the inbox anew, as a restart does.
func (b *bench) again() {
	b.Helper()
	b.Close()
	b.open(inbox.Options{Quiet: time.Nanosecond})
}

// session is a client, and how to cut it off.
type session struct {
	*sftp.Client
	conn net.Conn
	done chan struct{} // the server has ended
}

func (b *bench) connect() *session {
	b.Helper()
	near, far := net.Pipe()
	server := sftp.NewRequestServer(far, b.Handlers(), sftp.WithStartDirectory("/"))
	s := &session{conn: near, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		server.Serve()
		far.Close()
	}()
	var err error
	if s.Client, err = sftp.NewClientPipe(near, near); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.end)
	return s
}

// end disconnects, and waits until the server has seen to it.
func (s *session) end() {
	s.Client.Close()
	s.conn.Close()
	<-s.done
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// put uploads a file.
func (b *bench) put(s *session, name, data string) {
	b.Helper()
	f, err := s.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	b.must(err)
	_, err = f.Write([]byte(data))
	b.must(err)
	b.must(f.Close())
}

func (b *bench) putAt(s *session, name, data string, mod time.Time) {
	b.Helper()
	b.put(s, name, data)
	b.must(s.Chtimes(name, mod, mod))
}

// get is what the client reads under a name.
func (b *bench) get(s *session, name string) string {
	b.Helper()
	f, err := s.Open(name)
	b.must(err)
	defer f.Close()
	data, err := io.ReadAll(f)
	b.must(err)
	return string(data)
}

// ready are the files that the import sees, in all directories.
func (b *bench) ready() map[string]filesync.Entry {
	b.Helper()
	found := map[string]filesync.Entry{}
	var walk func(dir string)
	walk = func(dir string) {
		for e, err := range b.src.List(b.Context(), dir) {
			b.must(err)
			if e.Mode.IsDir() {
				walk(e.Name)
				continue
			}
			found[e.Name] = e
		}
	}
	walk("")
	return found
}

// wantReady checks which files the import sees.
func (b *bench) wantReady(names ...string) {
	b.Helper()
	got := slices.Sorted(maps.Keys(b.ready()))
	if slices.Sort(names); !slices.Equal(got, names) {
		b.Errorf("ready: %q, want %q", got, names)
	}
}

// wantUsage checks the books, also against the disk.
func (b *bench) wantUsage(bytes int64, files int) {
	b.Helper()
	if gotBytes, gotFiles := b.Usage(); gotBytes != bytes || gotFiles != files {
		b.Errorf("usage: %d bytes in %d files, want %d in %d", gotBytes, gotFiles, bytes, files)
	}
	var onDisk int64
	filepath.WalkDir(b.dir, func(_ string, d fs.DirEntry, err error) error {
		if info, ierr := d.Info(); ierr == nil && info.Mode().IsRegular() {
			onDisk += info.Size()
		}
		return err
	})
	if onDisk != bytes {
		b.Errorf("on the disk are %d bytes, want %d", onDisk, bytes)
	}
}

// sink is where a Fetch writes to.
type sink struct {
	mu      sync.Mutex
	data    []byte
	onWrite func()
}

func (s *sink) WriteAt(p []byte, off int64) (int, error) {
	if s.onWrite != nil {
		s.onWrite()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if more := int(off) + len(p) - len(s.data); more > 0 {
		s.data = append(s.data, make([]byte, more)...)
	}
	return copy(s.data[off:], p), nil
}

// fetch imports a file up to its removal.
func (b *bench) fetch(e filesync.Entry) string {
	b.Helper()
	var s sink
	got, err := b.src.Fetch(b.Context(), e, 0, &s)
	b.must(err)
	if !got.SameVersion(e) {
		b.Errorf("fetched %+v, want %+v", got, e)
	}
	return string(s.data)
}

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
			for _, when := range []string{"while it is read", "before it is removed"} {
				b := newBench(t, inbox.Options{})
				c := b.connect()
				b.putAt(c, "x", "data", then)
				e := b.ready()["x"]
				var s sink
				if when == "while it is read" {
					s.onWrite = sync.OnceFunc(func() { change(b, c) })
				}
				got, err := b.src.Fetch(t.Context(), e, 0, &s)
				if s.onWrite != nil {
					if err == nil && got.SameVersion(e) {
						t.Errorf("%s: %+v passes for %+v", when, got, e)
					}
				} else {
					b.must(err)
					change(b, c)
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
				b.putAt(c, "x", "data", then)
				if last := b.ready()["x"]; !last.SameVersion(e) {
					t.Errorf("%s: after the import: %+v, want %+v", when, last, e)
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

// An operator puts files into the directory, and takes them away.
func TestOperator(t *testing.T) {
	t.Parallel()
	b := newBench(t, inbox.Options{})
	c := b.connect()
	b.put(c, "mine", "data")
	b.must(os.WriteFile(filepath.Join(b.dir, "his"), []byte("data"), 0o600))
	b.ready() // the first look
	b.wantReady("his", "mine")
	b.must(os.Remove(filepath.Join(b.dir, "mine")))
	if err := c.Remove("mine"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was removed by hand: %v", err)
	}
	b.wantReady("his")
	b.wantUsage(4, 1)
	b.must(os.RemoveAll(b.dir))
	var errs []error
	for _, err := range b.src.List(t.Context(), "") {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] == nil || b.src.Probe(t.Context()) == nil {
		t.Errorf("the inbox is gone: %v", errs)
	}
}

func TestLargeDirectory(t *testing.T) {
	t.Parallel()
	b := newBench(t, inbox.Options{})
	want := map[string]bool{}
	for i := range 3000 {
		name := strings.Repeat("f", i%100+1) + string(rune('a'+i%26)) + time.Duration(i).String()
		want[name] = true
		b.must(os.WriteFile(filepath.Join(b.dir, name), nil, 0o600))
	}
	b.again()
	infos, err := b.connect().ReadDir("/")
	b.must(err)
	for _, info := range infos {
		if !want[info.Name()] {
			t.Errorf("%q is listed twice, or was never there", info.Name())
		}
		delete(want, info.Name())
	}
	if len(want) > 0 || len(b.ready()) != 3000 {
		t.Errorf("%d are not listed to the client; the import sees %d", len(want), len(b.ready()))
	}
}

// copyTree is what a disk has at this moment.
func copyTree(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// What a new Open sees after each instant of an upload.
func TestCrash(t *testing.T) {
	t.Parallel()
	b := newBench(t, inbox.Options{})
	c := b.connect()
	large := strings.Repeat("0123456789abcdef", 20<<20/16)
	check := func(instant string, wantSize int64, ready ...string) {
		t.Helper()
		after := &bench{T: t, dir: copyTree(t, b.dir)}
		after.open(inbox.Options{Quiet: time.Nanosecond})
		defer after.Close()
		after.wantReady(ready...)
		info, err := after.connect().Stat("x")
		if wantSize < 0 && !errors.Is(err, fs.ErrNotExist) || wantSize >= 0 && (err != nil || info.Size() != wantSize) {
			t.Errorf("%s: the client sees %v, %v; want %d bytes", instant, info, err, wantSize)
		}
		for name, e := range after.ready() {
			if data := after.fetch(e); data != large[:len(data)] {
				t.Errorf("%s: %s has other contents", instant, name)
			}
		}
	}
	check("before", -1)
	f, err := c.Create("x")
	b.must(err)
	check("opened", 0)
	_, err = f.Write([]byte(large))
	b.must(err)
	// Its last writes were done side by side, and may have left a gap.
	check("written", int64(len(large))-16<<20)
	b.must(c.Chtimes("x", then, then))
	check("time set", int64(len(large))-16<<20)
	b.must(f.Close())
	check("closed", int64(len(large)), "x")
	f, err = c.OpenFile("x", os.O_WRONLY)
	b.must(err)
	check("opened again", int64(len(large))-16<<20)
	b.must(f.Close())
	check("closed again", int64(len(large)), "x")
	f, err = c.OpenFile("x", os.O_WRONLY|os.O_TRUNC)
	b.must(err)
	check("opened to replace it", 0, "x")
	_, err = f.Write([]byte(large[:10]))
	b.must(err)
	check("being replaced", 0, "x")
	b.must(f.Close())
	check("replaced", 10, "x")
	b.must(b.src.RemoveIf(t.Context(), b.ready()["x"]))
	check("imported", -1)
}

func TestFilesAndUsage(t *testing.T) {
	t.Parallel()
	b := newBench(t, inbox.Options{Quiet: time.Hour})
	c := b.connect()
	b.put(c, "waiting", "1")
	b.put(c, "temporary.part", "22")
	b.put(c, `un\safe`, "333")
	b.put(c, "both", "4444")
	f, err := c.OpenFile("both", os.O_WRONLY|os.O_TRUNC)
	b.must(err)
	_, err = f.Write(bytes.Repeat([]byte("5"), 5))
	b.must(err)
	cut := b.connect()
	g, err := cut.Create("interrupted")
	b.must(err)
	_, err = g.Write([]byte("666666"))
	b.must(err)
	cut.end()
	var got []string
	for _, f := range b.Files() {
		if f.Since.IsZero() {
			t.Errorf("%+v", f)
		}
		got = append(got, f.Name+" "+string(f.State))
	}
	want := []string{"both waiting", "both uploading", "interrupted interrupted", "temporary.part temporary", `un\safe unsafe`, "waiting waiting"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	b.wantUsage(1+2+3+4+5+6, 5)
	b.wantReady()
}
