package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	filesync "sftpconnector/sync"
)

// ofPair says of rows that they are of a connector, which is its argument, and of its pair
// of a source and a destination: there is one, as yet.
const ofPair = "connector = ? AND pair = 0"

// records is what the ledger knows of paths: the delivery of each, and its failure.
type records struct{ *part }

const fileColumns = "id, path, size, mtime, target, target_time, coalesce(key, ''), adopted, " + afterColumn + ", pass, at, gone, version, seq"

// scanFile reads fileColumns.
func scanFile(row interface{ Scan(...any) error }) (filesync.Record, error) {
	var r filesync.Record
	d := &r.Delivery
	var mtime, targetTime, pass, at, gone int64
	err := row.Scan(&r.ID, &d.Source.Name, &d.Source.Size, &mtime, &d.Target.Name, &targetTime, &d.Key,
		&d.Adopted, &r.After, &pass, &at, &gone, &d.Source.Version, &d.Sequence)
	if d.Target.Name == "" {
		d.Target.Name = d.Source.Name
	}
	d.Target.Size = d.Source.Size
	d.Source.ModTime, d.Target.ModTime = seconds(mtime), seconds(targetTime)
	d.Pass, d.At, d.After = strconv.FormatInt(pass, 10), millis(at), r.After
	r.Gone = gone > 0
	return r, err
}

const failureColumns = "id, path, size, mtime, tries, next, quarantined, conflict, discards, error, at, version"

// scanFailure reads failureColumns.
func scanFailure(row interface{ Scan(...any) error }) (int64, filesync.Failure, error) {
	var id, mtime, next, at int64
	var f filesync.Failure
	err := row.Scan(&id, &f.Source.Name, &f.Source.Size, &mtime, &f.Tries, &next, &f.Quarantined, &f.Conflict, &f.Discards, &f.Error, &at, &f.Source.Version)
	f.Source.ModTime, f.Next, f.At = seconds(mtime), millis(next), millis(at)
	return id, f, err
}

// Find implements transfer.Ledger.
func (c records) Find(ctx context.Context, paths []string) ([]filesync.Record, error) {
	found := make(map[string]filesync.Record, len(paths))
	list, err := json.Marshal(paths)
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, "SELECT "+fileColumns+" FROM files WHERE "+ofPair+" AND path IN (SELECT value FROM json_each(?))",
		func(rows *sql.Rows) error {
			r, err := scanFile(rows)
			found[r.Delivery.Source.Name] = r
			return err
		}, c.id, string(list))
	if err != nil {
		return nil, fmt.Errorf("ledger: find files: %w", err)
	}
	err = c.each(ctx, "SELECT "+failureColumns+" FROM failures WHERE "+ofPair+" AND path IN (SELECT value FROM json_each(?))",
		func(rows *sql.Rows) error {
			id, f, err := scanFailure(rows)
			r := found[f.Source.Name]
			r.FailureID, r.Failure = id, f
			found[f.Source.Name] = r
			return err
		}, c.id, string(list))
	if err != nil {
		return nil, fmt.Errorf("ledger: find failures: %w", err)
	}
	records := make([]filesync.Record, len(paths)) // one path may be asked for twice
	for i, p := range paths {
		records[i] = found[p]
	}
	return records, nil
}

// Owners implements transfer.Ledger.
func (c records) Owners(ctx context.Context, keys []string) ([]filesync.Record, error) {
	owners := make([]filesync.Record, len(keys))
	byKey := map[string]filesync.Record{}
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	// The living row of a name comes last, and so stays in the map.
	err = c.each(ctx, "SELECT "+fileColumns+" FROM files WHERE "+ofPair+" AND key IN (SELECT value FROM json_each(?)) ORDER BY gone = 0 AND after <> 3, seq, at",
		func(rows *sql.Rows) error {
			r, err := scanFile(rows)
			byKey[r.Delivery.Key] = r
			return err
		}, c.id, string(list))
	if err != nil {
		return nil, fmt.Errorf("ledger: find owners: %w", err)
	}
	for i, k := range keys {
		owners[i] = byKey[k]
	}
	return owners, nil
}

