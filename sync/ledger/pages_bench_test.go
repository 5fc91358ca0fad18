package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// crowd fills a ledger: 1,000 connectors with 1,000 files and 100 passes each, then three
// with 500,000 rows: delivered, adopted and failing.
var crowd = []string{
	counting(1000) + "INSERT INTO connectors (id, name) SELECT i, printf('c%04d', i) FROM n",
	"INSERT INTO connectors (id, name) VALUES (1001, 'delivered'), (1002, 'adopted'), (1003, 'failing')",
	"INSERT INTO leases SELECT id, '', 0, 0 FROM connectors",
	counting(1_000_000) + filling("i % 1000 + 1", 0),
	counting(500_000) + filling("1001", 0),
	counting(500_000) + filling("1002", 1),
	counting(500_000) + `INSERT INTO failures (connector, path, size, mtime, tries, next, quarantined, conflict, error, at)
		SELECT 1003, ` + crowdPath + `, i, 1772600767, 2, 1772600767000, 0, 0, 'open: permission denied', 1772600767000 + i FROM n`,
	counting(100_000) + `INSERT INTO passes (connector, mode, state, started, finished, status, counts)
		SELECT i % 1000 + 1, 'automatic', 'succeeded', 1772600767000 + i * 1000, 1772600767500 + i * 1000, 'Connection Valid', '{"seen":1000,"copied":1,"bytes":4096}' FROM n`,
	counting(1_000_000) + `INSERT INTO requests (id, connector, state, accepted, deadline, finished, token, reply_to, body, reply, posted)
		SELECT printf('request-%09d', i * 7919 % 1000003), i % 1000 + 1, 'replied', 1772600767000 + i, 1772600767000, 1772600767000 + i, 't', 'http://receiver/replies',
			'{"file_name_filter":"*.csv"}', '{"success":true,"description":"1 file copied","file_names":["a.csv"]}', 1 FROM n`,
	counting(101_000) + "INSERT INTO audit SELECT i, i, 'ops', '192.0.2.1', 'apply', printf('c%04d', i % 1000 + 1), '', 1, 200 FROM n",
}

const crowdPath = "printf('results/site-%03d/trace-%09d.csv', i * 7919 % 1000, i * 7919 % 1000003)"

// counting begins a statement on numbers i from 1.
func counting(to int) string {
	return fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", to)
}

func filling(connector string, adopted int) string {
	return fmt.Sprintf(`INSERT INTO files (connector, path, size, mtime, target, target_time, key, adopted, after, pass, at, seq)
		SELECT %s, %s, i, 1772600767, '', 1772600767, NULL, %d, 0, 7, 1772600767000 + i, i FROM n`, connector, crowdPath, adopted)
}

// BenchmarkPages is what those who look at a large ledger wait for. It fills one first,
// which takes a minute.
func BenchmarkPages(b *testing.B) {
	dir := b.TempDir()
	l, err := ledger.Open(b.Context(), dir)
	must(b, err)
	b.Cleanup(func() { l.Close() })
	db := file(b, dir)
	for _, step := range crowd {
		_, err := db.ExecContext(b.Context(), step)
		must(b, err)
	}
	for _, of := range []string{"c0500", "delivered", "adopted", "failing"} {
		c, err := l.Connector(b.Context(), of)
		must(b, err)
		for _, q := range []ledger.Query{
			{}, {State: filesync.StateDelivered}, {State: filesync.StatePresent}, {State: filesync.StateFailed}, {State: filesync.StateWaiting}, {State: filesync.StateQuarantined}, {State: filesync.StateConflict},
			{Name: "trace-0000"}, {Name: "nowhere"}, {Name: "nowhere", State: filesync.StateDelivered}, {Name: ".csv"}, {Name: "results/site-007/*"},
		} {
			b.Run(fmt.Sprintf("files/of=%s/state=%s/name=%s", of, q.State, strings.ReplaceAll(q.Name, "/", "-")), func(b *testing.B) {
				for b.Loop() {
					_, _, err := c.Files(b.Context(), q)
					must(b, err)
				}
			})
		}
		b.Run("last deliveries/of="+of, func(b *testing.B) {
			for b.Loop() {
				_, err := c.Delivered(b.Context(), 100)
				must(b, err)
			}
		})
	}
	var hundred []string
	for i := range 100 {
		hundred = append(hundred, fmt.Sprintf("c%04d", i*10+1))
	}
	b.Run("recent passes of 100", func(b *testing.B) {
		for b.Loop() {
			all, err := l.RecentPasses(b.Context(), hundred, 30)
			if must(b, err); len(all) != 100 || len(all["c0001"]) != 30 {
				b.Fatal(len(all), len(all["c0001"]))
			}
		}
	})
	for _, q := range []ledger.RequestQuery{{}, {Connector: "c0500"}, {State: "replied"}, {State: "failed"}, {State: ledger.RequestAccepted}, {Connector: "c0500", State: "failed"}, {Connector: "delivered"}} {
		b.Run(fmt.Sprintf("requests/of=%s/state=%s", q.Connector, q.State), func(b *testing.B) {
			for b.Loop() {
				_, _, err := l.RequestPage(b.Context(), q)
				must(b, err)
			}
		})
	}
	for _, of := range []string{"", "c0500", "none"} {
		b.Run("audit/of="+of, func(b *testing.B) {
			for b.Loop() {
				_, _, err := l.AuditPage(b.Context(), ledger.AuditQuery{Connector: of})
				must(b, err)
			}
		})
	}
}
