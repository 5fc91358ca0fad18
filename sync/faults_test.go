package sync_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

// odd is a source some of whose answers are others than those of a good one.
type odd struct {
	*storetest.Memory
	stat  func()                                                                     // before each look
	fetch func(e filesync.Entry, data string, w io.WriterAt) (filesync.Entry, error) // nil: as Memory does
}

func (o *odd) Stat(ctx context.Context, names []string) ([]filesync.Look, error) {
	if o.stat != nil {
		o.stat()
	}
	return o.Memory.Stat(ctx, names)
}

func (o *odd) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	if o.fetch == nil {
		return o.Memory.Fetch(ctx, e, from, w)
	}
	data, _ := o.Read(e.Name)
	return o.fetch(e, data, w)
}

func (b *bench) from(o *odd) {
	o.Memory = b.src
	b.open = func(context.Context) (filesync.Source, error) { return o, nil }
}

func (b *bench) wantNothing() {
	b.t.Helper()
	if left, err := os.ReadDir(b.dir); len(left) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Errorf("at the destination: %v, %v", left, err)
	}
}

// A server that gives a file no size is told of: nobody knows when such a copy is whole.
func TestFileWithoutASize(t *testing.T) {
	b := newBench(t)
	b.src.Put("good", "x", old)
	b.src.Inject("", filesync.Entry{Name: "odd", Size: -1, ModTime: old, Mode: 0o644})
	r := b.pass(filesync.Automatic)
	b.want(r, filesync.Partial, "copied=1 failed=1")
	if len(r.Failures) != 1 || !strings.Contains(r.Failures[0].Error, "no size") || b.src.Fetches() != 1 {
		t.Errorf("%v, %d files were read", r.Failures, b.src.Fetches())
	}
}

// What grew until the second look is not taken as the first one saw it, also where
// the server does not say afterwards whether the file is still what it was.
func TestGrownUntilTheSecondLook(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "half", old)
	b.src.Says = func(filesync.Entry) filesync.Entry { return filesync.Entry{} }
	b.from(&odd{stat: func() { b.src.Put("a", "half and the rest", old) }})
	b.want(b.pass(filesync.Automatic, func(o *filesync.Options) { o.Settle, o.AwaitSettle = 30*time.Millisecond, true }), filesync.Succeeded, "waiting=1")
	b.wantNothing()
}

// A source that leaves something out, and says that all is well, has delivered nothing:
// the last byte being there does not make a copy whole.
func TestGapIsNoCopy(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", strings.Repeat("x", 1000), old)
	b.from(&odd{fetch: func(e filesync.Entry, data string, w io.WriterAt) (filesync.Entry, error) {
		_, err := w.WriteAt([]byte(data[600:]), 600)
		return e, err
	}})
	b.want(b.pass(filesync.Automatic), filesync.Partial, "failed=1")
	b.wantNothing()
}

// A file at the destination that only has the same size is somebody else's.
func TestSameSizeIsNotTheSameFile(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "ours", old)
	name := filepath.Join(b.dir, "a")
	if err := errors.Join(os.MkdirAll(b.dir, 0o755), os.WriteFile(name, []byte("else"), 0o600), os.Chtimes(name, old, old.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	b.want(b.pass(filesync.Automatic), filesync.Partial, "conflict=1")
	b.wantFile("a", "else", old.Add(time.Hour))
}

// What was mended at the source is out of quarantine.
func TestMendedFileLeavesQuarantine(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "bad", old)
	b.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Size == 3 {
			return errors.New("unreadable")
		}
		return nil
	}
	for range filesync.MaxTries {
		b.want(b.pass(filesync.Apply), filesync.Partial, "failed=1")
	}
	b.want(b.pass(filesync.Apply), filesync.Partial, "quarantined=1")
	b.src.Put("a", "mended", old)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
}
