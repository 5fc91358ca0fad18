package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
	"sftpconnector/sync/ledger"
)

// A lost connection is no CLOSE, nor is a client that leaves properly.
func TestCut(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*session){
		"the connection is lost": func(s *session) { s.conn.Close() },
		"the client leaves":      func(s *session) { s.Client.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, spool.Options{})
			c := b.connect()
			f, err := c.Create("x")
			b.must(err)
			_, err = f.Write([]byte("half"))
			b.must(err)
			leave(c)
			<-c.done
			b.wantReady()
			b.wantUsage(4, 1)
			if files := b.Files(); files[0].State != spool.Interrupted {
				t.Errorf("%+v", files)
			}
			// put -a goes on where it was.
			c = b.connect()
			if got := b.get(c, "x"); got != "half" {
				t.Errorf("the client sees %q", got)
			}
			f, err = c.OpenFile("x", os.O_WRONLY|os.O_CREATE|os.O_APPEND)
			b.must(err)
			_, err = f.WriteAt([]byte(" and half"), 4)
			b.must(err)
			b.wantReady()
			b.must(f.Close())
			b.wantReady("x")
			if got := b.fetch(b.ready()["x"]); got != "half and half" {
				t.Errorf("imported %q", got)
			}
		})
	}
}

// What is uploaded and written on waits for that, and is never lost by it.
func TestWrittenOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "x", "one")
	f, err := c.OpenFile("x", os.O_RDWR)
	b.must(err)
	b.wantReady()
	old := make([]byte, 3)
	if _, err := f.ReadAt(old, 0); err != nil || string(old) != "one" {
		t.Errorf("%q, %v", old, err)
	}
	_, err = f.WriteAt([]byte(" two"), 3)
	b.must(err)
	b.wantReady()
	c.end()
	b.wantReady("x")
	b.again()
	b.ready()
	b.wantReady("x")
	if got := b.fetch(b.ready()["x"]); got != "one" {
		t.Errorf("%q", got)
	}
}

// A client that opens what is uploaded, and writes nothing, changes nothing.
func TestOpenedOnly(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*session, *sftp.File) error{
		"closed": func(_ *session, f *sftp.File) error { return f.Close() },
		"cut":    func(c *session, _ *sftp.File) error { c.end(); return nil },
	} {
		b := newBench(t, spool.Options{})
		c := b.connect()
		b.put(c, "x", "acknowledged")
		e := b.ready()["x"]
		f, err := c.OpenFile("x", os.O_RDWR)
		b.must(err)
		b.wantReady()
		b.must(leave(c, f))
		b.wantUsage(12, 1)
		if now := b.ready()["x"]; !now.SameVersion(e) || len(b.Files()) != 1 {
			t.Errorf("%s: %+v, %+v", name, now, b.Files())
		}
		b.again()
		if got := b.fetch(e); got != "acknowledged" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// The import takes a file that a client then writes on: it is a new version.
func TestImportedThenWrittenOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "x", "one")
	e := b.ready()["x"]
	b.fetch(e)
	f, err := c.OpenFile("x", os.O_RDWR)
	b.must(err)
	b.must(b.src.RemoveIf(t.Context(), e))
	_, err = f.WriteAt([]byte(" two"), 3)
	b.must(err)
	b.must(f.Close())
	if got := b.fetch(b.ready()["x"]); got != "one two" {
		t.Errorf("%q", got)
	}
	b.wantUsage(7, 1)
}

// A new upload leaves the last one alone until it is complete.
func TestReplaced(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "x", "older")
	f, err := c.OpenFile("x", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	b.must(err)
	_, err = f.Write([]byte("newer one"))
	b.must(err)
	b.wantUsage(14, 1)
	older := b.ready()["x"]
	if got := b.fetch(older); got != "older" {
		t.Errorf("imported %q", got)
	}
	if infos, err := c.ReadDir("/"); err != nil || len(infos) != 1 || infos[0].Size() != 9 {
		t.Errorf("the client sees %v, %v", infos, err)
	}
	b.must(b.src.RemoveIf(t.Context(), older))
	if info, err := c.Stat("x"); err != nil || info.Size() != 9 {
		t.Errorf("the client sees %v, %v", info, err)
	}
	b.must(f.Close())
	if got := b.fetch(b.ready()["x"]); got != "newer one" {
		t.Errorf("imported %q", got)
	}
	// Both go when the client removes the name.
	f, err = c.OpenFile("x", os.O_WRONLY|os.O_TRUNC)
	b.must(err)
	if err := c.Remove("x"); err == nil {
		t.Error("removed while it is written")
	}
	c.end()
	c = b.connect()
	b.must(c.Remove("x"))
	b.wantUsage(0, 0)
	b.wantReady()
	_ = f
}

