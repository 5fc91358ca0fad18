package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

func TestMain(m *testing.M) {
	if os.Getenv("SOAK") == "" {
		// The property costs a file with many commits for each check. A flag
		// on the command line wins, as it is read later.
		flag.Set("rapid.checks", "15")
	}
	goleak.VerifyTestMain(m)
}

var day = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func open(t *testing.T, dir string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func connector(t *testing.T, l *ledger.Ledger, name string) *ledger.Connector {
	t.Helper()
	c, err := l.Connector(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func entry(name string, size int64) filesync.Entry {
	return filesync.Entry{Name: name, Size: size, ModTime: day}
}

func delivery(name string, size int64) filesync.Delivery {
	return filesync.Delivery{Source: entry(name, size), Target: entry(name, size), Pass: "1", At: day}
}

func commit(t *testing.T, c *ledger.Connector, batch ...filesync.Delivery) []int64 {
	t.Helper()
	ids, err := c.Commit(t.Context(), nil, batch)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func find(t *testing.T, c *ledger.Connector, name string) filesync.Record {
	t.Helper()
	recs, err := c.Find(t.Context(), []string{name})
	if err != nil || len(recs) != 1 {
		t.Fatal(recs, err)
	}
	return recs[0]
}

// gone has what was not seen marked as gone, by a listing that began now.
func gone(t *testing.T, c *ledger.Connector, seen *filesync.Seen, at time.Time) {
	t.Helper()
	since, err := c.Sequence(t.Context())
	must(t, err)
	must(t, c.Gone(t.Context(), seen, since, at))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A delivery comes back as it was written, whatever is in it.
func TestDeliveriesKeepTheirFields(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	for name, d := range map[string]filesync.Delivery{
		"plain":      delivery("a/b.csv", 5),
		"other name": {Source: entry("x/y.csv", 7), Target: filesync.Entry{Name: "Y.csv", Size: 7, ModTime: day}, Key: "y.csv", Pass: "12", At: day},
		"adopted":    {Source: entry("ad", 0), Target: entry("ad", 0), Adopted: true, Pass: "3", At: day, After: filesync.AfterCompare},
		"no time":    {Source: filesync.Entry{Name: "no time", Size: 1}, Target: filesync.Entry{Name: "no time", Size: 1, ModTime: day}, Pass: "3", At: day},
		"before 1970": {Source: filesync.Entry{Name: "\u0000'\"[*]\U0001f4c8", Size: 1 << 60, ModTime: time.Unix(-5, 0).UTC()},
			Target: filesync.Entry{Name: "\u0000'\"[*]\U0001f4c8", Size: 1 << 60, ModTime: time.Unix(-5, 0).UTC()}, Pass: "3", At: day, After: filesync.AfterOwed},
	} {
		ids := commit(t, c, d)
		got := find(t, c, d.Source.Name)
		if got.ID != ids[0] || got.After != d.After || got.Gone || got.FailureID != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		d.Sequence = got.Delivery.Sequence
		if !reflect.DeepEqual(got.Delivery, d) || d.Sequence == 0 {
			t.Errorf("%s: %+v\nwant %+v", name, got.Delivery, d)
		}
	}
}

// What was written is there after the file was closed and opened again, and
// another open handle sees it at once, as one of another process would.
func TestReopening(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	c := connector(t, l, "c")
	owner := l.Owner()
	if len(owner) != 8 {
		t.Errorf("owner %q", owner)
	}
	ids := commit(t, c, delivery("a", 1))
	other := open(t, dir)
	if other.Owner() != owner {
		t.Error("another handle has another owner")
	}
	c2 := connector(t, other, "c")
	if find(t, c2, "a").ID != ids[0] {
		t.Error("the other handle does not see the row")
	}
	_, err := c2.Fail(t.Context(), []filesync.Failure{{Source: entry("b", 2), Tries: 3, Next: day, Error: "no", At: day}})
	must(t, err)
	if find(t, c, "b").Failure.Tries != 3 {
		t.Error("the first handle does not see what the other wrote")
	}
	l.Close()
	other.Close()
	l = open(t, dir)
	c = connector(t, l, "c")
	if l.Owner() != owner || find(t, c, "a").ID != ids[0] || find(t, c, "b").Failure.Error != "no" {
		t.Error("not the same after reopening")
	}
}

func TestManyHandlesWriteAtOnce(t *testing.T) {
	dir := t.TempDir()
	const handles, each = 4, 25
	done := make(chan error, handles)
	for h := range handles {
		c := connector(t, open(t, dir), "c")
		go func() {
			for i := range each {
				d := delivery(fmt.Sprintf("%d/%d", h, i), 1)
				n, err := c.Intend(context.Background(), []filesync.Delivery{d})
				if err == nil {
					_, err = c.Commit(context.Background(), []int64{n}, []filesync.Delivery{d})
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range handles {
		must(t, <-done)
	}
	c := connector(t, open(t, dir), "c")
	if n := len(allFiles(t, c, ledger.Query{Limit: 7})); n != handles*each {
		t.Errorf("%d rows, want %d", n, handles*each)
	}
	if left, err := c.Intents(t.Context()); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

func TestIntents(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	c := connector(t, l, "c")
	a, b := delivery("a", 1), delivery("b", 2)
	a.PendingID, b.PendingID, b.After = "id-a", "id-b", filesync.AfterOwed
	a.InPlace, b.InPlace = new(false), new(true)
	first, err := c.Intend(t.Context(), []filesync.Delivery{a, b})
	must(t, err)
	second, err := c.Intend(t.Context(), []filesync.Delivery{delivery("z", 3)})
	must(t, err)
	// A crash: nothing was committed, and another process starts.
	l.Close()
	l = open(t, dir)
	c = connector(t, l, "c")
	stranger := connector(t, l, "d")
	intents, err := c.Intents(t.Context())
	a.Sequence, b.Sequence = 1, 1
	if err != nil || len(intents) != 2 || !reflect.DeepEqual(intents[first], []filesync.Delivery{a, b}) {
		t.Fatalf("%+v %v", intents, err)
	}
	if theirs, err := stranger.Intents(t.Context()); err != nil || len(theirs) != 0 {
		t.Error("another connector sees them:", theirs, err)
	}
	if find(t, c, "a").ID != 0 {
		t.Error("an intent counts as delivered")
	}
	_, err = c.Commit(t.Context(), []int64{first}, []filesync.Delivery{a})
	must(t, err)
	_, err = c.Commit(t.Context(), []int64{second}, nil)
	must(t, err)
	if intents, err = c.Intents(t.Context()); err != nil || len(intents) != 0 {
		t.Error(intents, err)
	}
	if find(t, c, "a").ID == 0 || find(t, c, "b").ID != 0 || find(t, c, "z").ID != 0 {
		t.Error("not what was committed")
	}
}

// Each file that is written in place has an intent of its own, which is marked by itself.
func TestIntendInPlace(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	c := connector(t, l, "c")
	files := []filesync.Delivery{delivery("a", 1), delivery("b", 2), delivery("c", 3)}
	for i := range files {
		files[i].PendingID = filesync.InPlaceID
	}
	files[1].Replaces = &filesync.Entry{Name: files[1].Target.Name, Size: 7, ModTime: time.Unix(1_700_000_000, 0).UTC()}
	ids, err := c.IntendInPlace(t.Context(), files)
	must(t, err)
	must(t, c.MarkOpened(t.Context(), []int64{ids[0], ids[2]}))
	must(t, connector(t, l, "d").MarkOpened(t.Context(), ids)) // these are not its own
	l.Close()
	l = open(t, dir)
	c = connector(t, l, "c")
	intents, err := c.Intents(t.Context())
	must(t, err)
	for i, id := range ids {
		want := files[i]
		want.Opened, want.Sequence = i != 1, int64(i+1)
		if got := intents[id]; !reflect.DeepEqual(got, []filesync.Delivery{want}) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	must(t, c.Drop(t.Context(), ids))
	must(t, c.MarkOpened(t.Context(), ids)) // of which nothing is left
	if intents, err = c.Intents(t.Context()); err != nil || len(intents) != 0 {
		t.Error(intents, err)
	}
	if ids, err := c.IntendInPlace(t.Context(), nil); err != nil || len(ids) != 0 {
		t.Error(ids, err)
	}
}

// Only a connector's own rows are forgotten as lost.
func TestLost(t *testing.T) {
	l := open(t, t.TempDir())
	c, d := connector(t, l, "c"), connector(t, l, "d")
	ids, err := c.Commit(t.Context(), nil, []filesync.Delivery{delivery("a", 1), delivery("b", 2), delivery("c", 3)})
	must(t, err)
	must(t, d.Lost(t.Context(), ids))
	must(t, c.Lost(t.Context(), nil))
	must(t, c.Lost(t.Context(), []int64{ids[0], ids[2]}))
	for name, stays := range map[string]bool{"a": false, "b": true, "c": false} {
		if got := find(t, c, name).ID != 0; got != stays {
			t.Errorf("%s is recorded: %t", name, got)
		}
	}
}

func TestVersionOfALaterProgram(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	must(t, err)
	_, err = db.Exec("PRAGMA user_version = 99")
	must(t, errors.Join(err, db.Close()))
	_, err = ledger.Open(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), "99") || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("%v", err)
	}
}

func TestBadFiles(t *testing.T) {
	if _, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a ledger in no directory")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger.db")
	must(t, os.WriteFile(path, []byte(strings.Repeat("this is no database ", 500)), 0o600))
	if _, err := ledger.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

// The ledger holds names of files: it is nobody else's business.
func TestFileIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // access is the directory's there
	}
	dir := filepath.Join(t.TempDir(), "a dir with space?#%41")
	must(t, os.Mkdir(dir, 0o700))
	c := connector(t, open(t, dir), "c")
	commit(t, c, delivery("a", 1))
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) == 0 || entries[0].Name() != "ledger.db" {
		t.Errorf("%v", entries)
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestCancelledContext(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Commit(ctx, nil, []filesync.Delivery{delivery("a", 1)}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.Find(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if find(t, c, "a").ID != 0 {
		t.Error("a cancelled commit was done")
	}
}

func TestPasses(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	id, unclean, err := c.StartPass(t.Context(), filesync.Automatic, day, true)
	if err != nil || unclean {
		t.Fatal(id, unclean, err)
	}
	r := filesync.Result{Outcome: filesync.Partial, Finished: day.Add(time.Minute), Err: errors.New("why"), Files: filesync.Counts{Seen: 3, Copied: 2, Failed: 1, Bytes: 99}}
	must(t, c.FinishPass(t.Context(), id, r, status.ConnectionValid))
	// The next one is killed; the one after it learns of that.
	killed, unclean, err := c.StartPass(t.Context(), filesync.Apply, day.Add(time.Hour), true)
	if err != nil || unclean || killed == id {
		t.Fatal(killed, unclean, err)
	}
	third, unclean, err := c.StartPass(t.Context(), filesync.Apply, day.Add(2*time.Hour), true)
	if err != nil || !unclean {
		t.Fatal(third, unclean, err)
	}
	passes, err := c.Passes(t.Context(), 10)
	if err != nil || len(passes) != 3 {
		t.Fatal(passes, err)
	}
	want := ledger.Pass{ID: id, Mode: filesync.Automatic, State: filesync.Partial, Started: day, Finished: day.Add(time.Minute),
		Status: status.ConnectionValid, Error: "why", Files: r.Files}
	if passes[2] != want {
		t.Errorf("%+v\nwant %+v", passes[2], want)
	}
	if passes[1].ID != killed || passes[1].State != filesync.Cancelled || passes[1].Error == "" {
		t.Errorf("the killed one: %+v", passes[1])
	}
	if passes[0].ID != third || passes[0].State != filesync.Running || !passes[0].Finished.IsZero() {
		t.Errorf("the running one: %+v", passes[0])
	}
	if passes, err = c.Passes(t.Context(), 1); err != nil || len(passes) != 1 || passes[0].ID != third {
		t.Error(passes, err)
	}
}

func TestForget(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	commit(t, c, delivery("gone long ago", 1), delivery("gone lately", 1), delivery("there", 1))
	there := filesync.NewSeen()
	there.AddRows([]int64{find(t, c, "there").ID, find(t, c, "gone lately").ID})
	gone(t, c, there, day)
	there = filesync.NewSeen()
	there.AddRows([]int64{find(t, c, "there").ID})
	gone(t, c, there, day.Add(time.Hour))
	var ids []string
	for i := range 3 {
		id, _, err := c.StartPass(t.Context(), filesync.Apply, day.Add(time.Duration(i-1)*time.Hour), true)
		must(t, err)
		if i < 2 {
			must(t, c.FinishPass(t.Context(), id, filesync.Result{}, ""))
		}
		ids = append(ids, id)
	}
	must(t, c.Forget(t.Context(), day.Add(30*time.Minute)))
	for name, want := range map[string]bool{"gone long ago": false, "gone lately": true, "there": true} {
		if got := find(t, c, name).ID != 0; got != want {
			t.Errorf("%s: known %v, want %v", name, got, want)
		}
	}
	passes, err := c.Passes(t.Context(), 10)
	if err != nil || len(passes) != 1 || passes[0].ID != ids[2] {
		t.Error(passes, err)
	}
	// Not even a very long running pass is forgotten.
	must(t, c.Forget(t.Context(), day.Add(100*time.Hour)))
	if passes, err = c.Passes(t.Context(), 10); err != nil || len(passes) != 1 {
		t.Error(passes, err)
	}
}

func TestRetry(t *testing.T) {
	l := open(t, t.TempDir())
	c, stranger := connector(t, l, "c"), connector(t, l, "d")
	fail := func(c *ledger.Connector, name string, quarantined bool) {
		_, err := c.Fail(t.Context(), []filesync.Failure{{Source: entry(name, 1), Tries: 5, Quarantined: quarantined, Error: "no", At: day}})
		must(t, err)
	}
	fail(c, "a", true)
	fail(c, "b", true)
	fail(c, "c", true)
	fail(c, "failing", false)
	fail(stranger, "a", true)
	if got, err := c.Retry(t.Context(), []string{"b", "failing", "unknown"}); err != nil || !reflect.DeepEqual(got, []string{"b"}) {
		t.Error(got, err)
	}
	if got, err := c.Retry(t.Context(), nil); err != nil || len(got) != 2 {
		t.Error(got, err)
	}
	if got, err := c.Retry(t.Context(), nil); err != nil || got == nil || len(got) != 0 {
		t.Error(got, err)
	}
	if find(t, c, "failing").FailureID == 0 || find(t, stranger, "a").FailureID == 0 || find(t, c, "a").FailureID != 0 {
		t.Error("not the ones that were asked for")
	}
}

func TestConnectorsInBulk(t *testing.T) {
	l := open(t, t.TempDir())
	one := connector(t, l, "one")
	_, _, err := one.StartPass(t.Context(), filesync.Automatic, day, true)
	must(t, err)
	last, _, err := one.StartPass(t.Context(), filesync.Automatic, day.Add(time.Hour), true)
	must(t, err)
	must(t, one.FinishPass(t.Context(), last, filesync.Result{Outcome: filesync.Failed, Finished: day.Add(2 * time.Hour),
		Files: filesync.Counts{Seen: 7}, Err: errors.New("refused")}, status.ConnectionRefused))
	must(t, one.SetSchedule(t.Context(), "5m", "N/A"))
	names := []string{"one", "two"}
	for i := range 500 {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	for range 2 {
		all, err := l.Connectors(t.Context(), names)
		if err != nil || len(all) != len(names) {
			t.Fatal(len(all), err)
		}
		r := all["one"]
		if over, err := r.ScheduleOver(t.Context(), "N/A"); err != nil || over != "5m" || !r.LastStart.Equal(day.Add(time.Hour)) {
			t.Errorf("last start %v, schedule %q, %v", r.LastStart, over, err)
		}
		want := ledger.Pass{ID: last, Mode: filesync.Automatic, State: filesync.Failed, Started: day.Add(time.Hour), Finished: day.Add(2 * time.Hour),
			Status: status.ConnectionRefused, Error: "refused", Files: filesync.Counts{Seen: 7}}
		if p := r.Last; p == nil || !p.Started.Equal(want.Started) || !p.Finished.Equal(want.Finished) {
			t.Errorf("last pass %+v", p)
		} else if p.Started, p.Finished = want.Started, want.Finished; *p != want {
			t.Errorf("last pass %+v, want %+v", *p, want)
		}
		if passes, err := r.Passes(t.Context(), 1); err != nil || len(passes) != 1 || passes[0].ID != last {
			t.Error(passes, err)
		}
		if two := all["two"]; !two.LastStart.IsZero() || two.Last != nil {
			t.Errorf("%+v", two)
		}
		commit(t, all["n7"].Connector, delivery("x", 1))
		if find(t, all["n8"].Connector, "x").ID != 0 {
			t.Error("connectors share their rows")
		}
	}
}

// The ledger is where its directory says, whatever the directory is called.
func TestPathsThatLookLikeURIs(t *testing.T) {
	for _, name := range []string{"a#b", "a?b=c", "50%", "50%41", "a b", "a;b&c", "ä", "a:b", "+", "*"} {
		if runtime.GOOS == "windows" && strings.ContainsAny(name, "?:*") {
			continue // no file has such a name there
		}
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, name)
			must(t, os.Mkdir(dir, 0o700))
			commit(t, connector(t, open(t, dir), "c"), delivery("x", 1))
			if info, err := os.Stat(filepath.Join(dir, "ledger.db-wal")); err != nil || info.Size() == 0 {
				t.Error("the rows are elsewhere:", err)
			}
			if others, err := os.ReadDir(parent); err != nil || len(others) != 1 {
				t.Error(others, err)
			}
		})
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(t.TempDir())
		must(t, os.Mkdir("a#b", 0o700))
		commit(t, connector(t, open(t, "a#b"), "c"), delivery("x", 1))
		if _, err := os.Stat("a#b/ledger.db-wal"); err != nil {
			t.Error(err)
		}
	})
}

// A pass that runs, or that nobody ended, is not the last one yet.
func TestLastPassIsOneThatEnded(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	last := func() *ledger.Pass {
		all, err := l.Connectors(t.Context(), []string{"c"})
		must(t, err)
		return all["c"].Last
	}
	first, _, err := c.StartPass(t.Context(), filesync.Apply, day, true)
	must(t, err)
	if p := last(); p != nil {
		t.Errorf("it runs: %+v", p)
	}
	_, _, err = c.StartPass(t.Context(), filesync.Apply, day.Add(time.Hour), true)
	must(t, err)
	if p := last(); p == nil || p.ID != first || p.State != filesync.Cancelled {
		t.Errorf("%+v", p)
	}
}

// A schedule that was set ends when the file says something else, for good.
func TestScheduleDoesNotComeBack(t *testing.T) {
	l := open(t, t.TempDir())
	must(t, connector(t, l, "c").SetSchedule(t.Context(), "1m", "15m"))
	for _, each := range []struct{ file, want string }{{"15m", "1m"}, {"15m", "1m"}, {"1h", ""}, {"15m", ""}} {
		all, err := l.Connectors(t.Context(), []string{"c"})
		must(t, err)
		if over, err := all["c"].ScheduleOver(t.Context(), each.file); err != nil || over != each.want {
			t.Errorf("with %s: %q, want %q (%v)", each.file, over, each.want, err)
		}
	}
}
