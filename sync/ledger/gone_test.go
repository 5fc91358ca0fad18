package ledger_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	filesync "sftpconnector/sync"
)

// A listing says nothing of what was written after it had begun, whatever the clock says.
func TestGoneIsWhatWasThereBefore(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	for _, each := range []struct {
		name  string
		since bool // it was written since the listing began
		at    time.Time
		seen  bool
		gone  bool
	}{
		{name: "missed", gone: true},
		{name: "missed, by a clock that was set back", at: day.Add(24 * time.Hour), gone: true},
		{name: "listed", seen: true},
		{name: "delivered since", since: true},
		{name: "delivered since, by a clock that was set back", since: true, at: day.Add(-24 * time.Hour)},
		{name: "listed and delivered since", since: true, seen: true},
	} {
		t.Run(each.name, func(t *testing.T) {
			since, err := c.Sequence(t.Context())
			must(t, err)
			d := delivery(each.name, 1)
			d.At, d.After = day.Add(time.Hour), filesync.AfterOwed
			if !each.at.IsZero() {
				d.At = each.at
			}
			commit(t, c, d)
			failing := "failing " + each.name
			_, err = c.Fail(t.Context(), []filesync.Failure{{Source: entry(failing, 1), Tries: 1, Next: day, At: d.At}})
			must(t, err)
			if !each.since {
				since, err = c.Sequence(t.Context())
				must(t, err)
			}
			seen := filesync.NewSeen()
			if each.seen {
				seen.Add(find(t, c, each.name))
				seen.Add(find(t, c, failing))
			}
			must(t, c.Gone(t.Context(), seen, since, day.Add(2*time.Hour)))
			after := filesync.AfterOwed
			if each.gone {
				after = filesync.AfterDone
			}
			if r := find(t, c, each.name); r.Gone != each.gone || r.After != after {
				t.Errorf("gone %v, after %v", r.Gone, r.After)
			}
			if r := find(t, c, failing); (r.FailureID == 0) != each.gone {
				t.Errorf("the failure: %+v", r)
			}
			must(t, c.Release(t.Context(), []string{failing}))
		})
	}
}

// What another pass writes between the reading of the rows and their writing
// stays. A trigger plays that pass: it comes with the first row that goes.
func TestGoneBesideAnotherPass(t *testing.T) {
	dir := t.TempDir()
	c := connector(t, open(t, dir), "c")
	commit(t, c, delivery("goes", 1), delivery("back", 1))
	seen := filesync.NewSeen()
	seen.Add(find(t, c, "goes"))
	gone(t, c, seen, day.Add(time.Hour))
	if !find(t, c, "back").Gone {
		t.Fatal("there is none to come back")
	}
	_, err := c.Fail(t.Context(), []filesync.Failure{{Source: entry("fails again", 1), Tries: 1, Next: day, At: day}})
	must(t, err)
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	must(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `CREATE TRIGGER other_pass AFTER UPDATE ON files WHEN new.path = 'goes' BEGIN
		UPDATE files SET gone = 0, seq = 1 << 50 WHERE path = 'back';
		UPDATE failures SET seq = 1 << 50;
	END`)
	must(t, err)

	seen = filesync.NewSeen()
	seen.Add(find(t, c, "back"))
	gone(t, c, seen, day.Add(3*time.Hour))
	if !find(t, c, "goes").Gone {
		t.Error("it did not go")
	}
	if find(t, c, "back").Gone {
		t.Error("what was delivered as it came back is gone")
	}
	if find(t, c, "fails again").FailureID == 0 {
		t.Error("the new failure is forgotten")
	}
}

// What came back is there, and is closed still if it was.
func TestFileComesBack(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	d := delivery("x", 1)
	d.After = filesync.AfterOwed
	commit(t, c, d)
	seen := filesync.NewSeen()
	for i, missed := range []bool{true, false, true, true, false, false} {
		if !missed {
			seen.Add(find(t, c, "x"))
		} else {
			seen = filesync.NewSeen()
		}
		at := day.Add(time.Duration(i+1) * time.Hour)
		gone(t, c, seen, at)
		if r := find(t, c, "x"); r.Gone != missed || r.After != filesync.AfterDone {
			t.Errorf("listing %d: %+v", i, r)
		}
	}
}

// What lies where the pass did not look is left alone.
func TestGoneOnlyWhereItWasLooked(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	names := []string{"a", "dark/a", "dark/deep/a", "darker", "light/a"}
	for _, name := range names {
		commit(t, c, delivery(name, 1))
		_, err := c.Fail(t.Context(), []filesync.Failure{{Source: entry("failing/"+name, 1), Tries: 1, Next: day, At: day}})
		must(t, err)
	}
	seen := filesync.NewSeen()
	seen.Unlisted.Add("dark")
	seen.Unlisted.Add("failing/dark")
	gone(t, c, seen, day.Add(time.Hour))
	for _, name := range names {
		dark := strings.HasPrefix(name, "dark/")
		if r := find(t, c, name); r.Gone == dark {
			t.Errorf("%s is gone: %v", name, r.Gone)
		}
		if r := find(t, c, "failing/"+name); (r.FailureID != 0) != dark {
			t.Errorf("the failure of %s is there: %v", name, r.FailureID != 0)
		}
	}
}