func TestOneWriter(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c, other := b.connect(), b.connect()
	f, err := c.Create("x")
	b.must(err)
	for _, flags := range []int{os.O_WRONLY, os.O_WRONLY | os.O_CREATE | os.O_TRUNC, os.O_RDWR} {
		if _, err := other.OpenFile("x", flags); err == nil || !strings.Contains(err.Error(), "another connection is uploading this file") {
			t.Errorf("a second writer: %v", err)
		}
	}
	for what, err := range map[string]error{
		"rename": other.Rename("x", "y"), "rename onto": other.PosixRename("x", "y"), "remove": other.Remove("x"),
	} {
		if err == nil {
			t.Errorf("%s of a file that is written", what)
		}
	}
	_, err = f.Write([]byte("data"))
	b.must(err)
	b.must(f.Close())
	b.put(other, "x", "other")
	b.wantReady("x")
}

func TestOpenFlags(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	if _, err := c.OpenFile("none", os.O_WRONLY); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without CREAT: %v", err)
	}
	if _, err := c.OpenFile("no/ne", os.O_WRONLY|os.O_CREATE); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
	b.put(c, "x", "data")
	b.must(c.Mkdir("d"))
	for _, name := range []string{"x", "d"} {
		if _, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL); err == nil {
			t.Errorf("EXCL of %s", name)
		}
	}
	for _, name := range []string{"d", "/"} {
		if _, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE); err == nil {
			t.Errorf("%s was opened for writing", name)
		}
		if _, err := c.Open(name); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	b.wantReady("x")
	b.wantUsage(4, 1)
}

// writes uploads in pieces until one fails.
func writes(c *session, name string, size, pieces int) (written int, err, closed error) {
	f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return 0, err, nil
	}
	for i := range pieces {
		if _, err = f.WriteAt(bytes.Repeat([]byte("x"), size), int64(i*size)); err != nil {
			break
		}
		written += size
	}
	return written, err, f.Close()
}

func TestLimits(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer // its handler has a lock, and it is read at the end
	b := newBench(t, spool.Options{MaximumEntries: 4, Log: slog.New(slog.NewTextHandler(&log, nil)), Limits: spool.Limits{MaximumFileSize: 1_000_000, Quota: 1_500_000}})
	c := b.connect()
	written, err, closed := writes(c, "large", 100_000, 20)
	if written != 1_000_000 || err == nil || !strings.Contains(err.Error(), "the file is larger than the 1.0 MB that this Space accepts") {
		t.Errorf("a large file: %d bytes, then %v", written, err)
	}
	if closed == nil || closed.Error() != err.Error() {
		t.Errorf("CLOSE of it: %v", closed)
	}
	b.wantUsage(0, 0)
	if _, err, closed := writes(c, "just", 100_000, 10); err != nil || closed != nil {
		t.Error(err, closed)
	}
	written, err, closed = writes(c, "more", 100_000, 10)
	if written != 500_000 || err == nil || closed == nil || !strings.Contains(err.Error(), "full: it holds 1.5 MB") {
		t.Errorf("past the quota: %d bytes, then %v and %v", written, err, closed)
	}
	b.wantUsage(1_000_000, 1)
	if df, err := c.StatVFS("/"); err != nil || df.TotalSpace() != 1_500_000/4096*4096 || df.FreeSpace() != 500_000/4096*4096 {
		t.Errorf("df: %+v, %v", df, err)
	}
	b.imports(b.ready()["just"])
	if _, err, closed := writes(c, "more", 100_000, 10); err != nil || closed != nil {
		t.Error(err, closed)
	}
	// Files and directories.
	b.must(c.Mkdir("d"))
	b.put(c, "d/1", "")
	b.put(c, "d/2", "")
	if err := c.Mkdir("e"); err == nil || !strings.Contains(err.Error(), "4 files and directories") {
		t.Errorf("a fifth: %v", err)
	}
	if _, err := c.Create("e"); err == nil {
		t.Error("a fifth")
	}
	b.put(c, "d/1", "again")
	b.must(c.Remove("d/2"))
	b.must(c.Mkdir("e"))
	c.end()
	for _, name := range []string{"large", "more", "e"} {
		if n := strings.Count(log.String(), `msg="upload refused" name=`+name+" why="); n != 1 {
			t.Errorf("%d lines of %s in the log:\n%s", n, name, &log)
		}
	}
	if n := b.Refused(); n != 3 {
		t.Errorf("%d uploads were refused", n)
	}
}

