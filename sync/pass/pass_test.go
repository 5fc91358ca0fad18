package pass_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
	"sftpconnector/sync/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// old is a modification time long ago.
var old = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

// bench is a source, a destination and a ledger to run passes between.
type bench struct {
	t      *testing.T
	src    *storetest.Memory
	dir    string
	data   string
	ledger *ledger.Ledger
	memory *ledger.Connector
	shared *pass.Shared
	open   transfer.OpenSource
	to     filesync.Destination // nil: the directory
	limit  func(*pass.Pass)     // before each pass; may be nil
	passes atomic.Int64         // that request tests ran, of ids beyond the ledger's
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, src: storetest.NewMemory(), dir: filepath.Join(t.TempDir(), "to"), data: t.TempDir(), shared: pass.NewShared(0)}
	b.open = b.src.Open
	b.reopenLedger()
	t.Cleanup(func() { b.ledger.Close() })
	return b
}

// reopenLedger is what a restart of the program does to the ledger.
func (b *bench) reopenLedger() {
	b.t.Helper()
	if b.ledger != nil {
		b.ledger.Close()
	}
	var err error
	if b.ledger, err = ledger.Open(b.t.Context(), b.data); err != nil {
		b.t.Fatal(err)
	}
	if b.memory, err = b.ledger.Connector(b.t.Context(), "c"); err != nil {
		b.t.Fatal(err)
	}
}

// pass runs a pass; adjust may change its options.
func (b *bench) pass(mode filesync.Mode, adjust ...func(*pass.Options)) filesync.Result {
	b.t.Helper()
	return b.passIn(b.t.Context(), mode, adjust...)
}

func (b *bench) passIn(ctx context.Context, mode filesync.Mode, adjust ...func(*pass.Options)) filesync.Result {
	b.t.Helper()
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	id, unclean, err := b.memory.StartPass(b.t.Context(), mode, time.Now(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	o := pass.Options{ID: id, Mode: mode, Filter: filter, FollowLinks: true, Sweep: unclean}
	for _, a := range adjust {
		a(&o)
	}
	dst := b.to
	if dst == nil {
		if dst, err = local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0)); err != nil {
			b.t.Fatal(err)
		}
	}
	defer dst.Close()
	src, err := b.open(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	p := pass.New(src, b.open, dst, b.memory, b.shared, o)
	if b.limit != nil {
		b.limit(p)
	}
	r := p.Run(ctx)
	if err := b.memory.FinishPass(b.t.Context(), id, r, status.ConnectionValid); err != nil {
		b.t.Fatal(err)
	}
	b.noPending()
	return r
}

// want checks the outcome and the counts, written "copied=2 present=1".
func (b *bench) want(r filesync.Result, outcome filesync.Outcome, counts string) {
	b.t.Helper()
	f := r.Files
	var got []string
	for _, c := range []struct {
		name string
		n    int64
	}{{"copied", f.Copied}, {"present", f.Present}, {"waiting", f.Waiting}, {"excluded", f.Excluded},
		{"failed", f.Failed}, {"conflict", f.Conflict}, {"quarantined", f.Quarantined}, {"unsafe", f.Unsafe}} {
		if c.n != 0 {
			got = append(got, fmt.Sprintf("%s=%d", c.name, c.n))
		}
	}
	if r.Outcome != outcome || strings.Join(got, " ") != counts {
		b.t.Errorf("pass: %s %s, want %s %s (error %v, failures %v)", r.Outcome, strings.Join(got, " "), outcome, counts, r.Err, r.Failures)
	}
}

// noPending checks that no temporary file is left.
func (b *bench) noPending() {
	b.t.Helper()
	filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".part") {
			b.t.Errorf("pending file left: %s", path)
		}
		return nil
	})
}

func (b *bench) wantFile(name, data string, mod time.Time) {
	b.t.Helper()
	path := filepath.Join(b.dir, filepath.FromSlash(name))
	got, err := os.ReadFile(path)
	if err != nil {
		b.t.Error(err)
		return
	}
	if string(got) != data {
		b.t.Errorf("%s: %q, want %q", name, got, data)
	}
	if info, _ := os.Stat(path); !info.ModTime().Equal(mod) {
		b.t.Errorf("%s: modified %s, want %s", name, info.ModTime(), mod)
	}
}

func (b *bench) wantNoFile(name string) {
	b.t.Helper()
	if _, err := os.Lstat(filepath.Join(b.dir, filepath.FromSlash(name))); !errors.Is(err, fs.ErrNotExist) {
		b.t.Errorf("%s is there (%v)", name, err)
	}
}

