package pass_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
	"sftpconnector/sync/transfer"
)

// asked is what a request was told about files: the last state of each, and how
// often each was copied.
type asked struct {
	mu     sync.Mutex
	states map[string]filesync.State
	copied map[string]int
}

func (a *asked) listen(o *pass.Options) {
	o.OnDecision = func(d filesync.Decision) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if d.State != filesync.StateExcluded {
			a.states[d.Entry.Name] = d.State
		}
	}
	o.OnDelivered = func(d filesync.Delivered) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.states[d.Delivery.Source.Name] = filesync.StateDelivered
		a.copied[d.Delivery.Source.Name]++
	}
}

// names are the files in a state.
func (a *asked) names(states ...filesync.State) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for name, s := range a.states {
		if slices.Contains(states, s) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (a *asked) there() string {
	return strings.Join(a.names(filesync.StateDelivered, filesync.StatePresent), " ")
}

func selection(t *testing.T, name string, from, to time.Time) *filesync.Selection {
	t.Helper()
	s, err := filesync.NewSelection(name, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a pass that others may run beside.
func (b *bench) run(ctx context.Context, mode filesync.Mode, sel *filesync.Selection, adjust ...func(*pass.Options)) (filesync.Result, *asked) {
	b.t.Helper()
	a := &asked{states: map[string]filesync.State{}, copied: map[string]int{}}
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	o := pass.Options{ID: fmt.Sprint(1000 + b.passes.Add(1)), Mode: mode, Filter: filter, Selection: sel, FollowLinks: true}
	a.listen(&o)
	for _, f := range adjust {
		f(&o)
	}
	dst := b.to
	if dst == nil {
		if dst, err = local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0)); err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { dst.Close() }) // others may go on with it
	}
	src, err := b.open(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	return pass.New(src, b.open, dst, b.memory, b.shared, o).Run(ctx), a
}

func (b *bench) request(name string) (filesync.Result, *asked) {
	b.t.Helper()
	return b.run(b.t.Context(), filesync.Request, selection(b.t, name, time.Time{}, time.Time{}))
}

func TestRequestCopiesWhatItMatches(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2020, 1, d, 0, 0, 0, 0, time.UTC) }
	for _, test := range []struct {
		name     string
		from, to time.Time
		want     string
	}{
		{"", time.Time{}, time.Time{}, "a.csv a.txt d/b.csv d/e/c.csv x/b.csv"},
		{"**", time.Time{}, time.Time{}, "a.csv a.txt d/b.csv d/e/c.csv x/b.csv"},
		{"*.csv", time.Time{}, time.Time{}, "a.csv d/b.csv d/e/c.csv x/b.csv"},
		{"d/*.csv", time.Time{}, time.Time{}, "d/b.csv"},
		{"d/**/*.csv", time.Time{}, time.Time{}, "d/b.csv d/e/c.csv"},
		{"{d,x}/b.csv", time.Time{}, time.Time{}, "d/b.csv x/b.csv"},
		{"nothing/*", time.Time{}, time.Time{}, ""},
		{`regex:^d/.*\.csv$`, time.Time{}, time.Time{}, "d/b.csv d/e/c.csv"},
		{"", day(2), day(4), "a.txt d/b.csv"},
		{"", day(4), time.Time{}, "d/e/c.csv x/b.csv"},
		{"*.csv", time.Time{}, day(4), "a.csv d/b.csv"},
		{"*.csv", day(3), day(4).Add(time.Second), "d/b.csv d/e/c.csv"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			mod := map[string]time.Time{}
			for i, name := range []string{"a.csv", "a.txt", "d/b.csv", "d/e/c.csv", "x/b.csv"} {
				mod[name] = day(i + 1)
				b.src.Put(name, name, mod[name])
			}
			r, a := b.run(t.Context(), filesync.Request, selection(t, test.name, test.from, test.to))
			if r.Err != nil || a.there() != test.want {
				t.Errorf("got %q (%v), want %q", a.there(), r.Err, test.want)
			}
			for _, name := range strings.Fields(test.want) {
				b.wantFile(name, name, mod[name])
			}
			if n := b.src.Fetches(); n != len(strings.Fields(test.want)) {
				t.Errorf("%d files were read", n)
			}
			// The same again is present, and an automatic pass copies the rest.
			if r, a := b.run(t.Context(), filesync.Request, selection(t, test.name, test.from, test.to)); a.there() != test.want || r.Files.Copied != 0 {
				t.Errorf("again: %q, %d copied", a.there(), r.Files.Copied)
			}
			n := len(strings.Fields(test.want))
			if r := b.pass(filesync.Automatic); r.Files.Copied != int64(5-n) || r.Files.Present != int64(n) {
				t.Errorf("the pass after it: %+v", r.Files)
			}
		})
	}
}

