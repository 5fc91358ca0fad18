package pass_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// odd is a source some of whose answers are others than those of a good one.
type odd struct {
	*storetest.Memory
	stat  func()                                                                     // before each look
	fetch func(e filesync.Entry, data string, w io.WriterAt) (filesync.Entry, error) // nil: as Memory does
}

func (o *odd) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
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
	if len(r.Failures) != 1 || !strings.Contains(r.Failures[0].Error, "no size") || !strings.Contains(r.Failures[0].Hint, "administrator") || b.src.Fetches() != 1 {
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
	b.want(b.pass(filesync.Automatic, func(o *pass.Options) { o.Settle, o.AwaitSettle = 30*time.Millisecond, true }), filesync.Succeeded, "waiting=1")
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

// stumbling is a destination that does something else than it is told, once.
type stumbling struct {
	filesync.Destination
	publish func(d filesync.Destination, batch []filesync.Publication) []error
	persist []string // the names that were made durable
	// persistError is why they cannot be.
	persistError error
}

func (s *stumbling) Persist(ctx context.Context, names []string) []error {
	s.persist = append(s.persist, names...)
	if s.persistError != nil {
		return slices.Repeat([]error{s.persistError}, len(names))
	}
	return s.Destination.Persist(ctx, names)
}

func (s *stumbling) Publish(ctx context.Context, batch []filesync.Publication) []error {
	if s.publish == nil {
		return s.Destination.Publish(ctx, batch)
	}
	return s.publish(s.Destination, batch)
}

// at has the next pass deliver to dir. publish may be nil.
func (b *bench) at(dir string, publish func(filesync.Destination, []filesync.Publication) []error) *stumbling {
	b.t.Helper()
	d, err := local.Open(dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		b.t.Fatal(err)
	}
	s := &stumbling{Destination: d, publish: publish}
	b.to = s
	return s
}

// A file that somebody puts there at the last moment stays, and ours is not told to be
// delivered: it comes when the name is free.
func TestNameTakenAtTheLastMoment(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "ours", old)
	name := filepath.Join(b.dir, "a")
	b.at(b.dir, func(d filesync.Destination, batch []filesync.Publication) []error {
		if err := os.WriteFile(name, []byte("theirs"), 0o600); err != nil {
			t.Error(err)
		}
		return d.Publish(t.Context(), batch)
	})
	b.want(b.pass(filesync.Automatic), filesync.Partial, "conflict=1")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	b.at(b.dir, nil)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.wantFile("a", "ours", old)
}

// A new version that was about to take the place of the last one, when the destination
// went away, is not told to be delivered because something stands there.
func TestNewVersionThatDidNotGetItsName(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(t.TempDir(), "elsewhere") // where a pending file may be left
	b.src.Put("a", "first", old)
	b.at(dir, nil)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.src.Put("a", "second", old.Add(time.Hour))
	b.at(dir, func(_ filesync.Destination, batch []filesync.Publication) []error {
		return slices.Repeat([]error{&status.Error{Word: status.DestinationUnavailable, Op: "publish", Err: errors.New("gone")}}, len(batch))
	})
	b.want(b.pass(filesync.Automatic), filesync.Failed, "")
	b.at(dir, nil)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	if got, err := os.ReadFile(filepath.Join(dir, "a")); string(got) != "second" {
		t.Errorf("%q, %v", got, err)
	}
}

// A file that had its name when the destination went away may not have it after a power
// cut: it is made durable before it is told to be delivered.
func TestNameThatMayNotBeDurable(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "x", old)
	b.at(b.dir, func(d filesync.Destination, batch []filesync.Publication) []error {
		d.Publish(t.Context(), batch)
		return slices.Repeat([]error{&status.Error{Word: status.DestinationUnavailable, Op: "publish", Err: errors.New("gone")}}, len(batch))
	})
	b.want(b.pass(filesync.Automatic), filesync.Failed, "")
	d := b.at(b.dir, nil)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
	if !slices.Equal(d.persist, []string{"a"}) {
		t.Errorf("made durable: %q", d.persist)
	}
}

// A copy that has its name and cannot be made durable is not copied once more: its
// reader may have taken it.
func TestNameThatCannotBeMadeDurable(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "x", old)
	b.at(b.dir, func(d filesync.Destination, batch []filesync.Publication) []error {
		d.Publish(t.Context(), batch)
		return slices.Repeat([]error{&status.Error{Word: status.DestinationUnavailable, Op: "publish", Err: errors.New("gone")}}, len(batch))
	})
	b.want(b.pass(filesync.Automatic), filesync.Failed, "")
	for range 2 {
		b.at(b.dir, nil).persistError = errors.New("sync a: permission denied")
		b.want(b.pass(filesync.Automatic), filesync.Partial, "failed=1")
	}
	if n := b.src.Fetches(); n != 1 {
		t.Errorf("it was read %d times", n)
	}
	b.at(b.dir, nil)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
}

// A pass that begins anew beside another one does not forget which copies of the other
// cannot be made durable: neither of them copies such a file again.
func TestNotDurableBesideAnotherPass(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "x", old)
	b.at(b.dir, func(d filesync.Destination, batch []filesync.Publication) []error {
		d.Publish(t.Context(), batch)
		return slices.Repeat([]error{&status.Error{Word: status.DestinationUnavailable, Op: "publish", Err: errors.New("gone")}}, len(batch))
	})
	b.want(b.pass(filesync.Automatic), filesync.Failed, "")
	b.at(b.dir, nil).persistError = errors.New("sync a: permission denied")
	listed := false
	b.src.OnList = func(string) error {
		if !listed { // by the first pass, which has recovered
			listed = true
			b.want(b.pass(filesync.Apply, func(o *pass.Options) { o.Rerun = true }), filesync.Partial, "failed=1")
		}
		return nil
	}
	b.want(b.pass(filesync.Automatic), filesync.Partial, "failed=1")
	if n := b.src.Fetches(); n != 1 {
		t.Errorf("it was read %d times", n)
	}
}

// hanging is a source that answers no REMOVE.
type hanging struct {
	*storetest.Memory
	asked chan struct{}
}

func (h *hanging) RemoveIf(ctx context.Context, e filesync.Entry) error {
	close(h.asked)
	<-ctx.Done()
	return context.Cause(ctx)
}

// A pass that is cancelled does not wait for the removal of its originals: it is owed.
func TestCancelledWhileAnOriginalIsRemoved(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "x", old)
	src := &hanging{b.src, make(chan struct{})}
	b.open = func(context.Context) (filesync.Source, error) { return src, nil }
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-src.asked
		cancel()
	}()
	b.want(b.passIn(ctx, filesync.Automatic, removing), filesync.Cancelled, "copied=1")
	b.open = b.src.Open
	b.want(b.pass(filesync.Automatic, removing), filesync.Succeeded, "")
	if b.src.Has("a") {
		t.Error("the original is still there")
	}
}
