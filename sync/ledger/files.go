package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	filesync "sftpconnector/sync"
)

// A *Connector is the memory of a pass.
var _ filesync.Ledger = (*Connector)(nil)

const fileColumns = "id, path, size, mtime, target, target_time, coalesce(key, ''), adopted, after, pass, at, gone, version"

// scanFile reads fileColumns.
func scanFile(row interface{ Scan(...any) error }) (filesync.Record, error) {
	var r filesync.Record
	d := &r.Delivery
	var mtime, targetTime, pass, at, gone int64
	err := row.Scan(&r.ID, &d.Source.Name, &d.Source.Size, &mtime, &d.Target.Name, &targetTime, &d.Key,
		&d.Adopted, &r.After, &pass, &at, &gone, &d.Source.Version)
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

// Find implements sync.Ledger.
func (c *Connector) Find(ctx context.Context, paths []string) ([]filesync.Record, error) {
	found := make(map[string]filesync.Record, len(paths))
	list, err := json.Marshal(paths)
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, "SELECT "+fileColumns+" FROM files WHERE connector = ? AND path IN (SELECT value FROM json_each(?))",
		func(rows *sql.Rows) error {
			r, err := scanFile(rows)
			found[r.Delivery.Source.Name] = r
			return err
		}, c.id, string(list))
	if err != nil {
		return nil, fmt.Errorf("ledger: find files: %w", err)
	}
	err = c.each(ctx, "SELECT "+failureColumns+" FROM failures WHERE connector = ? AND path IN (SELECT value FROM json_each(?))",
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

// Owners implements sync.Ledger.
func (c *Connector) Owners(ctx context.Context, keys []string) ([]filesync.Record, error) {
	owners := make([]filesync.Record, len(keys))
	byKey := map[string]filesync.Record{}
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	// The living row of a name comes last, and so stays in the map.
	err = c.each(ctx, "SELECT "+fileColumns+" FROM files WHERE connector = ? AND key IN (SELECT value FROM json_each(?)) ORDER BY gone = 0 AND after <> 3, at",
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

// intent is a Delivery as the journal keeps it.
type intent struct {
	Path       string
	Size, Time int64
	Version    string `json:",omitempty"`
	Target     string `json:",omitempty"` // "" when it is the path
	TargetTime int64
	Key        string `json:",omitempty"`
	Pass       string
	At         int64
	Pending    string
	Begun      bool      `json:",omitempty"` // of a file that was foretold
	Adopted    bool      `json:",omitempty"`
	Replaces   *replaced `json:",omitempty"`
	After      filesync.After
}

// replaced is what stood under the name of an intent.
type replaced struct{ Size, Time int64 }

// Intend implements sync.Ledger.
func (c *Connector) Intend(ctx context.Context, batch []filesync.Delivery) (int64, error) {
	ids, err := c.intend(ctx, batch)
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// Foretell implements sync.Ledger.
func (c *Connector) Foretell(ctx context.Context, files []filesync.Delivery) ([]int64, error) {
	return c.intend(ctx, slices.Collect(slices.Chunk(files, 1))...)
}

// Begun implements sync.Ledger.
func (c *Connector) Begun(ctx context.Context, intents []int64) error {
	return c.inChunks(ctx, "begun", `UPDATE intents SET batch = json_set(batch, '$[0].Begun', json('true'))
		WHERE connector = ? AND id IN (SELECT value FROM json_each(?))`, intents, c.id)
}

// intend journals batches in one transaction, and gives their ids.
func (c *Connector) intend(ctx context.Context, batches ...[]filesync.Delivery) ([]int64, error) {
	ids := make([]int64, len(batches))
	err := c.ledger.update(ctx, func(tx *sql.Tx) error {
		for i, batch := range batches {
			text, err := json.Marshal(intentsOf(batch))
			if err != nil {
				return err
			}
			err = tx.QueryRowContext(ctx, "INSERT INTO intents (connector, batch) VALUES (?, ?) RETURNING id", c.id, string(text)).Scan(&ids[i])
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: intend: %w", err)
	}
	return ids, nil
}

// intentsOf gives a batch as the journal keeps it.
func intentsOf(batch []filesync.Delivery) []intent {
	intents := make([]intent, len(batch))
	for i, d := range batch {
		intents[i] = intent{
			Path: d.Source.Name, Size: d.Source.Size, Time: unix(d.Source.ModTime), Version: d.Source.Version, Target: targetOf(d), TargetTime: unix(d.Target.ModTime),
			Key: d.Key, Pass: d.Pass, At: d.At.UnixMilli(), Pending: d.PendingID, Begun: d.Begun, Adopted: d.Adopted, After: d.After,
		}
		if d.Replaces != nil {
			intents[i].Replaces = &replaced{d.Replaces.Size, unix(d.Replaces.ModTime)}
		}
	}
	return intents
}

// targetOf is the target's name as rows keep it: "" when it is the path.
func targetOf(d filesync.Delivery) string {
	if d.Target.Name == d.Source.Name {
		return ""
	}
	return d.Target.Name
}

// Intents implements sync.Ledger.
func (c *Connector) Intents(ctx context.Context) (map[int64][]filesync.Delivery, error) {
	all := map[int64][]filesync.Delivery{}
	err := c.each(ctx, "SELECT id, batch FROM intents WHERE connector = ?", func(rows *sql.Rows) error {
		var id int64
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		var intents []intent
		if err := json.Unmarshal([]byte(text), &intents); err != nil {
			return err
		}
		batch := make([]filesync.Delivery, len(intents))
		for i, in := range intents {
			source := filesync.Entry{Name: in.Path, Size: in.Size, ModTime: seconds(in.Time), Version: in.Version}
			target := filesync.Entry{Name: cmp.Or(in.Target, in.Path), Size: in.Size, ModTime: seconds(in.TargetTime)}
			batch[i] = filesync.Delivery{
				Source: source, Target: target, Key: in.Key, Pass: in.Pass, At: millis(in.At), PendingID: in.Pending,
				Begun: in.Begun, Adopted: in.Adopted, After: in.After,
			}
			if in.Replaces != nil {
				batch[i].Replaces = &filesync.Entry{Name: target.Name, Size: in.Replaces.Size, ModTime: seconds(in.Replaces.Time)}
			}
		}
		all[id] = batch
		return nil
	}, c.id)
	if err != nil {
		return nil, fmt.Errorf("ledger: intents: %w", err)
	}
	return all, nil
}

// Drop implements sync.Ledger.
func (c *Connector) Drop(ctx context.Context, intents []int64) error {
	return c.inChunks(ctx, "drop intents", "DELETE FROM intents WHERE connector = ? AND id IN (SELECT value FROM json_each(?))", intents, c.id)
}

// Commit implements sync.Ledger.
func (c *Connector) Commit(ctx context.Context, intent int64, batch []filesync.Delivery) ([]int64, error) {
	ids := make([]int64, len(batch))
	err := c.ledger.update(ctx, func(tx *sql.Tx) error {
		if err := c.insert(ctx, tx, batch, ids); err != nil {
			return err
		}
		if err := c.log(ctx, tx, ids); err != nil {
			return err
		}
		if intent == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM intents WHERE id = ?", intent)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: commit: %w", err)
	}
	return ids, nil
}

// insert writes the rows of deliveries. Most are new: a plain INSERT costs half
// of what one with RETURNING does, so that the other way is for the rest.
func (c *Connector) insert(ctx context.Context, tx *sql.Tx, batch []filesync.Delivery, ids []int64) error {
	if len(batch) == 0 {
		return nil
	}
	const values = `INSERT INTO files (connector, path, size, mtime, target, target_time, key, adopted, after, pass, at, version)
		VALUES (?, ?, ?, ?, ?, ?, nullif(?, ''), ?, ?, ?, ?, ?) ON CONFLICT (connector, path) DO `
	add, err := tx.PrepareContext(ctx, values+"NOTHING")
	if err != nil {
		return err
	}
	defer add.Close()
	for i, d := range batch {
		pass, _ := strconv.ParseInt(d.Pass, 10, 64)
		row := []any{c.id, d.Source.Name, d.Source.Size, unix(d.Source.ModTime), targetOf(d), unix(d.Target.ModTime),
			d.Key, d.Adopted, int64(d.After), pass, d.At.UnixMilli(), d.Source.Version}
		added, err := add.ExecContext(ctx, row...)
		if err != nil {
			return err
		}
		if n, _ := added.RowsAffected(); n == 1 {
			ids[i], _ = added.LastInsertId()
			continue
		}
		err = tx.QueryRowContext(ctx, values+`UPDATE SET size = excluded.size, mtime = excluded.mtime, target = excluded.target,
			target_time = excluded.target_time, key = excluded.key, adopted = excluded.adopted, after = excluded.after,
			pass = excluded.pass, at = excluded.at, version = excluded.version, gone = 0 RETURNING id`, row...).Scan(&ids[i])
		if err != nil {
			return err
		}
	}
	return c.settle(ctx, tx, batch)
}

// settle forgets what was wrong with files that are delivered now. What is kept
// of another copy of one stays known, as its pending file has to be removed.
func (c *Connector) settle(ctx context.Context, tx *sql.Tx, batch []filesync.Delivery) error {
	for _, each := range []struct {
		table, column string
		of            func(filesync.Delivery) string
	}{
		{"failures", "path", func(d filesync.Delivery) string { return d.Source.Name }},
		{"checkpoints", "pending", func(d filesync.Delivery) string { return d.PendingID }},
	} {
		var any bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+each.table+" WHERE connector = ?)", c.id).Scan(&any); err != nil {
			return err
		}
		if !any {
			continue
		}
		values := make([]string, len(batch))
		for i, d := range batch {
			values[i] = each.of(d)
		}
		list, err := json.Marshal(values)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+each.table+" WHERE connector = ? AND "+each.column+" IN (SELECT value FROM json_each(?))", c.id, string(list)); err != nil {
			return err
		}
	}
	return nil
}

// Lost implements sync.Ledger.
func (c *Connector) Lost(ctx context.Context, rows []int64) error {
	return c.inChunks(ctx, "lost", "DELETE FROM files WHERE connector = ? AND id IN (SELECT value FROM json_each(?))", rows, c.id)
}

// Fail implements sync.Ledger.
func (c *Connector) Fail(ctx context.Context, batch []filesync.Failure) ([]int64, error) {
	ids := make([]int64, len(batch))
	err := c.ledger.update(ctx, func(tx *sql.Tx) error {
		for i, f := range batch {
			err := tx.QueryRowContext(ctx, `INSERT INTO failures (connector, path, size, mtime, tries, next, quarantined, conflict, discards, error, at, version)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (connector, path) DO UPDATE SET size = excluded.size, mtime = excluded.mtime, tries = excluded.tries,
					next = excluded.next, quarantined = excluded.quarantined, conflict = excluded.conflict, discards = excluded.discards, error = excluded.error, at = excluded.at, version = excluded.version
				RETURNING id`,
				c.id, f.Source.Name, f.Source.Size, unix(f.Source.ModTime), f.Tries, f.Next.UnixMilli(), f.Quarantined, f.Conflict, f.Discards, f.Error, f.At.UnixMilli(), f.Source.Version).Scan(&ids[i])
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

// Release implements sync.Ledger.
func (c *Connector) Release(ctx context.Context, paths []string) error {
	list, err := json.Marshal(paths)
	if err != nil {
		return err
	}
	return c.exec(ctx, "release", "DELETE FROM failures WHERE connector = ? AND path IN (SELECT value FROM json_each(?))", c.id, string(list))
}

// SaveCheckpoint implements sync.Ledger.
func (c *Connector) SaveCheckpoint(ctx context.Context, path string, e filesync.Entry, k filesync.Checkpoint) error {
	return c.exec(ctx, "save checkpoint", "INSERT OR REPLACE INTO checkpoints (connector, path, size, mtime, pending, prefix, version) VALUES (?, ?, ?, ?, ?, ?, ?)",
		c.id, path, e.Size, unix(e.ModTime), k.ID, k.Prefix, e.Version)
}

// DropCheckpoint implements sync.Ledger.
func (c *Connector) DropCheckpoint(ctx context.Context, path, pendingID string) error {
	return c.exec(ctx, "drop checkpoint", "DELETE FROM checkpoints WHERE connector = ? AND path = ? AND pending = ?", c.id, path, pendingID)
}

// Checkpoints implements sync.Ledger.
func (c *Connector) Checkpoints(ctx context.Context) (map[string]filesync.Interrupted, error) {
	all := map[string]filesync.Interrupted{}
	err := c.each(ctx, "SELECT path, size, mtime, pending, prefix, version FROM checkpoints WHERE connector = ?", func(rows *sql.Rows) error {
		var k filesync.Interrupted
		var mtime int64
		err := rows.Scan(&k.Source.Name, &k.Source.Size, &mtime, &k.Checkpoint.ID, &k.Checkpoint.Prefix, &k.Source.Version)
		k.Source.ModTime = seconds(mtime)
		all[k.Source.Name] = k
		return err
	}, c.id)
	if err != nil {
		return nil, fmt.Errorf("ledger: checkpoints: %w", err)
	}
	return all, nil
}

// Outstanding implements sync.Ledger.
func (c *Connector) Outstanding(ctx context.Context, from int64, limit int) ([]filesync.Record, error) {
	var recs []filesync.Record
	err := c.each(ctx, "SELECT "+fileColumns+" FROM files WHERE connector = ? AND id > ? AND after IN (1, 2, 4) ORDER BY id LIMIT ?",
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

// SetAfter implements sync.Ledger.
func (c *Connector) SetAfter(ctx context.Context, ids []int64, after filesync.After) error {
	if len(ids) == 0 {
		return nil
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	return c.exec(ctx, "after_copy", "UPDATE files SET after = ? WHERE +connector = ? AND id IN (SELECT value FROM json_each(?))", after, c.id, string(list))
}

// SetAfterIf implements sync.Ledger.
func (c *Connector) SetAfterIf(ctx context.Context, read map[int64]filesync.After, after filesync.After) ([]int64, error) {
	if len(read) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(read)
	if err != nil {
		return nil, err
	}
	var changed []int64
	err = c.ledger.update(ctx, func(tx *sql.Tx) error {
		// The + keeps SQLite from going through all rows of the connector.
		rows, err := tx.QueryContext(ctx, `UPDATE files SET after = ? FROM json_each(?) AS was
			WHERE files.id = CAST(was.key AS INTEGER) AND files.after = was.value AND +files.connector = ? RETURNING files.id`, after, string(list), c.id)
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
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: after_copy: %w", err)
	}
	return changed, nil
}

func (c *Connector) each(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	return c.ledger.each(ctx, query, f, args...)
}

func (c *Connector) exec(ctx context.Context, what, query string, args ...any) error {
	return c.ledger.exec(ctx, what, query, args...)
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
