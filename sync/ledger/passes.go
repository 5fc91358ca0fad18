package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Pass is one pass as the ledger remembers it.
type Pass struct {
	ID       string
	Mode     filesync.Mode
	State    filesync.Outcome
	Started  time.Time
	Finished time.Time // zero while it runs
	Status   status.Word
	Error    string
	Files    filesync.Counts
}

// StartPass records that a pass starts; alone says that no other of the
// connector runs beside it. Then a pass that never ended is recorded as
// cancelled, and from then on unclean says of those that start alone that its
// pending files may lie about at the destination, until Swept.
//
// An automatic pass and one of a request have to say so before they write to the
// destination (WillWrite): until then, a program that is killed leaves no trace of them.
func (c *Connector) StartPass(ctx context.Context, mode filesync.Mode, at time.Time, alone bool) (id string, unclean bool, err error) {
	if alone {
		if unclean, err = c.leftOver(ctx); err != nil {
			return "", false, fmt.Errorf("ledger: start pass: %w", err)
		}
	}
	p := &idlePass{c: c, Pass: Pass{Mode: mode, State: filesync.Running, Started: millis(at.UnixMilli())}}
	for !c.ledger.idle.add(p) {
		var last int64
		err := c.ledger.update(ctx, func(tx *sql.Tx) (err error) {
			last, err = reserveIDs(ctx, tx)
			return err
		})
		if err != nil {
			return "", false, fmt.Errorf("ledger: start pass: %w", err)
		}
		c.ledger.idle.reserve(last)
	}
	if mode == filesync.Apply || c.fence.fresh != nil && c.fence.fresh.CompareAndSwap(true, false) {
		if err := c.WillWrite(ctx, p.ID); err != nil {
			c.ledger.idle.forget(p)
			return "", false, fmt.Errorf("ledger: start pass: %w", err)
		}
	}
	c.ledger.arm()
	return p.ID, unclean, nil
}

// leftOver ends the passes that never ended, and reports whether pending files of earlier
// passes are to be swept.
func (c *Connector) leftOver(ctx context.Context) (unclean bool, err error) {
	var running bool
	err = c.ledger.read.QueryRowContext(ctx, "SELECT sweep, EXISTS (SELECT 1 FROM passes WHERE connector = ? AND state = 'running') FROM connectors WHERE id = ?", c.id, c.id).Scan(&unclean, &running)
	if err != nil {
		return false, err
	}
	for _, p := range c.ledger.idle.ofConnector(c) {
		running = running || p.State == filesync.Running
	}
	if !running {
		return unclean, nil
	}
	err = c.ledger.writing(ctx, c, func(tx *sql.Tx) error {
		if _, err := c.draw(ctx, tx, 0); err != nil {
			return err
		}
		unclean, err = c.endLeftOver(ctx, tx)
		return err
	})
	return unclean, err
}

// endLeftOver ends the passes that a killed program left running, and reports
// whether their pending files are to be swept.
func (c *Connector) endLeftOver(ctx context.Context, tx *sql.Tx) (unclean bool, err error) {
	left, err := tx.ExecContext(ctx, "UPDATE passes SET state = 'cancelled', error = 'the program ended while it ran' WHERE connector = ? AND state = 'running'", c.id)
	if err != nil {
		return false, err
	}
	count, err := left.RowsAffected()
	if err != nil {
		return false, err
	}
	err = tx.QueryRowContext(ctx, "UPDATE connectors SET sweep = sweep OR ? WHERE id = ? RETURNING sweep", count > 0, c.id).Scan(&unclean)
	return unclean, err
}

// RequireSweep has the next pass of each connector sweep: after a power cut there may be
// pending files whose removal was not durable.
func (l *Ledger) RequireSweep(ctx context.Context) error {
	return l.exec(ctx, "require sweep", "UPDATE connectors SET sweep = 1")
}

// RequireSweep implements pass.Ledger. It says what is so, whoever has the connector now.
func (c *Connector) RequireSweep(ctx context.Context) error {
	return c.ledger.exec(ctx, "require sweep", "UPDATE connectors SET sweep = 1 WHERE id = ?", c.id)
}

// Swept implements transfer.Ledger.
func (c *Connector) Swept(ctx context.Context) error {
	return c.exec(ctx, "swept", "UPDATE connectors SET sweep = 0 WHERE id = ?", c.id)
}