func TestDeliversOnce(t *testing.T) {
	b := newBench(t)
	b.src.Put("a.csv", "one", old)
	b.src.Put("d/e/f.csv", "two", old.Add(time.Hour))
	b.src.Put("empty", "", old)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=3")
	b.wantFile("a.csv", "one", old)
	b.wantFile("d/e/f.csv", "two", old.Add(time.Hour))
	b.wantFile("empty", "", old)

	fetched := b.src.Fetches()
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=3")
	b.want(b.pass(filesync.Apply), filesync.Succeeded, "present=3")
	if n := b.src.Fetches(); n != fetched {
		t.Errorf("%d files opened by passes without changes", n-fetched)
	}
}

func TestChangedFileComesAgain(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "one", old)
	b.pass(filesync.Automatic)
	b.src.Put("a", "two", old.Add(time.Second))
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.wantFile("a", "two", old.Add(time.Second))
}

func TestTakenAwayStaysAwayUntilApply(t *testing.T) {
	b := newBench(t)
	b.src.Put("d/a", "one", old)
	b.pass(filesync.Automatic)
	os.RemoveAll(filepath.Join(b.dir, "d"))
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
	b.wantNoFile("d/a")
	b.want(b.pass(filesync.Apply), filesync.Succeeded, "copied=1")
	b.wantFile("d/a", "one", old)
}

func TestAdoptsWhatStandsThere(t *testing.T) {
	b := newBench(t)
	os.MkdirAll(b.dir, 0o777)
	os.WriteFile(filepath.Join(b.dir, "a"), []byte("one"), 0o666)
	os.Chtimes(filepath.Join(b.dir, "a"), old, old)
	b.src.Put("a", "one", old)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
	if b.src.Fetches() != 0 {
		t.Error("the file was read")
	}
}

func TestAdoptedOriginalGoesOnlyIfContentsAgree(t *testing.T) {
	b := newBench(t)
	os.MkdirAll(b.dir, 0o777)
	for name, data := range map[string]string{"same": "one", "other": "two"} {
		os.WriteFile(filepath.Join(b.dir, name), []byte(data), 0o666)
		os.Chtimes(filepath.Join(b.dir, name), old, old)
		b.src.Put(name, "one", old)
	}
	remove := func(o *pass.Options) { o.AfterCopy.Remove = true }
	b.want(b.pass(filesync.Automatic, remove), filesync.Partial, "present=1 conflict=1")
	if b.src.Has("same") || !b.src.Has("other") {
		t.Errorf("same is there: %v, other is there: %v", b.src.Has("same"), b.src.Has("other"))
	}
	b.wantFile("other", "two", old)
}

func TestForeignFileIsAConflict(t *testing.T) {
	b := newBench(t)
	os.MkdirAll(b.dir, 0o777)
	os.WriteFile(filepath.Join(b.dir, "a"), []byte("theirs"), 0o666)
	b.src.Put("a", "ours", old)
	b.src.Put("b", "b", old)
	b.want(b.pass(filesync.Automatic), filesync.Partial, "copied=1 conflict=1")
	if got, _ := os.ReadFile(filepath.Join(b.dir, "a")); string(got) != "theirs" {
		t.Errorf("a is now %q", got)
	}
	overwrite := func(o *pass.Options) { o.Overwrite = true }
	b.want(b.pass(filesync.Automatic, overwrite), filesync.Succeeded, "copied=1 present=1")
	b.wantFile("a", "ours", old)
}

func TestEditedAtDestinationIsAConflict(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "one", old)
	b.pass(filesync.Automatic)
	os.WriteFile(filepath.Join(b.dir, "a"), []byte("edited"), 0o666)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
	b.want(b.pass(filesync.Apply), filesync.Partial, "conflict=1")
	b.src.Put("a", "three", old.Add(time.Hour))
	b.want(b.pass(filesync.Automatic), filesync.Partial, "conflict=1")
	if got, _ := os.ReadFile(filepath.Join(b.dir, "a")); string(got) != "edited" {
		t.Errorf("a is now %q", got)
	}
}

func TestFlatCollisionsAreNamed(t *testing.T) {
	b := newBench(t)
	flat := func(o *pass.Options) { o.Flat = true }
	b.src.Put("x/a", "one", old)
	b.want(b.pass(filesync.Automatic, flat), filesync.Succeeded, "copied=1")
	b.src.Put("y/a", "two", old)
	r := b.pass(filesync.Automatic, flat)
	b.want(r, filesync.Partial, "present=1 failed=1")
	if !strings.Contains(r.Failures[0].Error, "x/a") {
		t.Errorf("the failure does not name the owner: %s", r.Failures[0].Error)
	}
	b.wantFile("a", "one", old)
	// Once the owner is gone from the source, the name is free.
	b.src.Delete("x/a")
	b.pass(filesync.Automatic, flat)
	b.want(b.pass(filesync.Apply, flat), filesync.Succeeded, "copied=1")
	b.wantFile("a", "two", old)
}

