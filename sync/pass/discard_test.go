package pass_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// What the source does not confirm is delivered, and its original is left: also when
// after_copy is asked for only later.
func TestUnverifiedDelivery(t *testing.T) {
	b := newBench(t)
	b.src.Says = func(e filesync.Entry) filesync.Entry {
		if e.Name == "silent" {
			return filesync.Entry{}
		}
		return e
	}
	b.src.OnStat = func(name string) error {
		if name == "silent" {
			return fs.ErrNotExist
		}
		return nil
	}
	b.src.Put("silent", "all of it", old)
	b.src.Put("plain", "x", old)
	remove := func(o *pass.Options) { o.AfterCopy.Remove = true }
	r := b.pass(filesync.Automatic, remove)
	b.want(r, filesync.Succeeded, "copied=2")
	if r.Files.Unverified != 1 || !b.src.Has("silent") || b.src.Has("plain") {
		t.Errorf("%d unverified, originals %v %v", r.Files.Unverified, b.src.Has("silent"), b.src.Has("plain"))
	}
	b.wantFile("silent", "all of it", old)
	for _, mode := range []filesync.Mode{filesync.Automatic, filesync.Apply} {
		var mu sync.Mutex
		var said filesync.Decision
		b.want(b.pass(mode, remove, func(o *pass.Options) {
			o.OnDecision = func(d filesync.Decision) {
				mu.Lock()
				defer mu.Unlock()
				said = d
			}
		}), filesync.Succeeded, "present=1")
		if !said.Unverified || said.State != filesync.StateDelivered || !b.src.Has("silent") {
			t.Errorf("%s: %+v", mode, said)
		}
	}
	// What it tells of the file by its name later is as good.
	b.src.OnStat = nil
	b.want(b.pass(filesync.Automatic, remove), filesync.Succeeded, "present=1")
	if b.src.Has("silent") {
		t.Error("the original of a file that was verified later is left")
	}
	b.src.Says = nil
	b.src.Put("silent", "the next one", old.Add(time.Hour))
	b.want(b.pass(filesync.Automatic, remove), filesync.Succeeded, "copied=1")
	if b.src.Has("silent") {
		t.Error("a confirmed version is left")
	}
}

// A file that is discarded in each pass has failed at the third, also across restarts;
// passes beside the schedule do not hurry that, and a size of its own begins anew.
func TestDiscardedFileFails(t *testing.T) {
	for name, says := range map[string]func(filesync.Entry) filesync.Entry{
		"another time": func(e filesync.Entry) filesync.Entry { e.ModTime = e.ModTime.Add(time.Hour); return e },
		"a time of its own at each read": func(e filesync.Entry) filesync.Entry {
			e.ModTime = time.Now()
			return e
		},
		"another size": func(e filesync.Entry) filesync.Entry { e.Size++; return e },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.src.Says = says
			b.src.Put("a", "data", old)
			b.want(b.pass(filesync.Automatic), filesync.Succeeded, "waiting=1")
			for range 3 {
				b.request("a")
			}
			b.src.Put("a", "data", old.Add(time.Minute)) // reading it may have set its time
			b.want(b.pass(filesync.Apply), filesync.Succeeded, "waiting=1")
			b.reopenLedger()
			r := b.pass(filesync.Automatic)
			b.want(r, filesync.Partial, "failed=1")
			if r.Stuck != 1 || len(r.Failures) != 1 || !strings.Contains(r.Failures[0].Error, "3 times in a row") || r.Failures[0].Hint == "" {
				t.Errorf("%d stuck, %+v", r.Stuck, r.Failures)
			}
			b.src.Put("a", "longer data", old)
			b.want(b.pass(filesync.Automatic), filesync.Succeeded, "waiting=1")
			b.src.Says = nil
			b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
			b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
			b.noPending()
		})
	}
}

// A pass that could deliver nothing of what is there says so.
func TestFruitlessPass(t *testing.T) {
	for name, c := range map[string]struct {
		put  func(b *bench)
		want bool
	}{
		"nothing there":      {func(*bench) {}, false},
		"delivered":          {func(b *bench) { b.src.Put("a", "x", old) }, false},
		"pipes alone":        {func(b *bench) { b.src.Inject("", filesync.Entry{Name: "p", ModTime: old, Mode: 1 << 25}) }, true},
		"pipes and excluded": {func(b *bench) { b.src.Put("x.tmp", "x", old) }, false},
		"unsafe alone":       {func(b *bench) { b.src.Inject("", filesync.Entry{Name: `b\s`, Size: 1, ModTime: old, Mode: 0o644}) }, true},
		"one of two": {func(b *bench) {
			b.src.Inject("", filesync.Entry{Name: `b\s`, Size: 1, ModTime: old, Mode: 0o644})
			b.src.Put("a", "x", old)
		}, false},
	} {
		b := newBench(t)
		c.put(b)
		for range 2 {
			if r := b.pass(filesync.Automatic); r.Fruitless != c.want {
				t.Errorf("%s: fruitless %v: %+v", name, r.Fruitless, r.Files)
			}
		}
	}
}

