package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	filesync "sftpconnector/sync"
)

// afterColumn is how far after_copy has come for a row of files. While something is to be
// done, the row says AfterOwed, and a row of the table owed says how far it has come: that
// table is short, and is quickly gone through and written to.
const afterColumn = "CASE after WHEN 1 THEN coalesce((SELECT o.after FROM owed o WHERE o.file = files.id), 1) ELSE after END"

// originals says which originals are to be removed or moved. It implements
// transfer.Originals.
type originals struct{ *part }

// owed reports whether something is to be done yet.
func owed(after filesync.After) bool {
	switch after {
	case filesync.AfterOwed, filesync.AfterTrying, filesync.AfterCompare:
		return true
	}
	return false
}

// inFiles is what the row of the file itself says of after_copy.
func inFiles(after filesync.After) int64 {
	if owed(after) {
		return int64(filesync.AfterOwed)
	}
	return int64(after)
}

// Outstanding implements transfer.Originals.
func (c originals) Outstanding(ctx context.Context, from int64, limit int) ([]filesync.Record, error) {
	var recs []filesync.Record
	err := c.each(ctx, "SELECT "+fileColumns+" FROM files WHERE id IN (SELECT file FROM owed WHERE "+ofPair+" AND file > ? ORDER BY file LIMIT ?) ORDER BY id",
		func(rows *sql.Rows) error {
			r, err := scanFile(rows)
			recs = append(recs, r)
			return err
		}, c.id, from, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: outstanding: %w", err)
	}
	return recs, nil
}

// SetAfter implements transfer.Originals.
func (c originals) SetAfter(ctx context.Context, ids []int64, after filesync.After) error {
	if len(ids) == 0 {
		return nil
	}
	err := c.write(ctx, 0, func(tx *sql.Tx, _ int64) error { return c.setAfter(ctx, tx, ids, after) })
	if err != nil {
		return fmt.Errorf("ledger: after_copy: %w", err)
	}
	return nil
}

// SetAfterIf implements transfer.Originals.
func (c originals) SetAfterIf(ctx context.Context, read map[int64]filesync.After, after filesync.After) ([]int64, error) {
	if len(read) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(read)
	if err != nil {
		return nil, err
	}
	var changed []int64
	err = c.write(ctx, 0, func(tx *sql.Tx, _ int64) error {
		// The + keeps SQLite from going through all rows of the connector.
		rows, err := tx.QueryContext(ctx, `SELECT files.id FROM json_each(?) AS was JOIN files ON files.id = CAST(was.key AS INTEGER)
			WHERE +files.connector = ? AND was.value = `+afterColumn, string(list), c.id)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			changed = append(changed, id)
		}
		if err := rows.Err(); err != nil || len(changed) == 0 {
			return err
		}
		return c.setAfter(ctx, tx, changed, after)
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: after_copy: %w", err)
	}
	return changed, nil
}

// setAfter records how far after_copy has come for rows of files.
func (c originals) setAfter(ctx context.Context, tx *sql.Tx, ids []int64, after filesync.After) error {
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	change, args := "DELETE FROM owed WHERE file IN (SELECT value FROM json_each(?)) AND +connector = ?", []any{string(list), c.id}
	if owed(after) {
		change = `INSERT INTO owed (file, connector, after) SELECT id, connector, ? FROM files
			WHERE id IN (SELECT value FROM json_each(?)) AND +connector = ? ON CONFLICT (file) DO UPDATE SET after = excluded.after`
		args = append([]any{int64(after)}, args...)
	}
	if _, err := tx.ExecContext(ctx, change, args...); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE files SET after = ? WHERE id IN (SELECT value FROM json_each(?)) AND +connector = ? AND after <> ?",
		inFiles(after), string(list), c.id, inFiles(after))
	return err
}

// owe records what new rows of files owe. What older versions of the replaced ones owed
// is not owed any more.
func (c originals) owe(ctx context.Context, tx *sql.Tx, batch []filesync.Delivery, ids, replaced []int64) error {
	if len(replaced) > 0 {
		list, err := json.Marshal(replaced)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM owed WHERE file IN (SELECT value FROM json_each(?))", string(list)); err != nil {
			return err
		}
	}
	owes := map[int64]filesync.After{}
	for i, d := range batch {
		if delete(owes, ids[i]); owed(d.After) {
			owes[ids[i]] = d.After
		}
	}
	if len(owes) == 0 {
		return nil
	}
	list, err := json.Marshal(owes)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO owed (file, connector, after) SELECT CAST(key AS INTEGER), ?, value FROM json_each(?)", c.id, string(list))
	return err
}

// refuseOwed gives up what the deliveries of another source than today's owe. Ended in
// the middle, it does the rest the next time.
func (c originals) refuseOwed(ctx context.Context) error {
	open := rowsOf{"id", "after NOT IN (?, ?, ?)", []any{filesync.AfterDone, filesync.AfterRefused, filesync.AfterUnverified}}
	if err := c.inParts(ctx, "files", open, fmt.Sprintf("UPDATE files SET after = %d", filesync.AfterRefused)); err != nil {
		return err
	}
	return c.inParts(ctx, "owed", rowsOf{"file", "true", nil}, "DELETE FROM owed")
}
