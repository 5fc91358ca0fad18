package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// result is that of a pass that copied so many files.
func result(copied int64) filesync.Result {
	return filesync.Result{Outcome: filesync.Succeeded, Finished: day.Add(time.Second), Files: filesync.Counts{Seen: 5, Copied: copied}}
}

// begin starts a pass that runs alone.
func begin(t *testing.T, c *ledger.Connector, mode filesync.Mode) string {
	t.Helper()
	id, _, err := c.StartPass(t.Context(), mode, day, true)
	must(t, err)
	return id
}

func history(t *testing.T, c *ledger.Connector) []ledger.Pass {
	t.Helper()
	passes, err := c.Passes(t.Context(), 100)
	must(t, err)
	return passes
}

// A pass that finds nothing commits nothing. The history has it all the same.
func TestIdlePassHasNoTransaction(t *testing.T) {
	dir := t.TempDir()
	c := claim(t, open(t, dir))
	must(t, c.FinishPass(t.Context(), begin(t, c, filesync.Automatic), result(0), "")) // which reserves ids
	db := file(t, dir)
	db.SetMaxOpenConns(1)
	commits := func() (n int) {
		must(t, db.QueryRow("PRAGMA data_version").Scan(&n)) // changes with each commit of others
		return n
	}
	before := commits()
	for _, mode := range []filesync.Mode{filesync.Automatic, filesync.Request, filesync.Automatic} {
		id := begin(t, c, mode)
		if h := history(t, c); h[0].ID != id || h[0].State != filesync.Running || h[0].Mode != mode {
			t.Errorf("while it runs: %+v", h[0])
		}
		must(t, c.FinishPass(t.Context(), id, result(0), status.ConnectionValid))
	}
	if after := commits(); after != before {
		t.Errorf("%d commits", after-before)
	}
	want := ledger.Pass{ID: "4", Mode: filesync.Automatic, State: filesync.Succeeded, Started: day, Finished: day.Add(time.Second),
		Status: status.ConnectionValid, Files: filesync.Counts{Seen: 5}}
	if h := history(t, c); !reflect.DeepEqual(h, []ledger.Pass{want}) {
		t.Errorf("%+v\nwant %+v", h, want)
	}
}

// The rows come into the file by themselves, in a few seconds.
func TestIdlePassesAreWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := claim(t, open(t, dir))
	must(t, c.FinishPass(t.Context(), begin(t, c, filesync.Apply), result(1), ""))
	must(t, c.FinishPass(t.Context(), begin(t, c, filesync.Automatic), result(0), ""))
	db := file(t, dir)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var n int
		if must(t, db.QueryRow("SELECT count(*) FROM passes").Scan(&n)); n == 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 2 passes are in the file", n)
		}
	}
}

// A program that is killed loses passes that found nothing, and nothing else.
func TestKilledBesideIdlePasses(t *testing.T) {
	dir := t.TempDir()
	killed := open(t, dir) // is closed when the test is over
	c := claim(t, killed)
	must(t, c.FinishPass(t.Context(), begin(t, c, filesync.Automatic), result(3), ""))
	must(t, c.FinishPass(t.Context(), begin(t, c, filesync.Automatic), result(0), ""))
	must(t, c.FinishPass(t.Context(), begin(t, c, filesync.Automatic), filesync.Result{Outcome: filesync.Failed, Finished: day}, ""))
	must(t, c.FinishPass(t.Context(), begin(t, c, filesync.Automatic), result(0), ""))
	begin(t, c, filesync.Automatic)

	states := func(c *ledger.Connector) (all []string) {
		for _, p := range history(t, c) {
			all = append(all, fmt.Sprint(p.ID, " ", p.State, " ", p.Files.Copied))
		}
		return all
	}
	if got, want := states(c), []string{"5 running 0", "4 succeeded 0", "3 failed 0", "2 succeeded 0", "1 succeeded 3"}; !reflect.DeepEqual(got, want) {
		t.Errorf("before: %q, want %q", got, want)
	}
	next := claim(t, open(t, dir))
	if got, want := states(next), []string{"3 failed 0", "2 succeeded 0", "1 succeeded 3"}; !reflect.DeepEqual(got, want) {
		t.Errorf("after: %q, want %q", got, want)
	}
	if _, unclean, err := next.StartPass(t.Context(), filesync.Automatic, day, true); err != nil || unclean {
		t.Error("a pass that wrote nothing has left something:", unclean, err)
	}
	for _, p := range history(t, next)[:1] {
		if n, _ := strconv.Atoi(p.ID); n <= 5 {
			t.Errorf("the id %s was given before", p.ID)
		}
	}
}