func TestOriginalsGoAfterTheCopy(t *testing.T) {
	for _, c := range []struct {
		name  string
		after filesync.AfterCopy
	}{{"delete", filesync.AfterCopy{Remove: true}}, {"move", filesync.AfterCopy{MoveTo: "done"}}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			after := func(o *pass.Options) { o.AfterCopy, o.Skip = c.after, c.after.MoveTo }
			for i := range 700 {
				b.src.Put(fmt.Sprintf("d%d/f%d", i%7, i), "data", old)
			}
			b.want(b.pass(filesync.Automatic, after), filesync.Succeeded, "copied=700")
			if b.src.Has("d0/f0") {
				t.Error("an original is left")
			}
			if c.after.MoveTo != "" && !b.src.Has("done/d0/f0") {
				t.Error("the original was not moved")
			}
			// The same version coming again is a new file.
			b.src.Put("d0/f0", "data", old)
			b.want(b.pass(filesync.Automatic, after), filesync.Succeeded, "copied=1")
		})
	}
}

func TestFailedRemovalIsTriedAgainWithoutCopying(t *testing.T) {
	b := newBench(t)
	remove := func(o *pass.Options) { o.AfterCopy.Remove = true }
	b.src.OnRemove = func(filesync.Entry) error { return fs.ErrPermission }
	b.src.Put("a", "one", old)
	b.want(b.pass(filesync.Automatic, remove), filesync.Partial, "copied=1 failed=1")
	b.src.OnRemove = nil
	b.want(b.pass(filesync.Automatic, remove), filesync.Succeeded, "")
	if b.src.Has("a") || b.src.Fetches() != 1 {
		t.Errorf("original there: %v, copies: %d", b.src.Has("a"), b.src.Fetches())
	}
}

func TestChangedOriginalStays(t *testing.T) {
	b := newBench(t)
	remove := func(o *pass.Options) { o.AfterCopy.Remove = true }
	b.src.OnRemove = func(e filesync.Entry) error {
		b.src.OnRemove = nil
		b.src.Put(e.Name, "newer", old.Add(time.Hour))
		return nil
	}
	b.src.Put("a", "one", old)
	b.want(b.pass(filesync.Automatic, remove), filesync.Succeeded, "copied=1")
	if !b.src.Has("a") {
		t.Fatal("a version that was not copied was removed")
	}
	b.want(b.pass(filesync.Automatic, remove), filesync.Succeeded, "copied=1")
	b.wantFile("a", "newer", old.Add(time.Hour))
	if b.src.Has("a") {
		t.Error("the copied version is left")
	}
}

func TestQuarantineAfterFiveTries(t *testing.T) {
	b := newBench(t)
	b.src.Put("bad", "data", old)
	b.src.Put("good", "data", old)
	b.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Name == "bad" {
			return fs.ErrPermission
		}
		return nil
	}
	b.want(b.pass(filesync.Automatic), filesync.Partial, "copied=1 failed=1")
	// An automatic pass leaves it alone for a while; Apply does not.
	fetched := b.src.Fetches()
	b.want(b.pass(filesync.Automatic), filesync.Partial, "present=1 failed=1")
	if b.src.Fetches() != fetched {
		t.Error("tried again without a pause")
	}
	for range 4 {
		b.want(b.pass(filesync.Apply), filesync.Partial, "present=1 failed=1")
	}
	b.want(b.pass(filesync.Apply), filesync.Partial, "present=1 quarantined=1")
	b.src.OnFetch = nil
	b.want(b.pass(filesync.Apply), filesync.Partial, "present=1 quarantined=1")
	if released, err := b.memory.Retry(t.Context(), nil); err != nil || len(released) != 1 {
		t.Fatal(released, err)
	}
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1 present=1")
}

func TestLostConnectionIsOpenedAgain(t *testing.T) {
	b := newBench(t)
	b.src.Block = 1 << 10
	data := strings.Repeat("0123456789abcdef", 1024)
	b.src.Put("big", data, old)
	lostOnce := true
	b.src.OnFetch = func(_ filesync.Entry, off int64) error {
		if off == 8<<10 && lostOnce {
			lostOnce = false
			return &status.Error{Word: status.ConnectionLost, Op: "read"}
		}
		return nil
	}
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.wantFile("big", data, old)
}

func TestPassEndsWhenTheConnectionCannotBeHadAgain(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "one", old)
	gone := &status.Error{Word: status.ConnectionLost, Op: "read"}
	b.src.OnFetch = func(filesync.Entry, int64) error { return gone }
	first := true
	b.open = func(ctx context.Context) (filesync.Source, error) {
		if first {
			first = false
			return b.src, nil
		}
		return nil, &status.Error{Word: status.AuthenticationFailed, Op: "log in"}
	}
	r := b.pass(filesync.Automatic)
	b.want(r, filesync.Failed, "")
	if !status.Is(r.Err, status.AuthenticationFailed) {
		t.Error(r.Err)
	}
	// A lost connection is not a try of the file.
	rows, err := b.memory.Find(t.Context(), []string{"a"})
	if err != nil || rows[0].FailureID != 0 {
		t.Error(rows, err)
	}
}

