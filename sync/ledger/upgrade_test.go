package ledger_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// versions are those of the fixtures.
var versions = []string{"version1", "version4", "version7"}

// oldLedger gives a directory with a ledger of an older version.
func oldLedger(t testing.TB, version string) (dir string) {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("testdata", version+".sql"))
	must(t, err)
	dir = t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	must(t, err)
	_, err = db.Exec(string(script))
	must(t, errors.Join(err, db.Close()))
	return dir
}

// tables gives what a ledger file is made of, as SQLite keeps it.
func tables(t *testing.T, dir string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	must(t, err)
	defer db.Close()
	rows, err := db.Query("SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_master ORDER BY type, name")
	must(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		must(t, rows.Scan(&s))
		all = append(all, s)
	}
	must(t, rows.Err())
	return all
}

// A file of an older program becomes what a new file is.
func TestUpgradeMakesTheSameTables(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) { upgradeMakesTheSameTables(t, oldLedger(t, version)) })
	}
}

func upgradeMakesTheSameTables(t *testing.T, old string) {
	fresh := t.TempDir()
	before := tables(t, old)
	open(t, old).Close()
	open(t, fresh).Close()
	got, want := tables(t, old), tables(t, fresh)
	if !slices.Equal(got, want) {
		t.Errorf("%s\n\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if slices.Equal(before, want) {
		t.Error("the old file is not old")
	}
}

// A file of an older program opens with all that is in it, and stays so.
func TestUpgradeKeepsEverything(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) { upgradeKeepsEverything(t, oldLedger(t, version)) })
	}
}

func upgradeKeepsEverything(t *testing.T, dir string) {
	for range 2 {
		l := open(t, dir)
		if l.Owner() != "0123abcd" {
			t.Error("another owner:", l.Owner())
		}
		all, err := l.Connectors(t.Context(), []string{"c"})
		must(t, err)
		c := all["c"]
		if over, err := c.ScheduleOver(t.Context(), "15m"); err != nil || over != "1m" || !c.LastStart.Equal(day.Add(2*time.Second)) {
			t.Error(over, c.LastStart, err)
		}
		want := ledger.Pass{ID: "7", Mode: filesync.Automatic, State: filesync.Succeeded, Started: day, Finished: day.Add(time.Second),
			Status: status.ConnectionValid, Files: filesync.Counts{Seen: 2, Copied: 2}}
		if c.Last == nil || *c.Last != want {
			t.Errorf("last pass %+v, want %+v", c.Last, want)
		}
		if passes, err := c.Passes(t.Context(), 10); err != nil || len(passes) != 2 || passes[0].ID != "9" || passes[0].State != filesync.Running {
			t.Error(passes, err)
		}
		a, b := find(t, c.Connector, "a"), find(t, c.Connector, "d/b")
		if a.ID != 11 || a.Gone || a.Delivery.Source != entry("a", 1) || a.Delivery.Target.Name != "a" || a.Delivery.Pass != "7" {
			t.Errorf("%+v", a)
		}
		if b.ID != 12 || !b.Gone || b.After != filesync.AfterTrying || b.Delivery.Target.Name != "b" || b.Delivery.Key != "b" || !b.Delivery.Adopted {
			t.Errorf("%+v", b)
		}
		if f := find(t, c.Connector, "f"); f.FailureID != 13 || !f.Failure.Quarantined || f.Failure.Tries != 5 {
			t.Errorf("%+v", f)
		}
		intents, err := c.Intents(t.Context())
		if err != nil || len(intents[14]) != 1 || intents[14][0].PendingID != "p" || intents[14][0].InPlace != nil {
			t.Error(intents, err)
		}
		checkpoints, err := c.Checkpoints(t.Context())
		if err != nil || checkpoints["k"].Checkpoint != (filesync.Checkpoint{ID: "id", Prefix: 3}) {
			t.Error(checkpoints, err)
		}
		must(t, l.Close())
	}
	c := connector(t, open(t, dir), "c")
	if id, unclean, err := c.StartPass(t.Context(), filesync.Automatic, day, true); err != nil || id != "10" || !unclean {
		t.Error("after an upgrade:", id, unclean, err)
	}
}

// What a file of version 4 has beside that is there as well.
func TestUpgradeOfVersion4(t *testing.T) {
	l := open(t, oldLedger(t, "version4"))
	c := connector(t, l, "c")
	for path, after := range map[string]filesync.After{
		"a": filesync.AfterNone, "d/b": filesync.AfterTrying, "owed": filesync.AfterOwed, "done": filesync.AfterDone,
		"compare": filesync.AfterCompare, "refused": filesync.AfterRefused, "unverified": filesync.AfterUnverified,
	} {
		if r := find(t, c, path); r.After != after {
			t.Errorf("after_copy of %s: %d, want %d", path, r.After, after)
		}
	}
	all, err := c.Outstanding(t.Context(), 0, 10)
	must(t, err)
	var owing []int64
	for _, r := range all {
		owing = append(owing, r.ID)
	}
	if !slices.Equal(owing, []int64{12, 21, 23}) {
		t.Error("what is owed:", owing)
	}
	if v := find(t, c, "owed").Delivery.Source.Version; v != "v" {
		t.Errorf("the version is %q", v)
	}
	if r, err := l.Request(t.Context(), "r"); err != nil || r.State != ledger.RequestAccepted {
		t.Error(r, err)
	}
	if s, err := l.Subscription(t.Context(), "s"); err != nil || s.Pending != 1 {
		t.Error(s, err)
	}
	if n, err := c.CountFruitless(t.Context(), true); err != nil || n != 3 {
		t.Error(n, err)
	}
	if k, err := c.Clock(t.Context()); err != nil || k.Since.UnixMilli() != 1772500000000 {
		t.Error(k, err)
	}
	index, err := l.Spool(t.Context(), "c")
	must(t, err)
	rows := 0
	must(t, index.Rows(t.Context(), func(r ledger.SpoolRow) error {
		if rows++; r.Name != "u.csv" || r.Object != "o" {
			t.Error(r)
		}
		return nil
	}))
	if rows != 1 {
		t.Error("rows of the spool:", rows)
	}
}

