package ledger_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// file opens the ledger file beside the ledger.
func file(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db")+"?_pragma=busy_timeout(30000)")
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// expired fills a connector with rows that the retention removes, and gives how
// many are left of them.
func expired(t *testing.T, db *sql.DB, n int) (left func() map[string]int) {
	t.Helper()
	const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
	for _, insert := range []string{
		"INSERT INTO files (connector, path, size, mtime, target, target_time, adopted, after, pass, at, gone) SELECT 1, printf('%06d', i), 1, 1, '', 1, 0, 0, 1, 1, 7 FROM n",
		"INSERT INTO passes (connector, mode, state, started) SELECT 1, 'automatic', 'succeeded', 7 FROM n",
		"INSERT INTO requests (id, connector, state, accepted, deadline, finished, token, reply_to, body) SELECT i, 1, 'replied', 1, 1, 7, '', '', '' FROM n",
		"INSERT INTO deliveries (connector, path, size, mtime, target, adopted, at) SELECT 1, i, 1, 1, '', 0, 7 FROM n",
	} {
		_, err := db.Exec(numbers+insert, n)
		must(t, err)
	}
	return func() map[string]int {
		all := map[string]int{}
		for _, table := range []string{"files", "passes", "requests", "deliveries"} {
			var n int
			must(t, db.QueryRow("SELECT count(*) FROM "+table).Scan(&n))
			all[table] = n
		}
		return all
	}
}

// What was removed stays removed when the rest cannot be, or there is no time for it.
func TestForgetInParts(t *testing.T) {
	const rows = 9000
	for _, table := range []string{"files", "passes", "requests", "deliveries"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := connector(t, open(t, dir), "c")
			db := file(t, dir)
			left := expired(t, db, rows)
			_, err := db.Exec(fmt.Sprintf("CREATE TRIGGER stop BEFORE DELETE ON %s WHEN old.rowid = %d BEGIN SELECT raise(ABORT, 'no time'); END", table, rows-1))
			must(t, err)
			if err := c.Forget(t.Context(), day); err == nil || !strings.Contains(err.Error(), "no time") {
				t.Fatal(err)
			}
			if n := left()[table]; n == 0 || n > rows/2 {
				t.Errorf("%d of %d rows are left when the last ones cannot be removed", n, rows)
			}
			_, err = db.Exec("DROP TRIGGER stop")
			must(t, err)
			must(t, c.Forget(t.Context(), day))
			for table, n := range left() {
				if n != 0 {
					t.Errorf("%d rows are left of %s", n, table)
				}
			}
		})
	}
}

// Other programs write to the file while a large part of it is removed.
func TestOthersWriteWhileMuchIsForgotten(t *testing.T) {
	dir := t.TempDir()
	c := connector(t, open(t, dir), "c")
	other := connector(t, open(t, dir), "other")
	left := expired(t, file(t, dir), 20_000)
	ended := make(chan error, 1)
	go func() { ended <- c.Forget(t.Context(), day) }()
	for n := 0; ; n++ {
		commit(t, other, delivery(fmt.Sprint(n), 1))
		select {
		case err := <-ended:
			must(t, err)
			if got := left()["files"]; got != n+1 {
				t.Errorf("%d files are left, want the %d that came meanwhile", got, n+1)
			}
			return
		default:
		}
	}
}

// A reply that is to be posted is not removed, however old it is, and a request
// that has no answer neither.
func TestUnsentRepliesAreKept(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	for _, id := range []string{"open", "running", "unsent", "failing", "sent", "given up", "asked for"} {
		r := asked(id, "http://receiver")
		if id == "asked for" {
			r.ReplyTo = ""
		}
		_, _, err := l.AcceptRequest(t.Context(), r)
		must(t, err)
		if id == "open" {
			continue
		}
		_, err = l.RunRequest(t.Context(), id)
		must(t, err)
		if id == "running" {
			continue
		}
		_, err = l.FinishRequest(t.Context(), id, "replied", "{}", day)
		must(t, err)
	}
	must(t, l.ReplyPosted(t.Context(), "sent"))
	must(t, l.Outbox().Failed(t.Context(), row(ledger.KindReply, "failing", 1000), day.Add(time.Hour), "refused"))
	must(t, l.Outbox().Failed(t.Context(), row(ledger.KindReply, "given up", 1), time.Time{}, "410 Gone"))
	must(t, c.Forget(t.Context(), day.AddDate(50, 0, 0)))
	for id, want := range map[string]bool{"open": true, "running": true, "unsent": true, "failing": true, "sent": false, "given up": false, "asked for": false} {
		if r, _ := l.Request(t.Context(), id); (r.ID != "") != want {
			t.Errorf("%s: kept %v, want %v", id, r.ID != "", want)
		}
	}
}

// Another source is noticed at once, however many rows there are of the one before.
func TestBindInParts(t *testing.T) {
	dir := t.TempDir()
	c := connector(t, open(t, dir), "c")
	db := file(t, dir)
	expired(t, db, 5000)
	_, err := db.Exec("UPDATE files SET after = CASE id % 5 WHEN 0 THEN 0 WHEN 3 THEN 3 ELSE 1 END; INSERT INTO owed (file, connector, after) SELECT id, connector, id % 5 FROM files WHERE id % 5 IN (1, 2, 4)")
	must(t, err)
	must(t, c.Bind(t.Context(), "before"))
	must(t, c.Bind(t.Context(), "after"))
	var done, refused int
	must(t, db.QueryRow("SELECT sum(after = ?), sum(after = ?) FROM files", filesync.AfterDone, filesync.AfterRefused).Scan(&done, &refused))
	if done != 1000 || refused != 4000 {
		t.Errorf("%d done, %d refused", done, refused)
	}
	if owing, err := c.Outstanding(t.Context(), 0, 10); err != nil || len(owing) != 0 {
		t.Error("owed to the source before:", owing, err)
	}
}

func TestClockIsKept(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	c := connector(t, l, "c")
	if k, err := c.Clock(t.Context()); err != nil || k != (ledger.Clock{}) {
		t.Error(k, err)
	}
	want := ledger.Clock{Since: day, Seen: day.Add(time.Hour)}
	must(t, c.SetClock(t.Context(), ledger.Clock{Since: day, Seen: day}))
	must(t, c.SetClock(t.Context(), want))
	must(t, l.Close())
	if k, err := connector(t, open(t, dir), "c").Clock(t.Context()); err != nil || k != want {
		t.Error(k, err)
	}
}