// What was delivered, went from the source and still stands is a match too.
func TestRequestKnowsWhatIsGone(t *testing.T) {
	b := newBench(t)
	b.src.Put("d/a.csv", "a", old)
	b.src.Put("d/b.csv", "b", old)
	b.src.Put("c.csv", "c", old)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=3")
	b.src.Delete("d/a.csv")
	b.src.Delete("c.csv")
	for range 2 { // before a pass has noticed that they are gone, and after
		if r, a := b.request("*.csv"); a.there() != "c.csv d/a.csv d/b.csv" || r.Files.Copied != 0 {
			t.Errorf("%q", a.there())
		}
		if _, a := b.request("d/*"); a.there() != "d/a.csv d/b.csv" {
			t.Errorf("%q", a.there())
		}
		b.want(b.pass(filesync.Automatic), filesync.Succeeded, "present=1")
	}
	if err := os.Remove(filepath.Join(b.dir, "c.csv")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "d", "a.csv"), []byte("edited by somebody"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, a := b.request(""); a.there() != "d/b.csv" {
		t.Errorf("%q is no copy of ours any more", a.there())
	}
}

// holdingBack lets files whose name has the prefix be read only once opened.
func holdingBack(b *bench, prefix string) (reading <-chan string, open func()) {
	gate, names := make(chan struct{}), make(chan string, 1000)
	b.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if strings.HasPrefix(e.Name, prefix) {
			names <- e.Name
			<-gate
		}
		return nil
	}
	return names, sync.OnceFunc(func() { close(gate) })
}

// A request does not wait for what a long pass has still to do: it takes the
// files that the pass has not begun. Those that it has begun are shared.
func TestRequestGoesFirst(t *testing.T) {
	for _, mode := range []filesync.Mode{filesync.Automatic, filesync.Apply} {
		b := newBench(t)
		const many = 600 // more than there are copiers
		for i := range many {
			b.src.Put(fmt.Sprintf("long/%03d", i), "x", old)
		}
		b.src.Put("small/one", "1", old)
		b.src.Put("small/two", "2", old)
		reading, open := holdingBack(b, "long/")
		defer open()
		// All copiers have a long file before the small ones are found.
		busy, queued := make(chan struct{}), make(chan struct{})
		b.src.OnList = func(dir string) error {
			if dir == "small" {
				<-busy
			}
			return nil
		}
		var found atomic.Int32
		var long filesync.Result
		var group sync.WaitGroup
		group.Go(func() {
			long, _ = b.run(t.Context(), mode, nil, func(o *pass.Options) {
				o.OnDecision = func(d filesync.Decision) {
					if strings.HasPrefix(d.Entry.Name, "small/") && d.State == filesync.StateNew && found.Add(1) == 2 {
						close(queued)
					}
				}
			})
		})
		first := <-reading
		for range transfer.MaxCopies - 1 {
			<-reading
		}
		close(busy)
		<-queued
		r, a := b.request("small/*")
		if r.Err != nil || a.there() != "small/one small/two" {
			t.Errorf("%s: %q (%v)", mode, a.there(), r.Err)
		}
		var shared *asked
		group.Go(func() { _, shared = b.request(first) })
		open()
		group.Wait()
		if shared.there() != first {
			t.Errorf("%s: the shared file: %q", mode, shared.there())
		}
		if n := b.src.Fetches(); n != many+2 {
			t.Errorf("%s: %d files were read, want each once", mode, n)
		}
		if long.Outcome != filesync.Succeeded || long.Files.Seen != many+2 || long.Files.Copied+long.Files.Present != many+2 {
			t.Errorf("%s: the long pass: %s %+v %v", mode, long.Outcome, long.Files, long.Failures)
		}
	}
}

