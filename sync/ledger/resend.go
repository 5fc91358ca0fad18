package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Why there is nothing to send.
var (
	// ErrNoReply: the request has no answer yet.
	ErrNoReply = errors.New("the request has no reply yet")
	// ErrNoReceiver: the request does not say where its reply is posted.
	ErrNoReceiver = errors.New("the request has no reply_to")
	// ErrNothingPending: the receiver was told of everything.
	ErrNothingPending = errors.New("nothing is to be told: the receiver has all of it")
)

// SendReply makes the reply of a request due at once, whether it waits for its next
// try, is never tried again, or was posted. It goes to the end of its lane. Errors:
// ErrNoRequest, ErrNoReply, ErrNoReceiver.
func (l requests) SendReply(ctx context.Context, id string, at time.Time) error {
	err := l.update(ctx, func(tx *sql.Tx) error {
		var finished int64
		var url string
		err := tx.QueryRowContext(ctx, "SELECT finished, reply_to FROM requests WHERE id = ?", id).Scan(&finished, &url)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNoRequest
		case err != nil:
			return err
		case url == "":
			return ErrNoReceiver
		case finished == 0:
			return ErrNoReply
		}
		for _, step := range []struct {
			query string
			args  []any
		}{
			{"DELETE FROM outbox WHERE kind = ? AND id = ?", []any{KindReply, id}},
			{"INSERT INTO outbox (kind, id, url, next) VALUES (?, ?, ?, ?)", []any{KindReply, id, url, at.UnixMilli()}},
			{"UPDATE requests SET posted = 0 WHERE id = ?", []any{id}},
		} {
			if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: send the reply of %s: %w", id, err)
	}
	return nil
}

// SendDeliveries makes what a subscription is to be told of next due at once, also when
// it was never to be tried again. Errors: ErrNoSubscription, ErrNothingPending.
func (l subscriptions) SendDeliveries(ctx context.Context, id string, at time.Time) error {
	err := l.update(ctx, func(tx *sql.Tx) error {
		var known bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM subscriptions WHERE id = ?)", id).Scan(&known); err != nil {
			return err
		}
		if !known {
			return ErrNoSubscription
		}
		did, err := tx.ExecContext(ctx, "UPDATE outbox SET next = ? WHERE kind = ? AND id = ?", at.UnixMilli(), KindSubscription, id)
		if err != nil {
			return err
		}
		n, err := did.RowsAffected()
		if err == nil && n == 0 {
			err = ErrNothingPending
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: send to subscription %s: %w", id, err)
	}
	return nil
}