// Empty files with long names cost no quota, but memory.
func TestLongNames(t *testing.T) {
	t.Parallel()
	rows := map[int64]ledger.SpoolRow{}
	const fit = 32 << 20 / 244
	for i := range int64(fit) {
		rows[i+1] = ledger.SpoolRow{ID: i + 1, Name: fmt.Sprintf("%0244d", i), State: ledger.SpoolDirectory, ModTime: then, Changed: time.Now()}
	}
	b := newBench(t, spool.Options{Index: &index{rows: rows}})
	c := b.connect()
	made := 0
	var err error
	for ; made < 10 && err == nil; made++ {
		_, err, _ = writes(c, fmt.Sprintf("%0244d", fit+made), 0, 0)
	}
	if err == nil || made > 5 || !strings.Contains(err.Error(), "the names of its files are too long") {
		t.Errorf("after %d more: %v", made, err)
	}
	for i := range 5 { // which makes room
		b.must(c.RemoveDirectory(fmt.Sprintf("%0244d", i)))
	}
	if _, err, closed := writes(c, "one more", 0, 0); err != nil || closed != nil {
		t.Error(err, closed)
	}
}

// A tree that is moved into itself again and again does not become deeper, nor its
// paths longer, than a client may make it.
func TestNestedTree(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	deep := strings.Repeat("d/", 39) + "d"
	b.must(c.MkdirAll(deep))
	b.must(c.Mkdir("e"))
	b.must(c.Rename("d", "e/d"))
	b.must(c.MkdirAll(deep))
	if err := c.Rename("e", deep+"/e"); err == nil || !strings.Contains(err.Error(), "too deep") {
		t.Errorf("moved 40 directories into 40: %v", err)
	}
	long := strings.Repeat(strings.Repeat("l", 240)+"/", 9)
	b.must(c.MkdirAll(long))
	b.must(c.MkdirAll("m/" + long))
	if err := c.Rename("m", long+"m"); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("moved a path of 2 KB below another: %v", err)
	}
	b.again()
	b.wantEntries(40 + 1 + 40 + 9 + 1 + 9)
}

// What goes past a limit by appending leaves the complete file as it was.
func TestLimitOfAppended(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{Limits: spool.Limits{MaximumFileSize: 10}})
	c := b.connect()
	b.putAt(c, "x", "12345678", then)
	for _, at := range []int64{8, 0} {
		f, err := c.OpenFile("x", os.O_WRONLY)
		b.must(err)
		if at == 0 {
			_, err = f.WriteAt([]byte("new"), 0)
			b.must(err)
		}
		if _, err := f.WriteAt([]byte("more"), 8); err == nil {
			t.Error("past the limit")
		}
		if err := f.Close(); err == nil {
			t.Error("closed")
		}
		b.wantUsage(8, 1)
		if e := b.ready()["x"]; b.fetch(e) != "12345678" {
			t.Errorf("what was there: %+v", e)
		}
	}
}

// Handles that have failed stay failed, sizes and offsets are checked.
func TestOffsets(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	for _, off := range []int64{-1, -1 << 63, 1<<63 - 1, 1<<63 - 5, 1 << 40, 17 << 20} {
		f, err := c.Create("x")
		b.must(err)
		if _, err := f.WriteAt([]byte("data"), off); err == nil {
			t.Errorf("at %d", off)
		}
		if _, err := f.WriteAt([]byte("data"), 0); err == nil {
			t.Error("a failed handle goes on")
		}
		if err := f.Close(); err == nil {
			t.Error("a failed handle was closed")
		}
		b.wantUsage(0, 0)
	}
	// What nobody wrote is no upload.
	f, err := c.Create("x")
	b.must(err)
	_, err = f.WriteAt([]byte("data"), 1)
	b.must(err)
	if err := f.Close(); err == nil || !strings.Contains(err.Error(), "never written") {
		t.Errorf("a gap: %v", err)
	}
	f, err = c.Create("x")
	b.must(err)
	_, err = f.WriteAt([]byte("data"), 8)
	b.must(err)
	_, err = f.WriteAt([]byte("01234567"), 0)
	b.must(err)
	b.must(f.Truncate(11))
	b.must(f.Close())
	if got := b.fetch(b.ready()["x"]); got != "01234567dat" {
		t.Errorf("out of order: %q", got)
	}
	r, err := c.Open("x")
	b.must(err)
	defer r.Close()
	if _, err := r.ReadAt(make([]byte, 4), -3); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read at -3: %v", err)
	}
}

