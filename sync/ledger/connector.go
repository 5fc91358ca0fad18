package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// part is what the roles of a Connector share: its rows, and its right to write them.
type part struct {
	ledger *Ledger
	id     int64
	name   string
	fence  fence
}

// Connector is one connector's part of a ledger, by role. It may be used concurrently.
// The writes of one that was claimed are refused with a TakenOverError once another
// process has claimed it.
type Connector struct {
	*part
	records
	journal
	checkpoints
	originals
	passes
	history
}

func newConnector(p part) *Connector {
	return &Connector{&p, records{&p}, journal{&p}, checkpoints{&p}, originals{&p}, passes{&p}, history{&p}}
}

// Connector opens one connector's part, and makes it if there is none.
func (l *Ledger) Connector(ctx context.Context, name string) (*Connector, error) {
	c := part{ledger: l, name: name}
	err := l.read.QueryRowContext(ctx, "SELECT id FROM connectors WHERE name = ?", name).Scan(&c.id)
	if errors.Is(err, sql.ErrNoRows) {
		err = l.update(ctx, func(tx *sql.Tx) error {
			err := tx.QueryRowContext(ctx,
				"INSERT INTO connectors (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id", name).Scan(&c.id)
			if err != nil {
				return err
			}
			return addLeases(ctx, tx)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("ledger of connector %s: %w", name, err)
	}
	return newConnector(c), nil
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

// SetSchedule keeps a schedule that takes the place of the file's until the
// file changes; "" forgets it.
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
	WasPaused Pause     // as Paused gives it

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
	err = l.idle.writing(ctx, nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO connectors (name) SELECT value FROM json_each(?) WHERE true ON CONFLICT (name) DO NOTHING", string(list))
		if err != nil {
			return err
		}
		if err := addLeases(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT c.id, c.name, c.schedule, c.schedule_over, c.paused_at, c.paused_by, c.pause_reason,
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
	r := Remembered{Connector: newConnector(part{ledger: l})}
	var started, paused int64
	p, err := scanPass(scanner(func(pass ...any) error {
		return rows.Scan(append([]any{&r.id, &r.name, &r.schedule, &r.over, &paused, &r.WasPaused.By, &r.WasPaused.Reason, &started}, pass...)...)
	}))
	r.LastStart, r.WasPaused.Since = millis(started), millis(paused)
	if p.ID != "0" {
		r.Last = &p
	}
	return r, err
}

// scanner is a row that is read by a function.
type scanner func(...any) error

// Scan implements what scanPass reads.
func (s scanner) Scan(into ...any) error { return s(into...) }

func (c *part) each(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	return c.ledger.each(ctx, query, f, args...)
}

func (c *part) exec(ctx context.Context, what, query string, args ...any) error {
	if err := c.change(ctx, query, args...); err != nil {
		return fmt.Errorf("ledger: %s: %w", what, err)
	}
	return nil
}

// change is exec without the words.
func (c *part) change(ctx context.Context, query string, args ...any) error {
	return c.write(ctx, 0, func(tx *sql.Tx, _ int64) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

// chunkRows is how many rows a statement changes, so that other writers get their turn.
const chunkRows = 10_000

// inChunks runs a statement for so many ids at a time that other writers get
// their turn. The list of ids is its last argument.
func (c *part) inChunks(ctx context.Context, what, query string, ids []int64, args ...any) error {
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
