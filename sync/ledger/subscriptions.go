package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	filesync "sftpconnector/sync"
)

// ErrNoSubscription says that the ledger has no subscription of that id.
var ErrNoSubscription = errors.New("no such subscription")

// Subscription is a program that is told of what a connector delivers. Times
// are in whole milliseconds.
type Subscription struct {
	ID        string // chosen by the caller; unique in the ledger
	Connector string // its name
	Body      string // JSON, which the ledger does not look into
	Token     string // the name of the token that asked for it
	ReplyTo   string // where deliveries are posted
	Created   time.Time
	Cursor    int64   // the sequence of the last delivery that is done with
	Pending   int64   // deliveries behind the cursor, whether it wants them or not
	Posting   Posting // how the posting of the first of them goes
}

// LoggedDelivery is one delivered file in the log that subscriptions read.
type LoggedDelivery struct {
	Sequence int64 // grows from one to the next over all connectors, with gaps; never used again
	Source   filesync.Entry
	Target   string // its name below the destination
	Adopted  bool   // it stood there already
	At       time.Time
}

const selectSubscriptions = `SELECT s.id, c.name, s.body, s.token, s.reply_to, s.created, s.cursor,
	coalesce(o.tries, 0), coalesce(o.next, 0), coalesce(o.error, ''),
	(SELECT count(*) FROM deliveries d WHERE d.connector = s.connector AND d.sequence > s.cursor)
	FROM subscriptions s JOIN connectors c ON c.id = s.connector LEFT JOIN outbox o ON o.kind = 'subscription' AND o.id = s.id `

// scanSubscription reads what selectSubscriptions gives.
func scanSubscription(row interface{ Scan(...any) error }) (Subscription, error) {
	var s Subscription
	var created, next int64
	err := row.Scan(&s.ID, &s.Connector, &s.Body, &s.Token, &s.ReplyTo, &created, &s.Cursor,
		&s.Posting.Tries, &next, &s.Posting.Error, &s.Pending)
	s.Created, s.Posting.Next = millis(created), millis(next)
	return s, err
}

// subscriptions is who is told of deliveries, and the log that they read.
type subscriptions struct{ *database }

// AddSubscription keeps a new subscription, of a connector that was opened. Of
// s it takes the fields above Cursor. It starts behind what is delivered by now.
func (l subscriptions) AddSubscription(ctx context.Context, s Subscription) error {
	return l.exec(ctx, "add subscription "+s.ID, `INSERT INTO subscriptions (id, connector, created, token, reply_to, body, cursor)
		VALUES (?, (SELECT id FROM connectors WHERE name = ?), ?, ?, ?, ?, `+lastSequence+`)`,
		s.ID, s.Connector, s.Created.UnixMilli(), s.Token, s.ReplyTo, s.Body)
}

// lastSequence is that of the log, whose rows may be gone already.
const lastSequence = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'deliveries'), 0)"

// Subscription gives a subscription, or ErrNoSubscription.
func (l subscriptions) Subscription(ctx context.Context, id string) (Subscription, error) {
	s, err := Subscription{}, ErrNoSubscription
	slow := l.show(ctx, selectSubscriptions+"WHERE s.id = ?", func(rows *sql.Rows) error {
		s, err = scanSubscription(rows)
		return err
	}, id)
	if err = cmp.Or(slow, err); err != nil {
		return Subscription{}, subscriptionError("read", id, err)
	}
	return s, nil
}

// subscriptionError wraps the error of a statement about one subscription.
func subscriptionError(what, id string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoSubscription
	}
	return fmt.Errorf("ledger: %s subscription %s: %w", what, id, err)
}

