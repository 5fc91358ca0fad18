package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
)

// killed is what a kill at this moment leaves, not opened yet: the index first, as
// what it has must be in the copy of the directory.
func (b *bench) killed() *bench {
	b.Helper()
	after := &bench{T: b.T, dir: filepath.Join(b.TempDir(), "copy"), index: b.index.now()}
	for range 10 { // objects of removed rows may go meanwhile
		if os.RemoveAll(after.dir); os.CopyFS(after.dir, os.DirFS(b.dir)) == nil {
			return after
		}
	}
	b.Fatal("the directory cannot be copied")
	return nil
}

// What a new Open sees after each instant of an upload.
func TestCrash(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	large := strings.Repeat("0123456789abcdef", 20<<20/16)
	check := func(instant string, wantSize int64, ready ...string) {
		t.Helper()
		after := b.killed()
		after.open(spool.Options{Quiet: time.Nanosecond})
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
	check("opened", -1)
	_, err = f.Write([]byte(large[:10]))
	b.must(err)
	check("some written", -1)
	_, err = f.Write([]byte(large[10:]))
	b.must(err)
	b.must(c.Chtimes("x", then, then))
	b.eventually("a checkpoint", func() bool { return b.index.durable() > 0 })
	check("written", b.index.durable())
	b.must(f.Close())
	check("closed", int64(len(large)), "x")
	f, err = c.OpenFile("x", os.O_WRONLY)
	b.must(err)
	check("opened again", int64(len(large)), "x")
	_, err = f.WriteAt([]byte(large[:10]), 0)
	b.must(err)
	b.eventually("a checkpoint of the copy", func() bool { return b.index.durable() == int64(len(large)) })
	check("written on", int64(len(large)), "x")
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
	b.imports(b.ready()["x"])
	check("imported", -1)
}

// What is known of an upload that was cut outlives any number of restarts. Of one
// that the end of the program cuts, only what is known to be durable counts.
func TestCutAndOpenedAgain(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	large := strings.Repeat("0123456789abcdef", size/16)
	b := newBench(t, spool.Options{})
	c := b.connect()
	f, err := c.Create("x")
	b.must(err)
	_, err = f.Write([]byte(large))
	b.must(err)
	b.eventually("a checkpoint", func() bool { return b.index.durable() > 0 })
	killed := b.killed()
	c.end()
	b.again()
	b.again()
	b.wantUsage(size, 1)
	c = b.connect()
	if info, err := c.Stat("x"); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Errorf("the client sees %v, %v", info, err)
	}
	if infos, err := c.ReadDir("/"); err != nil || time.Since(infos[0].ModTime()) > time.Hour {
		t.Errorf("the client lists %v, %v", infos, err)
	}
	f, err = c.OpenFile("x", os.O_WRONLY)
	b.must(err)
	resumed := b.killed()
	b.must(f.Close()) // there was nothing to be added
	b.wantReady("x")
	if e := b.ready()["x"]; time.Since(e.ModTime) > time.Hour || b.fetch(e) != large {
		t.Errorf("imported %+v, or other contents", e)
	}
	for _, each := range []struct {
		after *bench
		size  int64
	}{{killed, 16 << 20}, {resumed, size}} {
		each.after.open(spool.Options{})
		each.after.again()
		each.after.again()
		if bytes, files := each.after.Usage(); bytes < each.size || files != 1 {
			t.Errorf("%d bytes in %d files, and more were durable", bytes, files)
		}
		each.after.Close()
	}
}

// The server is killed at random moments: what was closed is there whole, and
// nothing else is taken for uploaded.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "in")
	for round := range 8 {
		cmd := exec.CommandContext(t.Context(), program(t, dir))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c, err := sftp.NewClientPipe(out, in)
		if err != nil {
			t.Fatal(err)
		}
		// A kill after so many operations, while the next ones are under way.
		left := rand.IntN(40)
		closed := map[string]string{}
		var last string
		for i := range 100 {
			if left == 0 {
				time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
			left--
			last = fmt.Sprintf("%d", i%7)
			data := strings.Repeat(fmt.Sprintf("%d/%d ", round, i), 1+rand.IntN(30_000))
			if upload(c, last, data) != nil {
				break
			}
			closed[last] = data
		}
		cmd.Process.Kill()
		cmd.Wait()
		c.Close()
		b := after(t, dir)
		ready := b.ready()
		for name, data := range closed {
			if e, ok := ready[name]; !ok || e.Size != int64(len(data)) && name != last {
				t.Errorf("%s was closed with %d bytes; there are %d, %v", name, len(data), e.Size, ok)
			}
		}
		for name, e := range ready {
			data := b.fetch(e)
			if data != closed[name] && name != last {
				t.Errorf("%s was never closed, and is imported with %d bytes", name, len(data))
			}
			if word, _, _ := strings.Cut(data, " "); strings.Repeat(word+" ", len(data)/(len(word)+1)) != data {
				t.Errorf("%s is imported with a mixture", name)
			}
			b.must(b.src.RemoveIf(t.Context(), e))
		}
		b.Close()
	}
}

func upload(c *sftp.Client, name, data string) error {
	f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.ReadFrom(bytes.NewReader([]byte(data)))
	return errors.Join(err, f.Close())
}
