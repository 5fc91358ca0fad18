package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	filesync "sftpconnector/sync"
)

// journal says which files are about to get their names, and which have them. It
// implements transfer.Journal.
type journal struct{ *part }

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
func (c journal) Intend(ctx context.Context, batch []filesync.Delivery) (int64, error) {
	ids, err := c.intend(ctx, batch)
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// IntendInPlace implements transfer.Journal.
func (c journal) IntendInPlace(ctx context.Context, files []filesync.Delivery) ([]int64, error) {
	return c.intend(ctx, slices.Collect(slices.Chunk(files, 1))...)
}

// MarkOpened implements transfer.Journal.
func (c journal) MarkOpened(ctx context.Context, intents []int64) error {
	return c.inChunks(ctx, "mark opened", `UPDATE intents SET batch = json_set(batch, '$[0].Begun', json('true'))
		WHERE `+ofPair+` AND id IN (SELECT value FROM json_each(?))`, intents, c.id)
}

// intend journals batches in one transaction, and gives their ids.
func (c journal) intend(ctx context.Context, batches ...[]filesync.Delivery) ([]int64, error) {
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
func (c journal) Intents(ctx context.Context) (map[int64][]filesync.Delivery, error) {
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
func (c journal) Drop(ctx context.Context, intents []int64) error {
	return c.inChunks(ctx, "drop intents", "DELETE FROM intents WHERE "+ofPair+" AND id IN (SELECT value FROM json_each(?))", intents, c.id)
}

// Commit implements transfer.Journal.
func (c journal) Commit(ctx context.Context, intents []int64, batch []filesync.Delivery) ([]int64, error) {
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
func (c journal) insert(ctx context.Context, tx *sql.Tx, batch []filesync.Delivery, ids []int64, sequence int64) error {
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
	if err := originals(c).owe(ctx, tx, batch, ids, replaced); err != nil {
		return err
	}
	return c.settle(ctx, tx, batch)
}

// settle forgets what was wrong with files that are delivered now. What is kept
// of another copy of one stays known, as its pending file has to be removed.
func (c journal) settle(ctx context.Context, tx *sql.Tx, batch []filesync.Delivery) error {
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
func (c journal) Lost(ctx context.Context, rows []int64) error {
	return c.inChunks(ctx, "lost", "DELETE FROM files WHERE connector = ? AND id IN (SELECT value FROM json_each(?))", rows, c.id)
}

// log appends deliveries, given by their rows, to the log if anybody reads it. The
// subscriptions that read it are in the outbox then.
func (c journal) log(ctx context.Context, tx *sql.Tx, rows []int64) error {
	if len(rows) == 0 {
		return nil
	}
	var subscribed bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM subscriptions WHERE connector = ?)", c.id).Scan(&subscribed); err != nil || !subscribed {
		return err
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO deliveries (connector, path, size, mtime, target, adopted, at)
		SELECT f.connector, f.path, f.size, f.mtime, f.target, f.adopted, f.at
		FROM json_each(?) batch JOIN files f ON f.id = batch.value ORDER BY batch.key`, string(list))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO outbox (kind, id, url, next) SELECT ?, s.id, s.reply_to, d.at
		FROM subscriptions s JOIN deliveries d ON d.sequence = `+lastSequence+` WHERE s.connector = ? ORDER BY s.rowid
		ON CONFLICT (kind, id) DO NOTHING`, KindSubscription, c.id)
	return err
}
