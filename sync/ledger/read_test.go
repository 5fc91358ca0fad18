package ledger

import (
	"database/sql"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	filesync "sftpconnector/sync"
)

func newLedger(t *testing.T) (*Ledger, *Connector) {
	t.Helper()
	l, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Connector(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

// However many look at the ledger, and however long that takes, a pass does not
// wait for them; and they get an answer.
func TestLookersHoldUpNobody(t *testing.T) {
	const lookers = 20
	synctest.Test(t, func(t *testing.T) {
		l, c := newLedger(t)
		defer l.Close()
		began := time.Now()
		answers := make(chan error, lookers)
		for range lookers {
			go func() {
				answers <- l.show(t.Context(), "SELECT 1 UNION ALL SELECT 2", func(*sql.Rows) error {
					time.Sleep(time.Hour) // a page that takes very long
					return nil
				})
			}()
		}
		synctest.Wait()
		if _, err := c.Find(t.Context(), []string{"a", "b"}); err != nil {
			t.Error(err)
		}
		if _, err := c.Commit(t.Context(), nil, []filesync.Delivery{{Source: filesync.Entry{Name: "a"}, Target: filesync.Entry{Name: "a"}}}); err != nil {
			t.Error(err)
		}
		if _, _, err := l.Outbox().Lanes(t.Context(), time.Now(), nil, nil, 10); err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("a pass waited %v for those who look", waited)
		}
		var slow int
		for range lookers {
			if err := <-answers; errors.Is(err, ErrSlow) {
				slow++
			} else {
				t.Error(err)
			}
		}
		if slow != lookers {
			t.Errorf("%d of %d are told that it takes too long", slow, lookers)
		}
		if _, _, err := c.Files(t.Context(), Query{}); err != nil {
			t.Error("looking does not go on:", err)
		}
	})
}

// Pages come in their order from an index, and what a pass reads of all rows
// stands in one.
func TestPlans(t *testing.T) {
	l, _ := newLedger(t)
	defer l.Close()
	for query, want := range map[string]string{
		"SELECT " + fileColumns + " FROM files WHERE connector = 1 AND id < 9 AND path GLOB '*x*' AND adopted = 0 ORDER BY id DESC LIMIT 100":        "files_by_connector",
		"SELECT " + failureColumns + " FROM failures WHERE connector = 1 AND id < 9 AND quarantined = 0 AND conflict = 1 ORDER BY id DESC LIMIT 100": "failures_by_connector",
		"SELECT " + failureColumns + " FROM failures WHERE connector = 1 AND id < 9 AND discards > 0 AND discards < 3 ORDER BY id DESC LIMIT 100":    "failures_discarded",
		"SELECT rowid FROM requests r WHERE rowid < 9 AND state = 'x' ORDER BY rowid DESC LIMIT 100":                                                 "requests_by_state",
		"SELECT rowid FROM requests r WHERE rowid < 9 AND connector = 1 AND +state = 'x' ORDER BY rowid DESC LIMIT 100":                              "requests_by_connector",
		"SELECT id, gone FROM files WHERE connector = 1":                                                                                                       "COVERING INDEX files_by_gone",
		"SELECT rowid, gone FROM files WHERE connector = 1 AND gone > 0 AND gone < 9 AND gone >= 0 ORDER BY gone LIMIT 9":                                      "COVERING INDEX files_by_gone",
		"SELECT rowid, started FROM passes WHERE connector = 1 AND started < 9 AND state <> 'running' AND started >= 0 ORDER BY started LIMIT 9":               "passes_by_age",
		"SELECT rowid, rowid FROM requests WHERE connector = 1 AND finished > 0 AND finished < 9 AND " + noReplyDue + " AND rowid >= 0 ORDER BY rowid LIMIT 9": "requests_by_connector",
		"SELECT min(next) FROM outbox WHERE tries > 0 AND next > 1 AND next <= 9":                                                                              "outbox_tried",
	} {
		var plan []string
		err := l.each(t.Context(), "EXPLAIN QUERY PLAN "+query, func(rows *sql.Rows) error {
			var id, parent, unused int
			var detail string
			err := rows.Scan(&id, &parent, &unused, &detail)
			plan = append(plan, detail)
			return err
		})
		if text := strings.Join(plan, "; "); err != nil || !strings.Contains(text, want) || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("%s\n%s, want %s; %v", query, text, want, err)
		}
	}
}

// The write-ahead log stays small while there is no moment without readers.
func TestLogIsBoundedWhileReadersOverlap(t *testing.T) {
	l, c := newLedger(t)
	defer l.Close()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := c.Files(t.Context(), Query{Limit: 20}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var largest int64
	for n := range 70 {
		batch := make([]filesync.Delivery, 128)
		for i := range batch {
			e := filesync.Entry{Name: strings.Repeat("directory/", 200) + string(rune('a'+n%26)) + time.Unix(int64(n*1000+i), 0).UTC().Format(time.RFC3339)}
			batch[i] = filesync.Delivery{Source: e, Target: e}
		}
		if _, err := c.Commit(t.Context(), nil, batch); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(l.path + "-wal"); err == nil {
			largest = max(largest, info.Size())
		}
	}
	close(stop)
	readers.Wait()
	t.Logf("at most %d MB", largest>>20)
	if largest > 2*maxLog {
		t.Errorf("the write-ahead log grew to %d MB, want %d at the most", largest>>20, 2*maxLog>>20)
	}
}
