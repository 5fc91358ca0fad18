package spool_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
)

// powerCut is what a disk may have after the power was cut at this moment: each object
// has its length, and what the index does not say to be durable reads as zeros.
func (b *bench) powerCut() *bench {
	b.Helper()
	after := b.killed()
	durable := map[string]int64{}
	for _, r := range after.index.rows {
		durable[r.Object] = r.Size
	}
	objects, err := filepath.Glob(filepath.Join(after.dir, "objects", "*"))
	after.must(err)
	for _, object := range objects {
		info, err := os.Stat(object)
		after.must(err)
		id, _ := strings.CutSuffix(filepath.Base(object), ".part")
		after.must(os.Truncate(object, min(info.Size(), durable[id])))
		after.must(os.Truncate(object, info.Size()))
	}
	after.open(spool.Options{Quiet: time.Nanosecond})
	b.Cleanup(func() { after.Close() })
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
	b := newBench(t, spool.Options{})
	c := b.connect()
	f, err := c.Create("x")
	b.must(err)
	at := len(data) - 1<<20 // the rest is for those that go on
	_, err = f.Write(data[:at])
	b.must(err)
	b.eventually("a checkpoint", func() bool { return b.index.durable() >= 16<<20 })

	after := b.powerCut()
	if had := after.finish(data); had < 16<<20 {
		t.Errorf("%d bytes were there, and more were durable", had)
	}

	// A lost connection costs nothing, neither now nor at a power cut later.
	c.end()
	after = b.powerCut()
	if had := after.finish(data); had != int64(at) {
		t.Errorf("%d bytes were there of %d that a client has left", had, at)
	}
	c = b.connect()
	f, err = c.OpenFile("x", os.O_WRONLY)
	b.must(err)
	_, err = f.WriteAt(data[at:at+10], int64(at))
	b.must(err)
	after = b.powerCut()
	if had := after.finish(data); had != int64(at) {
		t.Errorf("%d bytes were there of %d that had been durable before the client came back", had, at)
	}

	// What is written again is not durable any more.
	_, err = f.WriteAt([]byte("other"), 1000)
	b.must(err)
	if n := b.index.durable(); n > 1000 {
		t.Errorf("%d bytes are durable by the index after some of them were written again", n)
	}
	_, err = f.WriteAt(data[1000:1010], 1000)
	b.must(err)
	b.must(f.Close())
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
		b := newBench(t, spool.Options{})
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
		if info, err := b.powerCut().connect().Stat("x"); err != nil || info.Size() != 0 {
			t.Errorf("%s: the client sees %v, %v; nothing was durable", name, info, err)
		}
		c.end()
	}
}