// A pass that ends early leaves its files to the others that wait for them.
func TestRequestTakesOverFromACancelledPass(t *testing.T) {
	b := newBench(t)
	b.src.Put("f", "data", old)
	reading, open := holdingBack(b, "f")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { b.run(ctx, filesync.Automatic, nil) })
	<-reading
	var a *asked
	group.Go(func() { _, a = b.request("f") })
	cancel()
	open()
	group.Wait()
	if a.there() != "f" {
		t.Errorf("%+v", a.states)
	}
	b.wantFile("f", "data", old)
}

// Many at once: each gets its own answer, and no file is read twice.
func TestManyRequestsAtOnce(t *testing.T) {
	b := newBench(t)
	const dirs, files = 10, 20
	for d := range dirs {
		for f := range files {
			b.src.Put(fmt.Sprintf("d%d/f%02d", d, f), "x", old)
		}
	}
	var group sync.WaitGroup
	for i := range 60 {
		group.Go(func() {
			pattern, want := fmt.Sprintf("d%d/*", i%dirs), files
			switch i % 3 {
			case 1:
				pattern, want = fmt.Sprintf("f%02d", i%files), dirs
			case 2:
				pattern, want = "", dirs*files
			}
			r, a := b.request(pattern)
			if got := a.names(filesync.StateDelivered, filesync.StatePresent); r.Err != nil || len(got) != want {
				t.Errorf("%q: %d files (%v), want %d", pattern, len(got), r.Err, want)
			}
		})
	}
	group.Go(func() { b.run(t.Context(), filesync.Automatic, nil) })
	group.Go(func() { b.run(t.Context(), filesync.Apply, nil) })
	group.Wait()
	if n := b.src.Fetches(); n != dirs*files {
		t.Errorf("%d files were read, want each of %d once", n, dirs*files)
	}
	b.noPending()
}

// Passes side by side do not both see to an original.
func TestOriginalsAreRemovedOnce(t *testing.T) {
	b := newBench(t)
	const files = 300
	for i := range files {
		b.src.Put(fmt.Sprintf("f%03d", i), "x", old)
	}
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, fmt.Sprintf("copied=%d", files))
	var mu sync.Mutex
	removed := map[string]int{}
	b.src.OnRemove = func(e filesync.Entry) error {
		mu.Lock()
		defer mu.Unlock()
		removed[e.Name]++
		return nil
	}
	remove := func(o *pass.Options) { o.AfterCopy.Remove = true }
	var group sync.WaitGroup
	for i := range 6 {
		mode := []filesync.Mode{filesync.Request, filesync.Apply}[i%2]
		group.Go(func() { b.run(t.Context(), mode, selection(t, "", time.Time{}, time.Time{}), remove) })
	}
	group.Wait()
	b.run(t.Context(), filesync.Automatic, nil, remove) // what a cancelled one may have left
	for name, n := range removed {
		if n != 1 {
			t.Errorf("%s was removed %d times", name, n)
		}
	}
	if len(removed) != files || b.src.Len() != 0 {
		t.Errorf("%d of %d originals were removed, %d are left", len(removed), files, b.src.Len())
	}
}

// What another pass delivers and removes while a request lists is a match.
func TestRequestKnowsWhatIsRemovedMeanwhile(t *testing.T) {
	b := newBench(t)
	b.src.Put("a/f", "data", old)
	listing, gate := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(listing); <-gate })
	b.src.OnList = func(dir string) error {
		if dir == "a" {
			first()
		}
		return nil
	}
	var a *asked
	var group sync.WaitGroup
	group.Go(func() { _, a = b.request("**/*") })
	<-listing
	b.src.OnList = nil
	b.run(t.Context(), filesync.Automatic, nil, removing)
	close(gate)
	group.Wait()
	if a.there() != "a/f" {
		t.Errorf("%+v", a.states)
	}
}

