package pass_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// passKeeping is a pass after which pending files may be left.
func (b *bench) passKeeping(ctx context.Context, adjust ...func(*pass.Options)) filesync.Result {
	b.t.Helper()
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	id, unclean, err := b.memory.StartPass(b.t.Context(), filesync.Automatic, time.Now(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	o := pass.Options{ID: id, Mode: filesync.Automatic, Filter: filter, Sweep: unclean}
	for _, a := range adjust {
		a(&o)
	}
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		b.t.Fatal(err)
	}
	defer dst.Close()
	src, err := b.open(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	r := pass.New(src, b.open, dst, b.memory, b.shared, o).Run(ctx)
	if err := b.memory.FinishPass(b.t.Context(), id, r, ""); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// bulk is data in which no two blocks are alike.
func bulk(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}

// offsets notes where the copies of a file start and what they read.
type offsets struct {
	mu  sync.Mutex
	all []int64
}

func (o *offsets) add(off int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, off)
}

// interrupted makes a copy that a pass gave up after 10 MiB.
func interrupted(t *testing.T, data string) *bench {
	b := newBench(t)
	b.src.Block = 1 << 20
	b.src.Put("d/big", data, old)
	ctx, cancel := context.WithCancel(t.Context())
	b.src.OnFetch = func(_ filesync.Entry, off int64) error {
		if off == 10<<20 {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	if r := b.passKeeping(ctx); r.Outcome != filesync.Cancelled {
		t.Fatalf("%s %v", r.Outcome, r.Err)
	}
	b.src.OnFetch = nil
	if left, _ := filepath.Glob(filepath.Join(b.dir, "d", ".big.*.part")); len(left) != 1 {
		t.Fatalf("pending files: %v", left)
	}
	return b
}

func TestInterruptedCopyGoesOn(t *testing.T) {
	t.Parallel()
	data := bulk(12 << 20)
	b := interrupted(t, data)
	b.reopenLedger()
	var o offsets
	b.src.OnFetch = func(_ filesync.Entry, off int64) error { o.add(off); return nil }
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.wantFile("d/big", data, old)
	if len(o.all) != 2 || o.all[0] != 10<<20 {
		t.Errorf("it was read from %v", o.all)
	}
	if left, err := b.memory.Checkpoints(t.Context()); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

func TestInterruptedCopySurvivesAKill(t *testing.T) {
	t.Parallel()
	data := bulk(12 << 20)
	b := interrupted(t, data)
	// The pass after it was killed: its successor sweeps, and keeps this one.
	if _, _, err := b.memory.StartPass(t.Context(), filesync.Automatic, time.Now(), true); err != nil {
		t.Fatal(err)
	}
	var o offsets
	b.src.OnFetch = func(_ filesync.Entry, off int64) error { o.add(off); return nil }
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.wantFile("d/big", data, old)
	if len(o.all) != 2 {
		t.Errorf("it was read from %v", o.all)
	}
}

func TestInterruptedCopyOfAnotherVersion(t *testing.T) {
	t.Parallel()
	b := interrupted(t, bulk(12<<20))
	data := "other" + bulk(12 << 20)[5:]
	b.src.Put("d/big", data, old.Add(time.Hour))
	// pass also checks that no pending file is left.
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.wantFile("d/big", data, old.Add(time.Hour))
}

func TestInterruptedCopyOfWhatIsGone(t *testing.T) {
	t.Parallel()
	b := interrupted(t, bulk(12<<20))
	b.src.Delete("d/big")
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "")
	if left, err := b.memory.Checkpoints(t.Context()); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

func TestPendingFileOfACheckpointIsGone(t *testing.T) {
	t.Parallel()
	data := bulk(12 << 20)
	b := interrupted(t, data)
	os.RemoveAll(filepath.Join(b.dir, "d"))
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.wantFile("d/big", data, old)
}

// The limit holds for all files of a pass together.
func TestBandwidthLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.src.Block = 16 << 10
		for i := range 20 {
			b.src.Put(fmt.Sprintf("f%d", i), bulk(100<<10), old)
		}
		start := time.Now()
		b.shared = pass.NewShared(100 << 10)
		b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=20")
		// 2,000 KiB at 100 KiB/s, of which the first 256 KiB come in a burst.
		if took := time.Since(start); took < 17*time.Second || took > 21*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestBandwidthLimitObeysTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.src.Put("big", bulk(4<<20), old)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		b.shared = pass.NewShared(1000)
		r := b.passKeeping(ctx)
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("it ended after %v: %s", took, r.Outcome)
		}
		b.noPending()
	})
}

func TestSurveyChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.src.Put("delivered", "one", old)
	b.src.Put("changed", "one", old)
	b.src.Put("taken", "one", old)
	b.pass(filesync.Automatic)
	os.Remove(filepath.Join(b.dir, "taken"))
	b.src.Put("changed", "two", old.Add(time.Hour))
	b.src.Put("new", "new", old)
	b.src.Put("x.tmp", "x", old)
	b.src.Put("adopt", "same", old)
	os.WriteFile(filepath.Join(b.dir, "adopt"), []byte("same"), 0o666)
	os.Chtimes(filepath.Join(b.dir, "adopt"), old, old)
	os.WriteFile(filepath.Join(b.dir, "clash"), []byte("theirs"), 0o666)
	b.src.Put("clash", "ours", old)
	b.src.Inject("", filesync.Entry{Name: "back\\slash", Size: 1, ModTime: old, Mode: 0o644})
	before, fetched := b.snapshot(), b.src.Fetches()

	states := map[string]filesync.State{}
	var mu sync.Mutex
	r := b.pass(filesync.Survey, func(o *pass.Options) {
		o.Settle, o.AwaitSettle = 20*time.Millisecond, true
		o.AfterCopy.Remove = true
		o.OnDecision = func(d filesync.Decision) {
			mu.Lock()
			defer mu.Unlock()
			if d.Reason == "" || states[d.Entry.Name] != "" {
				t.Errorf("%s: %s after %q, reason %q", d.Entry.Name, d.State, states[d.Entry.Name], d.Reason)
			}
			states[d.Entry.Name] = d.State
		}
	})
	for name, want := range map[string]filesync.State{
		"delivered": filesync.StateDelivered, "taken": filesync.StateDelivered, "changed": filesync.StateChanged, "new": filesync.StateNew,
		"x.tmp": filesync.StateExcluded, "adopt": filesync.StatePresent, "clash": filesync.StateConflict,
		"back\\slash": filesync.StateUnsafe,
	} {
		if states[name] != want {
			t.Errorf("%s: %s, want %s", name, states[name], want)
		}
	}
	if r.ToCopy != 2 || r.Files.Copied != 0 {
		t.Errorf("%d to copy, %d copied", r.ToCopy, r.Files.Copied)
	}
	if after := b.snapshot(); after != before || b.src.Fetches() != fetched {
		t.Errorf("a survey changed something: %s\nbefore: %s", after, before)
	}
}