// A pass that was to write is known after a kill, and what it left is to be swept.
func TestKilledAfterWillWrite(t *testing.T) {
	dir := t.TempDir()
	c := claim(t, open(t, dir))
	must(t, c.FinishPass(t.Context(), begin(t, c, filesync.Automatic), result(0), ""))
	id := begin(t, c, filesync.Automatic)
	for range 2 {
		must(t, c.WillWrite(t.Context(), id))
	}
	next := claim(t, open(t, dir))
	_, unclean, err := next.StartPass(t.Context(), filesync.Automatic, day, true)
	if err != nil || !unclean {
		t.Error("what it left is not to be swept:", unclean, err)
	}
	if h := history(t, next); h[1].ID != id || h[1].State != filesync.Cancelled {
		t.Errorf("%+v", h[1])
	}
}

// Whatever passes there are, and whenever they come into the file, the history is that of
// a ledger that writes each at once.
func TestHistoryOfIdlePasses(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		l := open(t, dir)
		c := claim(t, l)
		var want []ledger.Pass // newest first
		for step := range 25 {
			mode := []filesync.Mode{filesync.Automatic, filesync.Automatic, filesync.Automatic, filesync.Apply, filesync.Request}[random.IntN(5)]
			id := begin(t, c, mode)
			if want, last := fmt.Sprint(step+1), id; want != last {
				t.Fatalf("seed %d: the id of pass %s is %s", seed, want, last)
			}
			if random.IntN(4) == 0 {
				must(t, c.WillWrite(t.Context(), id))
			}
			r := result(int64(random.IntN(3) / 2))
			if random.IntN(5) == 0 {
				r.Outcome = filesync.Partial
			}
			must(t, c.FinishPass(t.Context(), id, r, ""))
			idle := r.Outcome == filesync.Succeeded && r.Files.Copied == 0
			if !idle || mode != filesync.Request {
				want = append([]ledger.Pass{{ID: id, Mode: mode, State: r.Outcome, Started: day, Finished: r.Finished, Files: r.Files}}, want...)
			}
			if idle && mode != filesync.Request {
				want = withoutIdleBefore(want)
			}
			switch random.IntN(6) {
			case 0:
				must(t, l.Close())
				l = open(t, dir)
				c = claim(t, l)
			case 1:
				all, err := l.Connectors(t.Context(), []string{"c"}) // writes all of them
				must(t, err)
				if last := all["c"].Last; len(want) > 0 && want[0].Mode != filesync.Request && (last == nil || last.ID != want[0].ID) {
					t.Fatalf("seed %d, step %d: the last is %+v, want %+v", seed, step, last, want[0])
				}
			}
			for _, limit := range []int{1, 2, 100} {
				got, err := c.Passes(t.Context(), limit)
				must(t, err)
				if shown := want[:min(limit, len(want))]; len(got)+len(shown) > 0 && !reflect.DeepEqual(got, shown) {
					t.Fatalf("seed %d, step %d, limit %d:\n%+v\nwant\n%+v", seed, step, limit, got, shown)
				}
			}
		}
		must(t, l.Close())
	}
}

// withoutIdleBefore takes out the pass before the newest if it found nothing either.
func withoutIdleBefore(passes []ledger.Pass) []ledger.Pass {
	for i, p := range passes[1:] {
		switch {
		case p.Mode == filesync.Request:
			continue
		case p.Mode == filesync.Automatic && p.State == filesync.Succeeded && p.Files.Copied == 0:
			return append(passes[:i+1:i+1], passes[i+2:]...)
		}
		break
	}
	return passes
}