// A cut upload that was written out of order keeps what has no gap.
func TestCutOutOfOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	f, err := c.Create("x")
	b.must(err)
	for _, off := range []int64{0, 30, 10} {
		_, err = f.WriteAt([]byte("0123456789"), off)
		b.must(err)
	}
	c.end()
	if info, err := b.connect().Stat("x"); err != nil || info.Size() != 20 {
		t.Errorf("%v, %v; want 20 bytes", info, err)
	}
	b.wantUsage(20, 1)
}

// A file that was opened to append to it is written at its end, whatever the offset.
func TestAppend(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "x", "one")
	for _, cut := range []bool{false, true} {
		f, err := c.OpenFile("x", os.O_WRONLY|os.O_APPEND)
		b.must(err)
		for i, at := range []int64{0, 1, 100, 1 << 40} {
			_, err = f.WriteAt([]byte{"+-*/"[i]}, at)
			b.must(err)
		}
		if cut {
			c.end()
			c = b.connect()
		} else {
			b.must(f.Close())
		}
	}
	if got := b.get(c, "x"); got != "one+-*/+-*/" {
		t.Errorf("appended: %q", got)
	}
	f, err := c.OpenFile("x", os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	b.must(err)
	b.must(f.Truncate(2))
	_, err = f.WriteAt([]byte("!"), 0)
	b.must(err)
	b.must(f.Close())
	f, err = c.OpenFile("new", os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	b.must(err)
	for range 2 {
		_, err = f.WriteAt([]byte("new"), 0)
		b.must(err)
	}
	b.must(f.Close())
	if x, y := b.imports(b.ready()["x"]), b.imports(b.ready()["new"]); x != "on!" || y != "newnew" {
		t.Errorf("imported %q and %q", x, y)
	}
}

// A session that outlives its inbox changes nothing in the next one of the same
// directory, as after a reload. A gap would be taken for what was uploaded.
func TestSessionOutlivesItsInbox(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	old := b.connect()
	f, err := old.Create("x")
	b.must(err)
	_, err = f.Write([]byte("first half, "))
	b.must(err)
	b.again()
	if _, err := f.Write([]byte("late")); err == nil {
		t.Error("written after the end of its inbox")
	}
	c := b.connect()
	old.end()
	info, err := c.Stat("x")
	b.must(err)
	const all = "first half, second half"
	f, err = c.OpenFile("x", os.O_WRONLY)
	b.must(err)
	_, err = f.WriteAt([]byte(all[info.Size():]), info.Size())
	b.must(err)
	b.must(f.Close())
	if got := b.get(c, "x"); got != all {
		t.Errorf("%q", got)
	}
	b.ready()
	b.wantReady("x")
}

// 50 clients upload at once into an inbox that takes half of it.
func TestManyClients(t *testing.T) {
	t.Parallel()
	const clients, files, size = 50, 6, 10_000
	b := newBench(t, spool.Options{Limits: spool.Limits{Quota: clients * files * size / 2}})
	var sessions []*session
	for range clients {
		sessions = append(sessions, b.connect())
	}
	var mu sync.Mutex
	var stored []string
	var wg sync.WaitGroup
	for i, c := range sessions {
		wg.Go(func() {
			for j := range files {
				name := fmt.Sprintf("%d-%d", i, j)
				if _, err, closed := writes(c, name, size/4, 4); err == nil && closed == nil {
					mu.Lock()
					stored = append(stored, name)
					mu.Unlock()
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	for done := false; !done; { // the import looks all the time
		if bytes, _ := b.Usage(); bytes > clients*files*size/2 {
			t.Errorf("%d bytes are past the quota", bytes)
		}
		b.ready()
		select {
		case <-finished:
			done = true
		default:
		}
	}
	b.ready()
	b.wantReady(stored...)
	b.wantUsage(int64(len(stored))*size, len(stored))
	if n := len(stored); n > clients*files/2 || n < clients*files/4 {
		t.Errorf("%d files fit", n)
	}
}
