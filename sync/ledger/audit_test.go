package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sftpconnector/sync/ledger"
)

// Pages of the audit, one after the other, are all of it: newest first, of one connector
// or of all, through reopenings.
func TestAuditPages(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	var want []ledger.AuditEntry // newest first
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(0, 3).Draw(t, "more") {
			e := ledger.AuditEntry{ID: fmt.Sprint(len(want) + 1), At: day.Add(time.Duration(rapid.IntRange(-9, 9).Draw(t, "at")) * time.Second),
				Who: rapid.SampledFrom([]string{"", "ops", "who\x00\xff"}).Draw(t, "who"), Address: "192.0.2.1", Action: "apply",
				Connector: rapid.SampledFrom([]string{"", "c", "d", "spaces/s"}).Draw(t, "connector"),
				Detail:    rapid.String().Draw(t, "detail"), OK: rapid.Bool().Draw(t, "ok"), Status: rapid.IntRange(200, 599).Draw(t, "status")}
			ok(t, l.Audit(context.Background(), e))
			want = slices.Insert(want, 0, e)
		}
		q := ledger.AuditQuery{Connector: rapid.SampledFrom([]string{"", "c", "spaces/s", "none"}).Draw(t, "of"), Limit: rapid.IntRange(1, 5).Draw(t, "limit")}
		var got, of []ledger.AuditEntry
		for pages := 0; ; pages++ {
			page, next, err := l.AuditPage(context.Background(), q)
			ok(t, err)
			if got = append(got, page...); next == "" {
				break
			}
			if q.Cursor = next; len(page) != q.Limit || pages > len(want) {
				t.Fatalf("a page of %d, and then %q", len(page), next)
			}
		}
		for _, e := range want {
			if q.Connector == "" || e.Connector == q.Connector {
				of = append(of, e)
			}
		}
		if !slices.Equal(got, of) {
			t.Fatalf("%+v\nwant %+v", got, of)
		}
	})
	must(t, l.Close())
	page, _, err := open(t, dir).AuditPage(t.Context(), ledger.AuditQuery{})
	if err != nil || !slices.Equal(page, want[:min(100, len(want))]) {
		t.Errorf("after a restart: %+v %v", page, err)
	}
	if _, _, err := open(t, dir).AuditPage(t.Context(), ledger.AuditQuery{Cursor: "x"}); err == nil || !strings.Contains(err.Error(), "not one of ours") {
		t.Error(err)
	}
}

// The newest 100,000 entries are kept, and hardly more.
func TestAuditIsBounded(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	db := file(t, dir)
	_, err := db.Exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100998)
		INSERT INTO audit SELECT i, i, 'ops', '', 'apply', 'c', '', 1, 200 FROM n`)
	must(t, err)
	wantRows := func(first, last int) {
		t.Helper()
		var least, greatest int
		must(t, db.QueryRow("SELECT min(id), max(id) FROM audit").Scan(&least, &greatest))
		if least != first || greatest != last {
			t.Errorf("rows %d to %d, want %d to %d", least, greatest, first, last)
		}
	}
	for range 2 {
		must(t, l.Audit(t.Context(), ledger.AuditEntry{At: day}))
	}
	wantRows(1001, 101_000)
	must(t, l.Audit(t.Context(), ledger.AuditEntry{At: day}))
	wantRows(1001, 101_001)
}
