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

// ofPair says of rows that they are of a connector, which is its argument, and of its pair
// of a source and a destination: there is one, as yet.
const ofPair = "connector = ? AND pair = 0"

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
func (c *Connector) Find(ctx context.Context, paths []string) ([]filesync.Record, error) {
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
func (c *Connector) Owners(ctx context.Context, keys []string) ([]filesync.Record, error) {
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
	InPlace    *bool     `json:",omitempty"` // the file was written under its own name
	Begun      bool      `json:",omitempty"` // and has been opened
	Adopted    bool      `json:",omitempty"`
	Replaces   *replaced `json:",omitempty"`
	After      filesync.After
	Sequence   int64 `json:",omitempty"`
}

// replaced is what stood under the name of an intent.
type replaced struct{ Size, Time int64 }

// Intend implements transfer.Journal.
func (c *Connector) Intend(ctx context.Context, batch []filesync.Delivery) (int64, error) {
	ids, err := c.intend(ctx, batch)
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// IntendInPlace implements transfer.Journal.
func (c *Connector) IntendInPlace(ctx context.Context, files []filesync.Delivery) ([]int64, error) {
	return c.intend(ctx, slices.Collect(slices.Chunk(files, 1))...)
}

// MarkOpened implements transfer.Journal.
func (c *Connector) MarkOpened(ctx context.Context, intents []int64) error {
	return c.inChunks(ctx, "mark opened", `UPDATE intents SET batch = json_set(batch, '$[0].Begun', json('true'))
		WHERE `+ofPair+` AND id IN (SELECT value FROM json_each(?))`, intents, c.id)
}

// intend journals batches in one transaction, and gives their ids.
func (c *Connector) intend(ctx context.Context, batches ...[]filesync.Delivery) ([]int64, error) {
	ids := make([]int64, len(batches))
	err := c.write(ctx, len(batches), func(tx *sql.Tx, sequence int64) error {
		for i, batch := range batches {
			text, err := json.Marshal(intentsOf(batch, sequence+int64(i)))
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
func intentsOf(batch []filesync.Delivery, sequence int64) []intent {
	intents := make([]intent, len(batch))
	for i, d := range batch {
		intents[i] = intent{
			Path: d.Source.Name, Size: d.Source.Size, Time: unix(d.Source.ModTime), Version: d.Source.Version, Target: targetOf(d), TargetTime: unix(d.Target.ModTime),
			Key: d.Key, Pass: d.Pass, At: d.At.UnixMilli(), Pending: d.PendingID, InPlace: d.InPlace, Begun: d.Opened, Adopted: d.Adopted, After: d.After, Sequence: sequence,
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

// Intents implements transfer.Journal.
func (c *Connector) Intents(ctx context.Context) (map[int64][]filesync.Delivery, error) {
	all := map[int64][]filesync.Delivery{}
	err := c.each(ctx, "SELECT id, batch FROM intents WHERE "+ofPair, func(rows *sql.Rows) error {
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
				Source: source, Target: target, Key: in.Key, Pass: in.Pass, At: millis(in.At), PendingID: in.Pending, InPlace: in.InPlace, Opened: in.Begun, Adopted: in.Adopted, After: in.After,
				Sequence: in.Sequence,
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

// Drop implements transfer.Journal.
func (c *Connector) Drop(ctx context.Context, intents []int64) error {
	return c.inChunks(ctx, "drop intents", "DELETE FROM intents WHERE "+ofPair+" AND id IN (SELECT value FROM json_each(?))", intents, c.id)
}

// Commit implements transfer.Journal.
func (c *Connector) Commit(ctx context.Context, intents []int64, batch []filesync.Delivery) ([]int64, error) {
	ids := make([]int64, len(batch))
	err := c.write(ctx, len(batch), func(tx *sql.Tx, sequence int64) error {
		if err := c.insert(ctx, tx, batch, ids, sequence); err != nil {
			return err
		}
		if err := c.log(ctx, tx, ids); err != nil {
			return err
		}
		if len(intents) == 0 {
			return nil
		}
		list, err := json.Marshal(intents)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM intents WHERE connector = ? AND id IN (SELECT value FROM json_each(?))", c.id, string(list))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: commit: %w", err)
	}
	return ids, nil
}

// insert writes the rows of deliveries. Most are new: a plain INSERT costs half
// of what one with RETURNING does, so that the other way is for the rest.
func (c *Connector) insert(ctx context.Context, tx *sql.Tx, batch []filesync.Delivery, ids []int64, sequence int64) error {
	if len(batch) == 0 {
		return nil
	}
	const values = `INSERT INTO files (connector, path, size, mtime, target, target_time, key, adopted, after, pass, at, version, seq)
		VALUES (?, ?, ?, ?, ?, ?, nullif(?, ''), ?, ?, ?, ?, ?, ?) ON CONFLICT (connector, pair, path, copy) DO `
	add, err := tx.PrepareContext(ctx, values+"NOTHING")
	if err != nil {
		return err
	}
	defer add.Close()
	var replaced []int64
	for i, d := range batch {
		pass, _ := strconv.ParseInt(d.Pass, 10, 64)
		row := []any{c.id, d.Source.Name, d.Source.Size, unix(d.Source.ModTime), targetOf(d), unix(d.Target.ModTime),
			d.Key, d.Adopted, inFiles(d.After), pass, d.At.UnixMilli(), d.Source.Version, sequence + int64(i)}
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
			pass = excluded.pass, at = excluded.at, version = excluded.version, seq = excluded.seq, gone = 0 RETURNING id`, row...).Scan(&ids[i])
		if err != nil {
			return err
		}
		replaced = append(replaced, ids[i])
	}
	if err := c.owe(ctx, tx, batch, ids, replaced); err != nil {
		return err
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
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+each.table+" WHERE "+ofPair+")", c.id).Scan(&any); err != nil {
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
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+each.table+" WHERE "+ofPair+" AND "+each.column+" IN (SELECT value FROM json_each(?))", c.id, string(list)); err != nil {
			return err
		}
	}
	return nil
}

// Lost implements transfer.Journal.
func (c *Connector) Lost(ctx context.Context, rows []int64) error {
	return c.inChunks(ctx, "lost", "DELETE FROM files WHERE connector = ? AND id IN (SELECT value FROM json_each(?))", rows, c.id)
}

// Fail implements transfer.Ledger.
func (c *Connector) Fail(ctx context.Context, batch []filesync.Failure) ([]int64, error) {
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
func (c *Connector) Release(ctx context.Context, paths []string) error {
	list, err := json.Marshal(paths)
	if err != nil {
		return err
	}
	return c.exec(ctx, "release", "DELETE FROM failures WHERE "+ofPair+" AND path IN (SELECT value FROM json_each(?))", c.id, string(list))
}

// SaveCheckpoint implements transfer.Checkpoints.
func (c *Connector) SaveCheckpoint(ctx context.Context, path string, e filesync.Entry, k filesync.Checkpoint) error {
	return c.exec(ctx, "save checkpoint", "INSERT OR REPLACE INTO checkpoints (connector, path, size, mtime, pending, prefix, version) VALUES (?, ?, ?, ?, ?, ?, ?)",
		c.id, path, e.Size, unix(e.ModTime), k.ID, k.Prefix, e.Version)
}

// DropCheckpoint implements transfer.Checkpoints.
func (c *Connector) DropCheckpoint(ctx context.Context, path, pendingID string) error {
	return c.exec(ctx, "drop checkpoint", "DELETE FROM checkpoints WHERE "+ofPair+" AND path = ? AND pending = ?", c.id, path, pendingID)
}

// Checkpoints implements transfer.Checkpoints.
func (c *Connector) Checkpoints(ctx context.Context) (map[string]filesync.Interrupted, error) {
	all := map[string]filesync.Interrupted{}
	err := c.each(ctx, "SELECT path, size, mtime, pending, prefix, version FROM checkpoints WHERE "+ofPair, func(rows *sql.Rows) error {
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

func (c *Connector) each(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	return c.ledger.each(ctx, query, f, args...)
}

func (c *Connector) exec(ctx context.Context, what, query string, args ...any) error {
	if _, err := c.change(ctx, query, args...); err != nil {
		return fmt.Errorf("ledger: %s: %w", what, err)
	}
	return nil
}

// change is exec without the words; it gives the number of rows.
func (c *Connector) change(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = c.write(ctx, 0, func(tx *sql.Tx, _ int64) error {
		did, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err = did.RowsAffected()
		return err
	})
	return n, err
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