// What is read in pieces, and confirmed by nobody, is not put together.
func TestPiecesOfTwoVersions(t *testing.T) {
	b := newBench(t)
	b.src.Block = 64 << 10
	b.src.Says = func(filesync.Entry) filesync.Entry { return filesync.Entry{} }
	const size = 4 << 20
	b.src.Put("x", strings.Repeat("A", size), old)
	once := false
	b.src.OnFetch = func(_ filesync.Entry, off int64) error {
		if off < size/2 || once {
			return nil
		}
		once = true
		b.src.Put("x", strings.Repeat("B", size), old.Add(time.Hour))
		return &status.Error{Word: status.ConnectionLost, Op: "read", Err: errors.New("gone")}
	}
	b.want(b.pass(filesync.Apply), filesync.Succeeded, "copied=1")
	data, err := os.ReadFile(filepath.Join(b.dir, "x"))
	if err != nil || strings.Trim(string(data), "B") != "" || len(data) != size {
		t.Errorf("%d bytes, %q…, %v", len(data), data[:min(4, len(data))], err)
	}
}

// A file whose time is another one at each look never stands still, which is told.
func TestFileWhoseTimeChangesFails(t *testing.T) {
	b := newBench(t)
	settle := func(o *pass.Options) { o.Settle = time.Hour }
	for pass := range 5 {
		b.src.Put("x", "same", old.Add(time.Duration(pass)*time.Minute))
		want, outcome := "waiting=1", filesync.Succeeded
		if pass >= filesync.MaxDiscards {
			want, outcome = "failed=1", filesync.Partial
		}
		b.want(b.pass(filesync.Automatic, settle), outcome, want)
	}
	b.src.Put("x", "it grew", old.Add(time.Hour))
	b.want(b.pass(filesync.Automatic, settle), filesync.Succeeded, "waiting=1")
}

// A directory that its parent names in each listing, and that cannot be opened, has
// not gone.
func TestListedDirectoryThatIsNotThere(t *testing.T) {
	b := newBench(t)
	b.src.Put("d/x", "data", old)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.src.OnList = func(dir string) error {
		if dir == "d" {
			return fs.ErrNotExist
		}
		return nil
	}
	r := b.pass(filesync.Automatic)
	b.want(r, filesync.Partial, "failed=1")
	if recs, err := b.memory.Find(t.Context(), []string{"d/x"}); err != nil || recs[0].Gone || !r.Incomplete {
		t.Errorf("%+v, %v", recs, err)
	}
}

// longer is a destination that tells more of each file than was sent.
type longer struct{ filesync.Destination }

type longerPending struct {
	filesync.Pending
	e filesync.Entry
}

func (d longer) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	p, err := d.Destination.Begin(ctx, e, resume)
	return longerPending{p, e}, err
}

func (d longer) Sync(ctx context.Context, batch []filesync.Pending) []error {
	inner := make([]filesync.Pending, len(batch))
	for i, p := range batch {
		inner[i] = p.(longerPending).Pending
	}
	return d.Destination.Sync(ctx, inner)
}

func (d longer) Publish(ctx context.Context, batch []filesync.Publication) []error {
	inner := slices.Clone(batch)
	for i := range inner {
		inner[i].Pending = inner[i].Pending.(longerPending).Pending
	}
	return d.Destination.Publish(ctx, inner)
}

func (p longerPending) Stands() (filesync.Entry, bool) {
	e := p.e
	e.Size += 3
	return e, true
}

// What stands at the destination with another size than was sent is unverified, and
// its original stays.
func TestOtherSizeStands(t *testing.T) {
	b := newBench(t)
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	b.to = longer{dst}
	b.src.Put("x", "data", old)
	r := b.pass(filesync.Automatic, func(o *pass.Options) { o.AfterCopy.Remove = true })
	b.want(r, filesync.Succeeded, "copied=1")
	if r.Files.Unverified != 1 || !b.src.Has("x") {
		t.Errorf("%d unverified, the original is there: %v", r.Files.Unverified, b.src.Has("x"))
	}
}