// Clear forgets all files of the connector, as if none had ever been delivered or
// had failed. What lies at the destination of files that are not delivered yet
// stays known: interrupted copies go on, and what a killed pass left is removed.
func (c *Connector) Clear(ctx context.Context) error {
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

// Bind says whose files these are. When that is another source than before,
// no original of an earlier delivery is removed or moved any more: what has its
// name, size and time at the new source was never copied from there.
func (c *Connector) Bind(ctx context.Context, source string) error {
	var before string
	if err := c.ledger.read.QueryRowContext(ctx, "SELECT source FROM connectors WHERE id = ?", c.id).Scan(&before); err != nil {
		return fmt.Errorf("ledger: bind: %w", err)
	}
	if before == source {
		return nil
	}
	if before != "" {
		if err := c.refuseOwed(ctx); err != nil {
			return fmt.Errorf("ledger: bind: %w", err)
		}
	}
	return c.exec(ctx, "bind", "UPDATE connectors SET source = ? WHERE id = ?", source, c.id)
}

// FinishPass records how a pass ended. Of passes in a row that found nothing to
// do only the last is kept: a connector that looks every few seconds would fill
// the ledger with them. That of a request is not kept at all, as the request is. What
// found nothing to do is written a few seconds later, with others, or by Close.
func (c *Connector) FinishPass(ctx context.Context, id string, r filesync.Result, word status.Word) error {
	text := ""
	if r.Err != nil {
		text = r.Err.Error()
	}
	end := Pass{ID: id, State: r.Outcome, Finished: millis(r.Finished.UnixMilli()), Status: word, Error: text, Files: r.Files}
	if end.idle() && c.ledger.finishIdle(id, end) {
		c.ledger.arm()
		return nil
	}
	err := c.ledger.writing(ctx, c, func(tx *sql.Tx) error {
		if _, err := c.draw(ctx, tx, 0); err != nil {
			return err
		}
		return c.end(ctx, tx, end)
	})
	if err != nil {
		return fmt.Errorf("ledger: finish pass: %w", err)
	}
	return nil
}

// end writes how a pass ended.
func (c *Connector) end(ctx context.Context, tx *sql.Tx, p Pass) error {
	counts, err := json.Marshal(p.Files)
	if err != nil {
		return err
	}
	var mode filesync.Mode
	err = tx.QueryRowContext(ctx, "UPDATE passes SET state = ?, finished = ?, status = ?, error = ?, counts = ?, idle = ? WHERE connector = ? AND id = ? RETURNING mode",
		p.State, p.Finished.UnixMilli(), p.Status, p.Error, string(counts), p.idle(), c.id, p.ID).Scan(&mode)
	if err != nil || !p.idle() {
		return err
	}
	if mode == filesync.Request {
		_, err = tx.ExecContext(ctx, "DELETE FROM passes WHERE id = ?", p.ID)
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM passes WHERE idle AND mode = 'automatic'
		AND id = (SELECT max(id) FROM passes WHERE connector = ? AND id < ? AND mode <> 'request')`, c.id, p.ID)
	return err
}

// CountFruitless notes whether a pass could deliver nothing, and gives how many in a
// row could not.
func (c *Connector) CountFruitless(ctx context.Context, fruitless bool) (passes int, err error) {
	query := "INSERT INTO fruitless VALUES (?, 1) ON CONFLICT DO UPDATE SET passes = passes + 1 RETURNING passes"
	if !fruitless {
		err := c.ledger.read.QueryRowContext(ctx, "SELECT passes FROM fruitless WHERE connector = ?", c.id).Scan(&passes)
		if errors.Is(err, sql.ErrNoRows) { // mostly: then nothing is written
			return 0, nil
		}
		query = "DELETE FROM fruitless WHERE connector = ? RETURNING 0"
	}
	err = c.write(ctx, 0, func(tx *sql.Tx, _ int64) error { return tx.QueryRowContext(ctx, query, c.id).Scan(&passes) })
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("ledger: count fruitless passes: %w", err)
	}
	return passes, nil
}

const passColumns = "id, mode, state, started, finished, status, error, counts"

// scanPass reads a row of passColumns. Older ledgers have the counts under names
// with capitals ("Seen"), which encoding/json matches too.
func scanPass(row interface{ Scan(...any) error }) (Pass, error) {
	var p Pass
	var started, finished int64
	var counts string
	if err := row.Scan(&p.ID, &p.Mode, &p.State, &started, &finished, &p.Status, &p.Error, &counts); err != nil {
		return p, err
	}
	p.Started, p.Finished = millis(started), millis(finished)
	return p, json.Unmarshal([]byte(counts), &p.Files)
}

// Passes gives the last passes, newest first.
func (c *Connector) Passes(ctx context.Context, limit int) ([]Pass, error) {
	not := c.ledger.idle.ofConnector(c)
	passes := []Pass{}
	err := c.ledger.show(ctx, "SELECT "+passColumns+" FROM passes WHERE connector = ? ORDER BY id DESC LIMIT ?", func(rows *sql.Rows) error {
		p, err := scanPass(rows)
		passes = append(passes, p)
		return err
	}, c.id, limit+len(not))
	if err != nil {
		return nil, fmt.Errorf("ledger: passes: %w", err)
	}
	return withIdle(passes, not, limit), nil
}

// Gone implements pass.Ledger. Others may write beside it: what each statement
// changes has to be still as it was read.
func (c *Connector) Gone(ctx context.Context, seen *filesync.Seen, since int64, at time.Time) error {
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
func (c *Connector) markGone(ctx context.Context, ids []int64, at time.Time, since int64) error {
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

// chunkRows is how many rows a statement changes, so that other writers get their turn.
const chunkRows = 10_000

// inChunks runs a statement for so many ids at a time that other writers get
// their turn. The list of ids is its last argument.
func (c *Connector) inChunks(ctx context.Context, what, query string, ids []int64, args ...any) error {
	for chunk := range slices.Chunk(ids, chunkRows) {
		list, err := json.Marshal(chunk)
		if err != nil {
			return err
		}
		if err := c.exec(ctx, what, query, append(slices.Clone(args), string(list))...); err != nil {
			return err
		}
	}
	return nil
}

// listed gives those of the rows whose paths do not lie where nobody looked.
func (c *Connector) listed(ctx context.Context, table string, ids []int64, unlisted *filesync.Unlisted) ([]int64, error) {
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
func (c *Connector) marks(ctx context.Context, query string, f func(id, gone int64)) error {
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
func (c *Connector) Retry(ctx context.Context, paths []string) ([]string, error) {
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

// SetSchedule keeps a schedule that takes the place of the file's until the
// file changes.
func (c *Connector) SetSchedule(ctx context.Context, set, file string) error {
	return c.exec(ctx, "set schedule", "UPDATE connectors SET schedule = ?, schedule_over = ? WHERE id = ?", set, file, c.id)
}

// Remembered is what the ledger knows of a connector when the program starts.
type Remembered struct {
	*Connector
	// Passes of requests, which follow no schedule, are neither of these.
	LastStart time.Time // of its last pass; zero: never
	Last      *Pass     // the last that ended; nil: none
	Holds     []Hold    // logins that were refused

	schedule, over string
}

// ScheduleOver is what SetSchedule kept, as long as the file says what it said
// then; else "". What the file has changed once is forgotten: it does not come
// back when the file does.
func (r Remembered) ScheduleOver(ctx context.Context, file string) (string, error) {
	if r.schedule == "" || r.over == file {
		return r.schedule, nil
	}
	return "", r.exec(ctx, "forget schedule", "UPDATE connectors SET schedule = '', schedule_over = '' WHERE id = ? AND schedule_over = ?", r.id, r.over)
}

// Connectors opens many connectors' parts at once.
func (l *Ledger) Connectors(ctx context.Context, names []string) (map[string]Remembered, error) {
	all := make(map[string]Remembered, len(names))
	if len(names) == 0 {
		return all, nil // to SQLite, a JSON null is an array of one
	}
	list, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	err = l.writing(ctx, nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO connectors (name) SELECT value FROM json_each(?) WHERE true ON CONFLICT (name) DO NOTHING", string(list))
		if err != nil {
			return err
		}
		if err := addLeases(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT c.id, c.name, c.schedule, c.schedule_over,
			coalesce((SELECT started FROM passes WHERE connector = c.id AND mode <> 'request' ORDER BY id DESC LIMIT 1), 0),
			coalesce(p.id, 0), coalesce(p.mode, ''), coalesce(p.state, ''), coalesce(p.started, 0), coalesce(p.finished, 0),
			coalesce(p.status, ''), coalesce(p.error, ''), coalesce(p.counts, '{}')
			FROM connectors c LEFT JOIN passes p
			ON p.id = (SELECT id FROM passes WHERE connector = c.id AND state <> 'running' AND mode <> 'request' ORDER BY id DESC LIMIT 1)
			WHERE c.name IN (SELECT value FROM json_each(?))`, string(list))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r, err := l.scanRemembered(rows)
			if err != nil {
				return err
			}
			all[r.name] = r
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return addHolds(ctx, tx, all)
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: connectors: %w", err)
	}
	return all, nil
}

// scanRemembered reads a row of Connectors: a connector, and its last pass.
func (l *Ledger) scanRemembered(rows *sql.Rows) (Remembered, error) {
	r := Remembered{Connector: &Connector{ledger: l}}
	var started int64
	p, err := scanPass(scanner(func(pass ...any) error {
		return rows.Scan(append([]any{&r.id, &r.name, &r.schedule, &r.over, &started}, pass...)...)
	}))
	r.LastStart = millis(started)
	if p.ID != "0" {
		r.Last = &p
	}
	return r, err
}

// scanner is a row that is read by a function.
type scanner func(...any) error

// Scan implements what scanPass reads.
func (s scanner) Scan(into ...any) error { return s(into...) }