// A file of version 7 keeps what version 4 had not, its connectors are not paused, and
// can be.
func TestUpgradeOfVersion7(t *testing.T) {
	l := open(t, oldLedger(t, "version7"))
	all, err := l.Connectors(t.Context(), []string{"c"})
	must(t, err)
	c := all["c"]
	if c.WasPaused != (ledger.Pause{}) || len(c.Holds) != 1 || c.Holds[0].Hint != "Check it." {
		t.Errorf("%+v", c)
	}
	if last, err := c.Sequence(t.Context()); err != nil || last != 25 {
		t.Error(last, err)
	}
	if r, err := l.Request(t.Context(), "given up"); err != nil || r.Posting != (ledger.Posting{Tries: 3, Error: "410 Gone"}) {
		t.Errorf("%+v %v", r, err)
	}
	must(t, c.Pause(t.Context(), day, "ops", "why"))
	if p, err := c.Paused(t.Context()); err != nil || p != (ledger.Pause{Since: day, By: "ops", Reason: "why"}) {
		t.Error(p, err)
	}
}

// What is to come has room: other pairs of a connector, and more than one name at the
// destination for a version of a file.
func TestKeysHoldPairAndCopy(t *testing.T) {
	dir := t.TempDir()
	c := connector(t, open(t, dir), "c")
	d := delivery("a", 1)
	d.Key, d.After = "key", filesync.AfterOwed
	commit(t, c, d)
	_, err := c.Fail(t.Context(), []filesync.Failure{{Source: entry("f", 1), Tries: 1, Next: day, At: day}})
	must(t, err)
	must(t, c.SaveCheckpoint(t.Context(), filesync.Interrupted{Source: entry("k", 1), Checkpoint: filesync.Checkpoint{ID: "id", Prefix: 1}}))
	db := file(t, dir)
	for _, other := range []string{
		"INSERT INTO files (connector, pair, path, copy, size, mtime, target, target_time, key, adopted, after, pass, at) SELECT connector, 1, path, 0, 9, 1, '', 1, key, 0, 0, 1, 1 FROM files WHERE id = 1",
		"INSERT INTO files (connector, pair, path, copy, size, mtime, target, target_time, key, adopted, after, pass, at) SELECT connector, 1, path, 1, 9, 1, 'b', 1, key, 0, 0, 1, 1 FROM files WHERE id = 1",
		"INSERT INTO failures (connector, pair, path, size, mtime, tries, next, quarantined, conflict, error, at) SELECT connector, 1, path, 9, 1, 1, 1, 0, 0, '', 1 FROM failures",
		"INSERT INTO checkpoints (connector, pair, path, size, mtime, pending, prefix) SELECT connector, 1, path, 9, 1, 'other', 9 FROM checkpoints",
		"INSERT INTO intents (connector, pair, batch) VALUES (1, 1, '[]')",
	} {
		if _, err := db.ExecContext(t.Context(), other); err != nil {
			t.Error(other, err)
		}
	}
	if r := find(t, c, "a"); r.ID != 1 || r.Delivery.Source.Size != 1 {
		t.Errorf("%+v", r)
	}
	if owners, err := c.Owners(t.Context(), []string{"key"}); err != nil || owners[0].ID != 1 {
		t.Error(owners, err)
	}
	if r := find(t, c, "f"); r.Failure.Source.Size != 1 {
		t.Errorf("%+v", r)
	}
	if k, err := c.Checkpoints(t.Context()); err != nil || k["k"].Checkpoint.ID != "id" {
		t.Error(k, err)
	}
	if intents, err := c.Intents(t.Context()); err != nil || len(intents) != 0 {
		t.Error(intents, err)
	}
	gone(t, c, filesync.NewSeen(), day)
	must(t, c.Release(t.Context(), []string{"f"}))
	commit(t, c, delivery("a", 2))
	var files, failures int
	must(t, db.QueryRow("SELECT (SELECT count(*) FROM files WHERE pair = 1 AND gone = 0 AND size = 9), (SELECT count(*) FROM failures WHERE pair = 1)").Scan(&files, &failures))
	if files != 2 || failures != 1 {
		t.Errorf("of the other pair are left %d files and %d failures", files, failures)
	}
}
