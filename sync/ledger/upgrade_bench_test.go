package ledger_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sftpconnector/sync/ledger"
)

// million is a statement that fills a table of an older version. Ids are in the order of
// delivery, which is not that of the paths.
const million = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "

var largeTables = map[string]string{
	"files": million + `INSERT INTO files (connector, path, size, mtime, target, target_time, key, adopted, after, pass, at, gone, version)
		SELECT 3, printf('results/site-%03d/trace-%09d.csv', i * 7919 % 1000, i * 7919 % 1000003), i, 1772600767, '', 1772600767,
			printf('results/site-%03d/trace-%09d.csv', i * 7919 % 1000, i * 7919 % 1000003), 0, CASE WHEN i % 10 = 0 THEN 2 ELSE 3 END, 7, 1772600767000 + i, 0, '' FROM n`,
	"failures": million + `INSERT INTO failures (connector, path, size, mtime, tries, next, quarantined, conflict, discards, error, at, version)
		SELECT 3, printf('results/site-%03d/trace-%09d.csv', i * 7919 % 1000, i * 7919 % 1000003), i, 1772600767, 5, 1772600767000, 1, 0, 0, 'open: permission denied', 1772600767000 + i, '' FROM n`,
	"requests": million + `INSERT INTO requests (id, connector, state, accepted, deadline, finished, token, reply_to, body, reply, posted)
		SELECT printf('request-%09d', i * 7919 % 1000003), 3, 'succeeded', 1772600767000 + i, 1772600767000, 1772600767000 + i, 't', 'http://receiver/replies',
			'{"file_name_filter":"*.csv"}', '{"success":true,"description":"1 file copied","file_names":["a.csv"]}', 1 FROM n`,
}

// BenchmarkUpgrade is how long the first start on a ledger of an older version takes, of
// a million rows. It fills the tables first, which takes minutes: use -benchtime=1x.
// Most of the time goes into the indexes on files, which are sorted anew.
func BenchmarkUpgrade(b *testing.B) {
	for _, version := range []int{4, 5, 6} {
		for _, table := range []string{"files", "failures", "requests"} {
			b.Run(fmt.Sprintf("version=%d/million=%s", version, table), func(b *testing.B) {
				b.StopTimer() // it takes longer to fill the tables than to upgrade them
				from := filepath.Join(largeLedger(b, version, table), "ledger.db")
				for range b.N {
					dir := b.TempDir()
					all, err := os.ReadFile(from)
					must(b, errors.Join(err, os.WriteFile(filepath.Join(dir, "ledger.db"), all, 0o600)))
					b.StartTimer()
					l, err := ledger.Open(b.Context(), dir)
					must(b, err)
					b.StopTimer()
					must(b, l.Close())
				}
			})
		}
	}
}

// largeLedger gives a directory with a ledger of an older version and a large table.
func largeLedger(b *testing.B, version int, table string) (dir string) {
	b.Helper()
	dir = oldLedger(b, "version4")
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	must(b, err)
	defer func() { must(b, db.Close()) }()
	steps := []string{largeTables[table]}
	for to := 5; to <= version; to++ {
		step, err := os.ReadFile(fmt.Sprintf("version%d.sql", to))
		must(b, err)
		steps = append(steps, string(step))
	}
	for _, step := range append(steps, fmt.Sprintf("PRAGMA user_version = %d", version)) {
		_, err := db.ExecContext(b.Context(), step)
		must(b, err)
	}
	return dir
}