// Fail implements transfer.Ledger.
func (c records) Fail(ctx context.Context, batch []filesync.Failure) ([]int64, error) {
	ids := make([]int64, len(batch))
	err := c.write(ctx, len(batch), func(tx *sql.Tx, sequence int64) error {
		for i, f := range batch {
			err := tx.QueryRowContext(ctx, `INSERT INTO failures (connector, path, size, mtime, tries, next, quarantined, conflict, discards, error, at, version, seq)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (connector, pair, path) DO UPDATE SET size = excluded.size, mtime = excluded.mtime, tries = excluded.tries,
					next = excluded.next, quarantined = excluded.quarantined, conflict = excluded.conflict, discards = excluded.discards, error = excluded.error, at = excluded.at, version = excluded.version, seq = excluded.seq
				RETURNING id`,
				c.id, f.Source.Name, f.Source.Size, unix(f.Source.ModTime), f.Tries, f.Next.UnixMilli(), f.Quarantined, f.Conflict, f.Discards, f.Error, f.At.UnixMilli(), f.Source.Version, sequence+int64(i)).Scan(&ids[i])
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: fail: %w", err)
	}
	return ids, nil
}

// Release implements pass.Ledger.
func (c records) Release(ctx context.Context, paths []string) error {
	list, err := json.Marshal(paths)
	if err != nil {
		return err
	}
	return c.exec(ctx, "release", "DELETE FROM failures WHERE "+ofPair+" AND path IN (SELECT value FROM json_each(?))", c.id, string(list))
}

// Gone implements pass.Ledger. Others may write beside it: what each statement
// changes has to be still as it was read.
func (c records) Gone(ctx context.Context, seen *filesync.Seen, since int64, at time.Time) error {
	var went, back []int64
	if err := c.marks(ctx, "SELECT id, gone FROM files WHERE "+ofPair, func(id, gone int64) {
		switch there := seen.Row(id); {
		case !there && gone == 0:
			went = append(went, id)
		case there && gone > 0:
			back = append(back, id)
		}
	}); err != nil {
		return err
	}
	var released []int64
	if err := c.marks(ctx, "SELECT id, 0 FROM failures WHERE "+ofPair, func(id, _ int64) {
		if !seen.Failure(id) {
			released = append(released, id)
		}
	}); err != nil {
		return err
	}
	if !seen.Unlisted.Empty() {
		var err error
		if went, err = c.listed(ctx, "files", went, &seen.Unlisted); err != nil {
			return err
		}
		if released, err = c.listed(ctx, "failures", released, &seen.Unlisted); err != nil {
			return err
		}
	}
	if err := c.markGone(ctx, went, at, since); err != nil {
		return err
	}
	if err := c.inChunks(ctx, "files that came back", "UPDATE files SET gone = 0 WHERE gone > 0 AND id IN (SELECT value FROM json_each(?))", back); err != nil {
		return err
	}
	return c.inChunks(ctx, "gone failures", "DELETE FROM failures WHERE seq <= ? AND id IN (SELECT value FROM json_each(?))", released, since)
}

// markGone marks rows of files as gone; they owe nothing any more.
func (c records) markGone(ctx context.Context, ids []int64, at time.Time, since int64) error {
	for chunk := range slices.Chunk(ids, chunkRows) {
		list, err := json.Marshal(chunk)
		if err != nil {
			return err
		}
		err = c.write(ctx, 0, func(tx *sql.Tx, _ int64) error {
			_, err := tx.ExecContext(ctx, `UPDATE files SET gone = ?, after = CASE after WHEN ? THEN ? ELSE after END
				WHERE gone = 0 AND seq <= ? AND id IN (SELECT value FROM json_each(?))`, at.UnixMilli(), filesync.AfterOwed, filesync.AfterDone, since, string(list))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "DELETE FROM owed WHERE file IN (SELECT id FROM files WHERE gone > 0 AND id IN (SELECT value FROM json_each(?)))", string(list))
			return err
		})
		if err != nil {
			return fmt.Errorf("ledger: gone files: %w", err)
		}
	}
	return nil
}

// listed gives those of the rows whose paths do not lie where nobody looked.
func (c records) listed(ctx context.Context, table string, ids []int64, unlisted *filesync.Unlisted) ([]int64, error) {
	kept := ids[:0]
	for chunk := range slices.Chunk(ids, chunkRows) {
		list, err := json.Marshal(chunk)
		if err != nil {
			return nil, err
		}
		err = c.each(ctx, "SELECT id, path FROM "+table+" WHERE id IN (SELECT value FROM json_each(?))", func(rows *sql.Rows) error {
			var id int64
			var path string
			err := rows.Scan(&id, &path)
			if err == nil && !unlisted.Covers(path) {
				kept = append(kept, id)
			}
			return err
		}, string(list))
		if err != nil {
			return nil, fmt.Errorf("ledger: gone: %w", err)
		}
	}
	return kept, nil
}

// marks calls f for each row of a query: its id, and since when it is gone.
func (c records) marks(ctx context.Context, query string, f func(id, gone int64)) error {
	err := c.each(ctx, query, func(rows *sql.Rows) error {
		var id, gone int64
		if err := rows.Scan(&id, &gone); err != nil {
			return err
		}
		f(id, gone)
		return nil
	}, c.id)
	if err != nil {
		return fmt.Errorf("ledger: gone: %w", err)
	}
	return nil
}

// Retry releases quarantined files: the named ones, or all for none. Their
// tries start anew. It gives the names that were released.
func (c records) Retry(ctx context.Context, paths []string) ([]string, error) {
	released := []string{}
	list, err := json.Marshal(paths)
	if err != nil {
		return nil, err
	}
	err = c.write(ctx, 0, func(tx *sql.Tx, _ int64) error {
		rows, err := tx.QueryContext(ctx, `DELETE FROM failures WHERE connector = ? AND quarantined
			AND (? = 0 OR path IN (SELECT value FROM json_each(?))) RETURNING path`, c.id, len(paths), string(list))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p string
			if err := rows.Scan(&p); err != nil {
				return err
			}
			released = append(released, p)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: retry: %w", err)
	}
	return released, nil
}

// Clear forgets all files of the connector, as if none had ever been delivered or
// had failed. What lies at the destination of files that are not delivered yet
// stays known: interrupted copies go on, and what a killed pass left is removed.
func (c records) Clear(ctx context.Context) error {
	err := c.write(ctx, 0, func(tx *sql.Tx, _ int64) error {
		for _, table := range []string{"owed", "files", "failures"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE connector = ?", c.id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: clear: %w", err)
	}
	return nil
}

// Times in the ledger are whole numbers since 1970; a time that the server did
// not give is the smallest of them.
const noTime = -1 << 62

func unix(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.Unix()
}

func seconds(s int64) time.Time {
	if s == noTime {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func millis(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