// Subscriptions gives the subscriptions of a connector, oldest first.
func (l subscriptions) Subscriptions(ctx context.Context, connector string) ([]Subscription, error) {
	all := []Subscription{}
	err := l.show(ctx, selectSubscriptions+"WHERE c.name = ? ORDER BY s.rowid", func(rows *sql.Rows) error {
		s, err := scanSubscription(rows)
		all = append(all, s)
		return err
	}, connector)
	if err != nil {
		return nil, fmt.Errorf("ledger: subscriptions: %w", err)
	}
	return all, nil
}

// DeleteSubscription removes a subscription, or gives ErrNoSubscription.
func (l subscriptions) DeleteSubscription(ctx context.Context, id string) error {
	return l.move(ctx, "delete", id, time.Time{}, "DELETE FROM subscriptions WHERE id = ? RETURNING connector", id)
}

// Advance records that a subscription is done with deliveries up to and with a
// sequence: its receiver has them, or does not want them. The next are due from
// at on. A cursor never goes back, nor past the end of the log.
// ErrNoSubscription: it was deleted.
func (l subscriptions) Advance(ctx context.Context, id string, sequence int64, at time.Time) error {
	return l.move(ctx, "advance", id, at, "UPDATE subscriptions SET cursor = max(cursor, min(?, "+lastSequence+")) WHERE id = ? RETURNING connector", sequence, id)
}

// DropPending gives up what a subscription's receiver was not told of: it goes
// on with what is delivered from now on, also when it was never to be tried again.
func (l subscriptions) DropPending(ctx context.Context, id string, at time.Time) error {
	return l.Advance(ctx, id, math.MaxInt64, at)
}

// move changes a subscription by a query that gives its connector, whose log may be
// shorter then. What is left to be told goes to the end of its lane, due from at on.
func (l subscriptions) move(ctx context.Context, what, id string, at time.Time, query string, args ...any) error {
	var connector int64
	err := l.update(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, query, args...).Scan(&connector); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM outbox WHERE kind = ? AND id = ?", KindSubscription, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO outbox (kind, id, url, next) SELECT ?, s.id, s.reply_to, ? FROM subscriptions s
			WHERE s.id = ? AND EXISTS (SELECT 1 FROM deliveries d WHERE d.connector = s.connector AND d.sequence > s.cursor)`,
			KindSubscription, at.UnixMilli(), id)
		return err
	})
	if err == nil {
		err = l.prune(ctx, connector)
	}
	if err != nil {
		return subscriptionError(what, id, err)
	}
	return nil
}

// prune removes from the log what every subscription of the connector has
// passed: a part at a time, so that no commit waits for long.
func (l subscriptions) prune(ctx context.Context, connector int64) error {
	const most = 2000
	for {
		n, err := l.change(ctx, `DELETE FROM deliveries WHERE sequence IN (SELECT sequence FROM deliveries WHERE connector = ?
			AND sequence <= coalesce((SELECT min(cursor) FROM subscriptions WHERE connector = ?), ?) ORDER BY sequence LIMIT ?)`,
			connector, connector, math.MaxInt64, most)
		if err != nil || n < most {
			return err
		}
	}
}

// Deliveries gives up to limit deliveries of a subscription's connector behind
// a sequence, in their order. There are none of one that is not known.
func (l subscriptions) Deliveries(ctx context.Context, id string, after int64, limit int) ([]LoggedDelivery, error) {
	all := []LoggedDelivery{}
	err := l.each(ctx, `SELECT sequence, path, size, mtime, coalesce(nullif(target, ''), path), adopted, at FROM deliveries
		WHERE connector = (SELECT connector FROM subscriptions WHERE id = ?) AND sequence > ? ORDER BY sequence LIMIT ?`, func(rows *sql.Rows) error {
		var d LoggedDelivery
		var mtime, at int64
		err := rows.Scan(&d.Sequence, &d.Source.Name, &d.Source.Size, &mtime, &d.Target, &d.Adopted, &at)
		d.Source.ModTime, d.At = seconds(mtime), millis(at)
		all = append(all, d)
		return err
	}, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: deliveries for subscription %s: %w", id, err)
	}
	return all, nil
}
