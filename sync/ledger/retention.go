package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A part is what one transaction changes of many rows. Between two of them other
// writers get their turn: those of this program, which queue, and those of
// others, which try again and again, for as long as the part before took.
const (
	partRows = 2000
	maxPause = 100 * time.Millisecond
)

// Forget removes what is older than the retention: passes, rows of files that
// were gone from the source since then, requests that were answered, and the log
// of deliveries. A reply that is still to be posted stays, as does a delivery
// that a subscriber is still to be told of, however old they are. One that is never
// tried again goes.
//
// It removes a part at a time: what was removed when it fails or ctx ends stays
// removed.
func (c *Connector) Forget(ctx context.Context, before time.Time) error {
	at := before.UnixMilli()
	for _, each := range []struct {
		table string
		rows  rowsOf
	}{
		{"files", rowsOf{"gone", "gone > 0 AND gone < ?", []any{at}}},
		{"passes", rowsOf{"started", "started < ? AND state <> 'running'", []any{at}}},
		{"requests", rowsOf{"rowid", "finished > 0 AND finished < ? AND " + noReplyDue, []any{at}}},
		{"deliveries", rowsOf{"sequence", `sequence <= coalesce((SELECT min(cursor) FROM subscriptions s WHERE connector = ?
			AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.kind = 'subscription' AND o.id = s.id AND o.next IS NULL)), ?) AND at < ?`, []any{c.id, math.MaxInt64, at}}},
	} {
		if err := c.inParts(ctx, each.table, each.rows, "DELETE FROM "+each.table); err != nil {
			return fmt.Errorf("ledger: forget %s: %w", each.table, err)
		}
	}
	return c.exec(ctx, "forget replies", "DELETE FROM outbox WHERE kind = ? AND next IS NULL AND id NOT IN (SELECT id FROM requests)", KindReply)
}

// noReplyDue holds of requests whose reply is posted, or is never to be.
const noReplyDue = "NOT EXISTS (SELECT 1 FROM outbox o WHERE o.kind = 'reply' AND o.id = requests.id AND o.next IS NOT NULL)"

// rowsOf says which rows of a table are meant, and the column of whole numbers
// by which an index finds them.
type rowsOf struct {
	order string
	where string
	args  []any // of where
}

// inParts changes rows of the connector in a way that takes them out of those
// that are meant. They are looked for without holding up writers.
func (c *part) inParts(ctx context.Context, table string, which rowsOf, change string) error {
	find := fmt.Sprintf("SELECT rowid, %s FROM %s WHERE connector = ? AND %s AND %s >= ? ORDER BY %s LIMIT %d",
		which.order, table, which.where, which.order, which.order, partRows)
	// Others may have changed a row since it was found.
	change += " WHERE rowid IN (SELECT value FROM json_each(?)) AND " + which.where
	for from := int64(math.MinInt64); ; {
		var ids []int64
		err := c.each(ctx, find, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id, &from)
			ids = append(ids, id)
			return err
		}, slices.Concat([]any{c.id}, which.args, []any{from})...)
		if err != nil || len(ids) == 0 {
			return err
		}
		list, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := c.change(ctx, change, slices.Concat([]any{string(list)}, which.args)...); err != nil {
			return err
		}
		if len(ids) < partRows {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(time.Since(began), maxPause)):
		}
	}
}

// Clock is what retention knows of the wall clock: that it was steady from one
// time to another. The zero Clock is one that nothing is known of.
type Clock struct{ Since, Seen time.Time }

// Clock gives what SetClock kept.
func (c *Connector) Clock(ctx context.Context) (Clock, error) {
	var since, seen int64
	err := c.ledger.read.QueryRowContext(ctx, "SELECT since, seen FROM clocks WHERE connector = ?", c.id).Scan(&since, &seen)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Clock{}, fmt.Errorf("ledger: clock: %w", err)
	}
	return Clock{millis(since), millis(seen)}, nil
}

// SetClock keeps what is known of the clock.
func (c *Connector) SetClock(ctx context.Context, k Clock) error {
	return c.exec(ctx, "set clock", "INSERT OR REPLACE INTO clocks (connector, since, seen) VALUES (?, ?, ?)", c.id, k.Since.UnixMilli(), k.Seen.UnixMilli())
}
