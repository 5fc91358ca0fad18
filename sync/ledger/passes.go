package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
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

// passes says when the passes of a connector ran, and what they left to the next one.
type passes struct{ *part }

// StartPass records that a pass starts; alone says that no other of the
// connector runs beside it. Then a pass that never ended is recorded as
// cancelled, and from then on unclean says of those that start alone that its
// pending files may lie about at the destination, until Swept.
//
// An automatic pass and one of a request have to say so before they write to the
// destination (WillWrite): until then, a program that is killed leaves no trace of them.
func (c passes) StartPass(ctx context.Context, mode filesync.Mode, at time.Time, alone bool) (id string, unclean bool, err error) {
	if alone {
		if unclean, err = c.leftOver(ctx); err != nil {
			return "", false, fmt.Errorf("ledger: start pass: %w", err)
		}
	}
	p := &idlePass{c: c.part, Pass: Pass{Mode: mode, State: filesync.Running, Started: millis(at.UnixMilli())}}
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
	c.ledger.idle.arm()
	return p.ID, unclean, nil
}

// leftOver ends the passes that never ended, and reports whether pending files of earlier
// passes are to be swept.
func (c passes) leftOver(ctx context.Context) (unclean bool, err error) {
	var running bool
	err = c.ledger.read.QueryRowContext(ctx, "SELECT sweep, EXISTS (SELECT 1 FROM passes WHERE connector = ? AND state = 'running') FROM connectors WHERE id = ?", c.id, c.id).Scan(&unclean, &running)
	if err != nil {
		return false, err
	}
	for _, p := range c.ledger.idle.ofConnector(c.part) {
		running = running || p.State == filesync.Running
	}
	if !running {
		return unclean, nil
	}
	err = c.ledger.idle.writing(ctx, c.part, func(tx *sql.Tx) error {
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
func (c passes) endLeftOver(ctx context.Context, tx *sql.Tx) (unclean bool, err error) {
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

// RequireSweep implements pass.Ledger. It says what is so, whoever has the connector now.
func (c passes) RequireSweep(ctx context.Context) error {
	return c.ledger.exec(ctx, "require sweep", "UPDATE connectors SET sweep = 1 WHERE id = ?", c.id)
}

// Swept implements transfer.Ledger.
func (c passes) Swept(ctx context.Context) error {
	return c.exec(ctx, "swept", "UPDATE connectors SET sweep = 0 WHERE id = ?", c.id)
}

// FinishPass records how a pass ended. Of passes in a row that found nothing to
// do only the last is kept: a connector that looks every few seconds would fill
// the ledger with them. That of a request is not kept at all, as the request is. What
// found nothing to do is written a few seconds later, with others, or by Close.
func (c passes) FinishPass(ctx context.Context, id string, r filesync.Result, word status.Word) error {
	text := ""
	if r.Err != nil {
		text = r.Err.Error()
	}
	end := Pass{ID: id, State: r.Outcome, Finished: millis(r.Finished.UnixMilli()), Status: word, Error: text, Files: r.Files}
	if end.idle() && c.ledger.idle.finish(id, end) {
		c.ledger.idle.arm()
		return nil
	}
	err := c.ledger.idle.writing(ctx, c.part, func(tx *sql.Tx) error {
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
func (c passes) end(ctx context.Context, tx *sql.Tx, p Pass) error {
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
func (c passes) CountFruitless(ctx context.Context, fruitless bool) (passes int, err error) {
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
func (c passes) Passes(ctx context.Context, limit int) ([]Pass, error) {
	not := c.ledger.idle.ofConnector(c.part)
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

// RecentPasses gives the last passes of many connectors, newest first: up to limit of
// each. There is none of a connector that the ledger does not know.
func (l *Ledger) RecentPasses(ctx context.Context, connectors []string, limit int) (map[string][]Pass, error) {
	list, err := json.Marshal(append([]string{}, connectors...))
	if err != nil {
		return nil, err
	}
	not, more := l.idle.ofConnectors(connectors), 0
	for _, passes := range not {
		more = max(more, len(passes)) // some of which hide what is in the file
	}
	inFile := map[string][]Pass{}
	err = l.show(ctx, `SELECT c.name, p.id, p.mode, p.state, p.started, p.finished, p.status, p.error, p.counts
		FROM connectors c JOIN passes p ON p.id IN (SELECT id FROM passes WHERE connector = c.id ORDER BY id DESC LIMIT ?)
		WHERE c.name IN (SELECT value FROM json_each(?))`, func(rows *sql.Rows) error {
		var name string
		p, err := scanPass(scanner(func(pass ...any) error { return rows.Scan(append([]any{&name}, pass...)...) }))
		inFile[name] = append(inFile[name], p)
		return err
	}, limit+more, string(list))
	if err != nil {
		return nil, fmt.Errorf("ledger: recent passes: %w", err)
	}
	all := map[string][]Pass{}
	for _, name := range connectors {
		if passes := withIdle(inFile[name], not[name], limit); len(passes) > 0 {
			all[name] = passes
		}
	}
	return all, nil
}