func TestChangedWhileCopiedWaits(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "one", old)
	b.src.OnFetch = func(e filesync.Entry, _ int64) error {
		b.src.OnFetch = nil
		b.src.Put("a", "changed", old.Add(time.Hour))
		return nil
	}
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "waiting=1")
	b.wantNoFile("a")
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.wantFile("a", "changed", old.Add(time.Hour))
}

func TestHostileNamesStayOut(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"..", ".", "", "/etc/passwd", "../x", "a/b", "back\\slash", "nul\x00", "bad\xff", strings.Repeat("x", 256)} {
		b.src.Inject("", filesync.Entry{Name: name, Size: 1, ModTime: old, Mode: 0o644})
	}
	b.src.Put("good", "data", old)
	b.want(b.pass(filesync.Automatic), filesync.Partial, "copied=1 unsafe=10")
	entries, _ := os.ReadDir(b.dir)
	if len(entries) != 1 {
		t.Error(entries)
	}
}

func TestLinks(t *testing.T) {
	b := newBench(t)
	b.src.Put("d/a", "one", old)
	b.src.Link("file", "d/a")
	b.src.Link("dir", "d")
	b.src.Link("d/loop", "d")
	b.src.Link("out", "")
	b.src.Link("nowhere", "missing")
	b.want(b.pass(filesync.Automatic), filesync.Partial, "copied=3 excluded=3 unsafe=1")
	b.wantFile("file", "one", old)
	b.wantFile("dir/a", "one", old)
	skip := func(o *pass.Options) { o.FollowLinks = false }
	b.want(b.pass(filesync.Automatic, skip), filesync.Succeeded, "present=1 excluded=5")
}

func TestUnreadableDirectoryIsOneFailure(t *testing.T) {
	b := newBench(t)
	b.src.Put("good/a", "one", old)
	b.src.Put("bad/a", "one", old)
	b.pass(filesync.Automatic)
	b.src.OnList = func(dir string) error {
		if dir == "bad" {
			return fs.ErrPermission
		}
		return nil
	}
	b.want(b.pass(filesync.Automatic), filesync.Partial, "present=1 failed=1")
	// An incomplete listing proves nothing gone.
	rows, _ := b.memory.Find(t.Context(), []string{"bad/a"})
	if rows[0].Gone {
		t.Error("a file of the unreadable directory counts as gone")
	}
}

func TestSettle(t *testing.T) {
	b := newBench(t)
	settle := func(o *pass.Options) { o.Settle = 30 * time.Millisecond }
	await := func(o *pass.Options) { o.Settle, o.AwaitSettle = 30*time.Millisecond, true }
	b.src.Put("a", "half", time.Now())
	b.want(b.pass(filesync.Automatic, settle), filesync.Succeeded, "waiting=1")
	b.want(b.pass(filesync.Apply, await), filesync.Succeeded, "copied=1")
	b.src.Put("b", "x", time.Now())
	b.src.Put("old", "x", old)
	b.want(b.pass(filesync.Apply, await), filesync.Succeeded, "copied=2 present=1")
}

func TestCancelledPassLeavesNothing(t *testing.T) {
	b := newBench(t)
	for i := range 200 {
		b.src.Put(fmt.Sprintf("f%d", i), "data", old)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Name == "f100" {
			cancel()
		}
		return nil
	}
	r := b.passIn(ctx, filesync.Automatic)
	if r.Outcome != filesync.Cancelled {
		t.Error(r.Outcome, r.Err)
	}
	b.src.OnFetch = nil
	r = b.pass(filesync.Automatic)
	if r.Files.Copied+r.Files.Present != 200 || r.Outcome != filesync.Succeeded {
		t.Error(r.Files, r.Err)
	}
}

func TestWatchdogSaysWhereItStood(t *testing.T) {
	b := newBench(t)
	b.src.Put("stuck", "data", old)
	stuck := make(chan struct{})
	defer close(stuck)
	b.src.OnFetch = func(filesync.Entry, int64) error {
		<-stuck
		return errors.New("unreachable")
	}
	go func() { time.AfterFunc(2*time.Second, func() { stuck <- struct{}{} }) }()
	r := b.pass(filesync.Automatic, func(o *pass.Options) { o.Stall = 80 * time.Millisecond })
	if r.Outcome != filesync.Failed || !strings.Contains(fmt.Sprint(r.Err), "copying stuck") {
		t.Error(r.Outcome, r.Err)
	}
}
