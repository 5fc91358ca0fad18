package spool_test

import (
	"bytes"
	"context"
	"fmt"
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

	"sftpconnector/space/spool"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
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

// bench is a spool, and what is done to it.
type bench struct {
	*testing.T
	dir   string // of the spool
	inbox string // taken over by open
	index *index
	*spool.Spool
	src *spool.Source
}

// newBench opens a spool in which files are ready at once, unless o says otherwise.
func newBench(t *testing.T, o spool.Options) *bench {
	dir := t.TempDir()
	b := &bench{T: t, dir: filepath.Join(dir, "spool"), inbox: filepath.Join(dir, "inbox"), index: &index{}}
	if o.Quiet == 0 {
		o.Quiet = time.Nanosecond
	}
	b.open(o)
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bench) open(o spool.Options) {
	b.Helper()
	o.Directory, o.Inbox = b.dir, b.inbox
	if o.Index == nil {
		o.Index = b.index
	}
	opened, err := spool.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Spool = opened
	b.src = b.Source()
}

// index is an Index in memory.
type index struct {
	mu     sync.Mutex
	rows   map[int64]ledger.SpoolRow
	change func(put []ledger.SpoolRow, drop []int64) error // asked before a change; may be nil
}

func (x *index) Rows(_ context.Context, f func(ledger.SpoolRow) error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(x.rows)) {
		if err := f(x.rows[id]); err != nil {
			return err
		}
	}
	return nil
}

func (x *index) Change(_ context.Context, put []ledger.SpoolRow, drop []int64) error {
	if x.change != nil {
		if err := x.change(put, drop); err != nil {
			return err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rows == nil {
		x.rows = map[int64]ledger.SpoolRow{}
	}
	for _, r := range put {
		r.ModTime, r.Changed = r.ModTime.Truncate(time.Second), r.Changed.Truncate(time.Millisecond)
		x.rows[r.ID] = r
	}
	for _, id := range drop {
		delete(x.rows, id)
	}
	return nil
}

// durable is how much it has of an upload that is not complete; 0 for none.
func (x *index) durable() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.rows {
		if r.State == ledger.SpoolPartial {
			return r.Size
		}
	}
	return 0
}

// now is what a kill would leave of it.
func (x *index) now() *index {
	x.mu.Lock()
	defer x.mu.Unlock()
	return &index{rows: maps.Clone(x.rows)}
}

// again opens the inbox anew, as a restart does.
func (b *bench) again() {
	b.Helper()
	b.Close()
	b.open(spool.Options{Quiet: time.Nanosecond})
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

// wantUsage checks the sums, also against the disk.
func (b *bench) wantUsage(bytes int64, files int) {
	b.Helper()
	if gotBytes, gotFiles := b.Usage(); gotBytes != bytes || gotFiles != files {
		b.Errorf("usage: %d bytes in %d files, want %d in %d", gotBytes, gotFiles, bytes, files)
	}
	// Objects are removed behind the answer.
	b.eventually(fmt.Sprintf("%d bytes on the disk", bytes), func() bool { return onDisk(b.dir) == bytes })
}

// onDisk is how many bytes the files of a directory have.
func onDisk(dir string) (bytes int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // just removed
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
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

// imports does what the import does with a file, and gives what it has read.
func (b *bench) imports(e filesync.Entry) string {
	b.Helper()
	data := b.fetch(e)
	b.must(b.src.RemoveIf(b.Context(), e))
	return data
}

// A spool whose directory is gone fails as a whole.
func TestDirectoryGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	b.must(os.RemoveAll(b.dir))
	var errs []error
	for _, err := range b.src.List(t.Context(), "") {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] == nil || b.src.Probe(t.Context()) == nil {
		t.Errorf("the directory is gone: %v", errs)
	}
}

func TestLargeDirectory(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	want := map[string]bool{}
	for i := range 3000 {
		name := strings.Repeat("f", i%100+1) + string(rune('a'+i%26)) + time.Duration(i).String()
		want[name] = true
		b.must(os.WriteFile(filepath.Join(b.inbox, name), nil, 0o600))
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

func TestFilesAndUsage(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	b.must(b.Close())
	b.must(os.WriteFile(filepath.Join(b.inbox, `un\safe`), []byte("333"), 0o600))
	b.must(os.Chtimes(filepath.Join(b.inbox, `un\safe`), then, then))
	b.open(spool.Options{Quiet: time.Hour})
	c := b.connect()
	b.put(c, "waiting", "1")
	b.put(c, "temporary.part", "22")
	b.wantReady()
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
