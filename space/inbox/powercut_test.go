//go:build linux

package inbox_test

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"

	"sftpconnector/space/inbox"
)

// noted is how much of an upload the disk says to be durable.
func noted(t *testing.T, path string) int64 {
	t.Helper()
	var note [8]byte
	n, err := unix.Getxattr(path, "user.sftp-connector.durable", note[:])
	if err == unix.ENODATA {
		return 0
	}
	if err != nil || n != len(note) {
		t.Fatalf("note of %s: %d bytes, %v", path, n, err)
	}
	return int64(binary.BigEndian.Uint64(note[:]))
}

// powerCut is what a disk may have after the power was cut at this moment: each file
// has its length, and what it does not say to be durable reads as zeros.
func powerCut(t *testing.T, dir string) *bench {
	t.Helper()
	after := &bench{T: t, dir: filepath.Join(t.TempDir(), "disk")}
	if out, err := exec.Command("cp", "-a", dir, after.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	parts, err := filepath.Glob(filepath.Join(after.dir, ".uploading.*"))
	after.must(err)
	for _, part := range parts {
		info, err := os.Stat(part)
		after.must(err)
		if info.ModTime().Before(time.Unix(0, 0)) {
			continue // its client had left it
		}
		after.must(os.Truncate(part, min(info.Size(), noted(t, part))))
		after.must(os.Truncate(part, info.Size()))
	}
	after.open(inbox.Options{Quiet: time.Nanosecond})
	t.Cleanup(func() { after.Close() })
	return after
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(data)
	return data
}

// finish goes on with an upload where its client sees the end of it, and checks
// what is imported. It gives what was there already.
func (b *bench) finish(data []byte) int64 {
	b.Helper()
	c := b.connect()
	info, err := c.Stat("x")
	b.must(err)
	f, err := c.OpenFile("x", os.O_WRONLY)
	b.must(err)
	_, err = f.WriteAt(data[info.Size():], info.Size())
	b.must(err)
	b.must(f.Close())
	if got := b.imports(b.ready()["x"]); got != string(data) {
		b.Errorf("other contents are imported after %d bytes were there", info.Size())
	}
	return info.Size()
}

// A client goes on with an upload that a power cut has ended, and what is imported
// has no hole.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	data := randomBytes(40 << 20)
	b := newBench(t, inbox.Options{})
	c := b.connect()
	part := filepath.Join(b.dir, ".uploading.x")
	f, err := c.Create("x")
	b.must(err)
	at := len(data) - 1<<20 // the rest is for those that go on
	_, err = f.Write(data[:at])
	b.must(err)
	b.eventually("a note of what is durable", func() bool { return noted(t, part) >= 16<<20 })

	after := powerCut(t, b.dir)
	if had := after.finish(data); had < 16<<20 {
		t.Errorf("%d bytes were there, and more were durable", had)
	}

	// A lost connection costs nothing, neither now nor at a power cut later.
	c.end()
	after = powerCut(t, b.dir)
	if had := after.finish(data); had != int64(at) {
		t.Errorf("%d bytes were there of %d that a client has left", had, at)
	}
	c = b.connect()
	f, err = c.OpenFile("x", os.O_WRONLY)
	b.must(err)
	_, err = f.WriteAt(data[at:at+10], int64(at))
	b.must(err)
	after = powerCut(t, b.dir)
	if had := after.finish(data); had != int64(at) {
		t.Errorf("%d bytes were there of %d that had been durable before the client came back", had, at)
	}

	// What is written again is not durable any more.
	_, err = f.WriteAt([]byte("other"), 1000)
	b.must(err)
	if n := noted(t, part); n > 1000 {
		t.Errorf("%d bytes are noted as durable after some of them were written again", n)
	}
	_, err = f.WriteAt(data[1000:1010], 1000)
	b.must(err)
	b.must(f.Close())
	if _, err := unix.Getxattr(filepath.Join(b.dir, "x"), "user.sftp-connector.durable", nil); err != unix.ENODATA {
		t.Errorf("the note is left on the file that was uploaded: %v", err)
	}
}

// What a client cuts off and writes anew is not durable any more either, and an
// upload that begins anew has nothing of the one before.
func TestPowerCutAfterTruncate(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*bench, *session) *sftp.File{
		"size set": func(b *bench, c *session) *sftp.File {
			f, err := c.OpenFile("x", os.O_WRONLY)
			b.must(err)
			b.must(f.Truncate(0))
			return f
		},
		"opened to begin anew": func(b *bench, c *session) *sftp.File {
			f, err := c.OpenFile("x", os.O_WRONLY|os.O_TRUNC|os.O_CREATE)
			b.must(err)
			return f
		},
	} {
		b := newBench(t, inbox.Options{})
		c := b.connect()
		f, err := c.Create("x")
		b.must(err)
		_, err = f.Write(randomBytes(1 << 20))
		b.must(err)
		c.end()
		c = b.connect()
		f = begin(b, c)
		_, err = f.Write([]byte("other"))
		b.must(err)
		if info, err := powerCut(t, b.dir).connect().Stat("x"); err != nil || info.Size() != 0 {
			t.Errorf("%s: the client sees %v, %v; nothing was durable", name, info, err)
		}
		c.end()
	}
}