// snapshot is all that a pass could change.
func (b *bench) snapshot() string {
	var s strings.Builder
	filepath.WalkDir(b.dir, func(p string, d fs.DirEntry, _ error) error {
		data, _ := os.ReadFile(p)
		fmt.Fprintf(&s, "%s %q\n", p, data)
		return nil
	})
	rows, _, err := b.memory.Files(b.t.Context(), ledger.Query{Limit: 1000})
	fmt.Fprintf(&s, "%+v %v %d originals", rows, err, b.src.Len())
	return s.String()
}

// A result does not grow with what is wrong; its counts do.
func TestFailuresAreBounded(t *testing.T) {
	b := newBench(t)
	for i := range 2500 {
		b.src.Inject("", filesync.Entry{Name: fmt.Sprintf("bad\\%d", i), Size: 1, ModTime: old, Mode: 0o644})
	}
	r := b.pass(filesync.Automatic)
	if len(r.Failures) != 1000 || r.Files.Unsafe != 2500 || r.Outcome != filesync.Partial {
		t.Errorf("%d failures, %d unsafe, %s", len(r.Failures), r.Files.Unsafe, r.Outcome)
	}
}

// A removal of which nobody knows whether it was done: what stands there now
// may be a new file of the same size and time.
func TestUncertainRemovalIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{false, true} {
		b := newBench(t)
		remove := func(o *pass.Options) { o.AfterCopy.Remove, o.Once = true, once }
		lost := &status.Error{Word: status.ConnectionLost, Op: "remove"}
		b.src.OnRemove = func(e filesync.Entry) error {
			b.src.Put(e.Name, "new", old) // it was removed, and another one came
			return lost
		}
		b.src.Put("a", "one", old)
		b.pass(filesync.Automatic, remove)
		b.wantFile("a", "one", old)
		b.src.OnRemove = nil
		b.want(b.pass(filesync.Automatic, remove), filesync.Succeeded, "copied=1")
		b.wantFile("a", "new", old)
		if b.src.Has("a") {
			t.Error("the original is left")
		}
	}
}

// The ledger that fails ends the pass, and nothing is published.
func TestLedgerFails(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "one", old)
	filter, _ := filesync.NewFilter(filesync.FilterOptions{})
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	broken := errors.New("disk I/O error")
	r := pass.New(b.src, b.open, dst, brokenLedger{b.memory, broken}, b.shared, pass.Options{ID: "1", Mode: filesync.Automatic, Filter: filter}).Run(t.Context())
	if r.Outcome != filesync.Failed || !errors.Is(r.Err, broken) {
		t.Errorf("%s %v", r.Outcome, r.Err)
	}
	b.wantNoFile("a")
	b.noPending()
}

type brokenLedger struct {
	pass.Ledger
	err error
}

func (l brokenLedger) Intend(context.Context, []filesync.Delivery) (int64, error) { return 0, l.err }
