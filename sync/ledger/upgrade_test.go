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
var versions = []string{"version1", "version4"}

// oldLedger gives a directory with a ledger of an older version.
func oldLedger(t *testing.T, version string) (dir string) {
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
		if err != nil || len(intents[14]) != 1 || intents[14][0].PendingID != "p" {
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
