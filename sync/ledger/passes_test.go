package ledger_test

import (
	"slices"
	"testing"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// start starts a pass that others run beside, and gives its number.
func start(t *testing.T, c *ledger.Connector, mode filesync.Mode, at time.Time) string {
	t.Helper()
	id, unclean, err := c.StartPass(t.Context(), mode, at, false)
	if err != nil || unclean {
		t.Fatal(unclean, err)
	}
	return id
}

// finish ends a pass that copied so many files.
func finish(t *testing.T, c *ledger.Connector, id string, copied int64) {
	t.Helper()
	must(t, c.FinishPass(t.Context(), id, filesync.Result{Outcome: filesync.Succeeded, Finished: day, Files: filesync.Counts{Copied: copied}}, status.ConnectionValid))
}

// kept gives the passes that the ledger still has, oldest first.
func kept(t *testing.T, c *ledger.Connector) []string {
	t.Helper()
	passes, err := c.Passes(t.Context(), 100)
	must(t, err)
	ids := make([]string, len(passes))
	for i, p := range passes {
		ids[len(ids)-1-i] = p.ID
	}
	return ids
}

// A pass that starts beside another takes it for alive, and one that starts
// alone takes what runs for killed; only that one sweeps.
func TestPassesSideBySide(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	states := func() (all []filesync.Outcome) {
		passes, err := c.Passes(t.Context(), 10)
		must(t, err)
		for _, p := range passes {
			all = append(all, p.State)
		}
		return all
	}
	_, unclean, err := c.StartPass(t.Context(), filesync.Apply, day, true)
	if err != nil || unclean {
		t.Fatal(unclean, err)
	}
	start(t, c, filesync.Request, day)
	if got := states(); !slices.Equal(got, []filesync.Outcome{filesync.Running, filesync.Running}) {
		t.Error(got)
	}
	// Both are killed.
	_, unclean, err = c.StartPass(t.Context(), filesync.Request, day, true)
	if err != nil || !unclean {
		t.Error("not swept after a kill:", unclean, err)
	}
	if got := states(); !slices.Equal(got, []filesync.Outcome{filesync.Running, filesync.Cancelled, filesync.Cancelled}) {
		t.Error(got)
	}
	start(t, c, filesync.Automatic, day) // while the other sweeps, or before it could
	if _, unclean, err = c.StartPass(t.Context(), filesync.Automatic, day, true); err != nil || !unclean {
		t.Error("the sweep was forgotten:", unclean, err)
	}
}

// Passes of requests neither count as the last one, nor come between those that
// found nothing, nor stay when they copied nothing themselves.
func TestPassesOfRequests(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	idle := start(t, c, filesync.Automatic, day)
	finish(t, c, idle, 0)
	copied := start(t, c, filesync.Request, day.Add(time.Hour))
	finish(t, c, copied, 1)
	finish(t, c, start(t, c, filesync.Request, day.Add(2*time.Hour)), 0)
	if got := kept(t, c); !slices.Equal(got, []string{idle, copied}) {
		t.Error("after an idle request:", got)
	}
	all, err := l.Connectors(t.Context(), []string{"c"})
	must(t, err)
	if r := all["c"]; !r.LastStart.Equal(day) || r.Last == nil || r.Last.ID != idle {
		t.Errorf("last start %v, last %+v", r.LastStart, r.Last)
	}
	failed := start(t, c, filesync.Request, day)
	must(t, c.FinishPass(t.Context(), failed, filesync.Result{Outcome: filesync.Failed, Finished: day}, status.ConnectionLost))
	running := start(t, c, filesync.Request, day)
	next := start(t, c, filesync.Automatic, day.Add(3*time.Hour))
	finish(t, c, next, 0)
	if got := kept(t, c); !slices.Equal(got, []string{copied, failed, running, next}) {
		t.Error("after an idle automatic pass:", got)
	}
}

// Files name the pass that delivered them: its number is no other's, ever.
func TestPassNumbersAreNotUsedAgain(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	seen := map[string]bool{}
	for range 5 {
		id := start(t, c, filesync.Request, day)
		if seen[id] {
			t.Error("used again:", id)
		}
		seen[id] = true
		finish(t, c, id, 0)
	}
}

// What is cleared was never delivered; what lies at the destination of files that
// are not yet is found again.
func TestClear(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	half := delivery("half", 4)
	_, err := c.Commit(t.Context(), nil, []filesync.Delivery{delivery("a", 1)})
	must(t, err)
	_, err = c.Fail(t.Context(), []filesync.Failure{{Source: delivery("b", 2).Source, Tries: 1, Error: "no"}})
	must(t, err)
	intent, err := c.Intend(t.Context(), []filesync.Delivery{delivery("c", 3)})
	must(t, err)
	must(t, c.SaveCheckpoint(t.Context(), filesync.Interrupted{Source: half.Source, Checkpoint: filesync.Checkpoint{ID: "id", Prefix: 2}}))
	must(t, c.RequireSweep(t.Context()))
	must(t, c.Clear(t.Context()))
	for _, path := range []string{"a", "b"} {
		if r := find(t, c, path); r.ID != 0 || r.FailureID != 0 {
			t.Errorf("%s: %+v", path, r)
		}
	}
	if intents, err := c.Intents(t.Context()); err != nil || len(intents[intent]) != 1 {
		t.Errorf("intents %v, %v", intents, err)
	}
	if kept, err := c.Checkpoints(t.Context()); err != nil || kept["half"].Checkpoint.Prefix != 2 {
		t.Errorf("checkpoints %v, %v", kept, err)
	}
	if _, unclean, err := c.StartPass(t.Context(), filesync.Apply, day, true); err != nil || !unclean {
		t.Errorf("to be swept: %v, %v", unclean, err)
	}
}

// The last passes of many connectors are those that each gives: with those that are not
// in the file yet, and each up to the limit.
func TestRecentPasses(t *testing.T) {
	l := open(t, t.TempDir())
	names := []string{"a", "b", "c"}
	for i, name := range names {
		c := connector(t, l, name)
		for n := range 3 * i {
			finish(t, c, start(t, c, filesync.Automatic, day.Add(time.Duration(n)*time.Second)), int64(n%2))
		}
		if name != "a" {
			start(t, c, filesync.Apply, day)
		}
	}
	for _, limit := range []int{1, 3, 100} {
		all, err := l.RecentPasses(t.Context(), append(names, "unknown"), limit)
		must(t, err)
		for _, name := range names {
			want, err := connector(t, l, name).Passes(t.Context(), limit)
			must(t, err)
			if !slices.Equal(all[name], want) {
				t.Errorf("%s: %+v\nwant %+v", name, all[name], want)
			}
		}
		if len(all) != 2 || len(all["c"]) != min(limit, 7) {
			t.Errorf("of %d connectors, %d of c", len(all), len(all["c"]))
		}
	}
	if all, err := l.RecentPasses(t.Context(), nil, 10); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
}
