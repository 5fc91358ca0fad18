package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
)

// TakenOverError says that another process has claimed the connector since: what was to
// be written was not.
type TakenOverError struct{ Connector string }

// Error implements error.
func (e *TakenOverError) Error() string {
	return "another process has taken over connector " + e.Connector
}

// Hint says what to check next.
func (e *TakenOverError) Hint() string {
	return "Only one program at a time copies the files of a connector: check whether another one uses this data_directory. What this one had begun, the next pass finds out about."
}

// fence is what the writes of a claimed Connector begin with.
type fence struct {
	holder string // "": the Connector was not claimed
	epoch  int64
	// fresh is set while no pass has started since another process had the connector: what
	// this one finds out at the destination then, it may have to try with a file.
	fresh *atomic.Bool
}

// Claim gives the connector's part to the passes of this process: a Connector whose
// writes are refused with a TakenOverError once another process has claimed it. Its epoch
// grows by one each time that another process than before claims it. One process claims
// it at a time, which the caller sees to; its passes use the last claim.
func (c *Connector) Claim(ctx context.Context) (*Connector, error) {
	now := fence{fresh: new(atomic.Bool)}
	err := c.ledger.read.QueryRowContext(ctx, "SELECT holder, epoch FROM leases WHERE connector = ?", c.id).Scan(&now.holder, &now.epoch)
	if err == nil && now.holder != c.ledger.holder {
		now.holder = c.ledger.holder
		now.fresh.Store(true)
		c.ledger.idle.discard()
		err = c.ledger.update(ctx, func(tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, "UPDATE leases SET holder = ?, epoch = epoch + 1 WHERE connector = ? RETURNING epoch", now.holder, c.id).Scan(&now.epoch)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: claim connector %s: %w", c.name, err)
	}
	return newConnector(part{c.ledger, c.id, c.name, now}), nil
}

// Epoch is that of the claim; 0 if there was none.
func (c *Connector) Epoch() int64 { return c.fence.epoch }

// write runs f in a transaction that is refused if the connector was taken over. It draws
// n numbers: those of a connector grow in the order of its commits, whatever the clock
// says. f gets the first.
func (c *part) write(ctx context.Context, n int, f func(tx *sql.Tx, sequence int64) error) error {
	return c.ledger.update(ctx, func(tx *sql.Tx) error {
		sequence, err := c.draw(ctx, tx, n)
		if err != nil {
			return err
		}
		return f(tx, sequence)
	})
}

// draw lets a transaction past the fence, and draws n numbers.
func (c *part) draw(ctx context.Context, tx *sql.Tx, n int) (sequence int64, err error) {
	query, args := "UPDATE leases SET seq = seq + ?3 WHERE connector = ?1 AND (?2 = '' OR holder = ?2 AND epoch = ?4) RETURNING seq", []any{c.id, c.fence.holder, n, c.fence.epoch}
	if n == 0 { // there is one writer at a time: it is enough to look
		query = "SELECT seq FROM leases WHERE connector = ?1 AND (?2 = '' OR holder = ?2 AND epoch = ?4)"
	}
	err = tx.QueryRowContext(ctx, query, args...).Scan(&sequence)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, &TakenOverError{c.name}
	}
	return sequence - int64(n) + 1, err
}

// Sequence implements pass.Ledger.
func (c *Connector) Sequence(ctx context.Context) (last int64, err error) {
	err = c.ledger.read.QueryRowContext(ctx, "SELECT seq FROM leases WHERE connector = ?", c.id).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("ledger: sequence: %w", err)
	}
	return last, nil
}

// addLeases gives new connectors their leases.
func addLeases(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO leases SELECT id, '', 0, 0 FROM connectors WHERE id NOT IN (SELECT connector FROM leases)")
	return err
}