// The same for files that it waited for.
func TestRequestWaitsForWhatIsRemoved(t *testing.T) {
	b := newBench(t)
	b.src.Put("f1", "its row is known already", old)
	b.pass(filesync.Automatic)
	b.src.Put("f1", "one", old)
	b.src.Put("f2", "two", old)
	gates := map[string]chan struct{}{"f1": make(chan struct{}), "f2": make(chan struct{})}
	reading, listed := make(chan string, 10), make(chan struct{}, 10)
	b.src.OnFetch = func(e filesync.Entry, _ int64) error {
		reading <- e.Name
		<-gates[e.Name]
		return nil
	}
	b.src.OnList = func(string) error { listed <- struct{}{}; return nil }
	var group sync.WaitGroup
	group.Go(func() { b.run(t.Context(), filesync.Automatic, nil, removing) })
	<-listed
	<-reading
	<-reading
	var r filesync.Result
	var a *asked
	group.Go(func() {
		r, a = b.run(t.Context(), filesync.Request, selection(t, "f*", time.Time{}, time.Time{}), removing)
	})
	<-listed
	close(gates["f1"])
	for b.src.Has("f1") {
		runtime.Gosched()
	}
	close(gates["f2"])
	group.Wait()
	if a.there() != "f1 f2" || r.Outcome != filesync.Succeeded {
		t.Errorf("%s %+v %v", r.Outcome, a.states, r.Failures)
	}
}

// ownersHook is a ledger that somebody comes in between who asked for owners.
type ownersHook struct {
	pass.Ledger
	then func()
}

func (h ownersHook) Owners(ctx context.Context, keys []string) ([]filesync.Record, error) {
	recs, err := h.Ledger.Owners(ctx, keys)
	h.then()
	return recs, err
}

// In one directory for all, a file whose original another pass has just removed
// keeps its name.
func TestFlatBesideEachOther(t *testing.T) {
	b := newBench(t)
	b.src.Put("a/x.csv", "first", old)
	b.src.Put("b/x.csv", "SECOND!", old)
	flat := func(o *pass.Options) { o.Flat = true }
	var asked atomic.Bool // the request that comes in between uses the same ledger
	once := func() {
		if !asked.Swap(true) {
			b.run(t.Context(), filesync.Request, selection(t, "a/*", time.Time{}, time.Time{}), flat, removing)
		}
	}
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := pass.Options{ID: "8", Mode: filesync.Request, Filter: filter, Selection: selection(t, "b/*", time.Time{}, time.Time{}), Flat: true}
	src, err := b.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := pass.New(src, b.open, dst, ownersHook{b.memory, once}, b.shared, o).Run(t.Context())
	if r.Files.Failed != 1 || r.Files.Copied != 0 {
		t.Errorf("%+v %v", r.Files, r.Failures)
	}
	b.wantFile("x.csv", "first", old)
}

// What is wrong elsewhere in the tree is none of a request's business.
func TestRequestIsNotConcernedByOthers(t *testing.T) {
	b := newBench(t)
	b.src.Put("good.csv", "1", old)
	b.src.Inject("", filesync.Entry{Name: `bad\name.txt`, Size: 1, ModTime: old, Mode: 0o644})
	if r, a := b.request("*.csv"); r.Outcome != filesync.Succeeded || a.there() != "good.csv" {
		t.Errorf("%s %+v", r.Outcome, r.Failures)
	}
	if r, _ := b.request("*.txt"); r.Outcome != filesync.Partial || r.Files.Unsafe != 1 {
		t.Errorf("%s %+v", r.Outcome, r.Files)
	}
}

// Many requests in a row do not put a file into quarantine.
func TestRequestsInARowAreOneTry(t *testing.T) {
	b := newBench(t)
	b.src.Put("bad", "1", old)
	b.src.OnFetch = func(filesync.Entry, int64) error { return errors.New("broken sector") }
	for range 2 * filesync.MaxTries {
		if r, _ := b.request("bad"); r.Files.Failed != 1 || r.Files.Quarantined != 0 {
			t.Fatalf("%+v", r.Files)
		}
	}
}

// A file that would not be read in time, as the bandwidth is limited, has not failed.
func TestRequestEndsWhileBandwidthIsLimited(t *testing.T) {
	b := newBench(t)
	b.src.Block = 64 << 10
	b.src.Put("big", strings.Repeat("x", 1<<20), old)
	b.shared = pass.NewShared(128 << 10)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, a := b.run(ctx, filesync.Request, selection(t, "", time.Time{}, time.Time{}))
	if !errors.Is(r.Err, context.DeadlineExceeded) || r.Files.Failed != 0 || len(a.names(filesync.StateFailed)) != 0 {
		t.Errorf("%v %+v %+v", r.Err, r.Files, a.states)
	}
	if recs, err := b.memory.Find(t.Context(), []string{"big"}); err != nil || recs[0].FailureID != 0 {
		t.Errorf("%+v %v", recs, err)
	}
}
