package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Kind says what a posting is about. Alerts get a kind of their own when they come.
type Kind string

// The kinds of postings.
const (
	KindReply        Kind = "reply"        // its ID is the request's
	KindSubscription Kind = "subscription" // its ID is the subscription's, which has deliveries to be told of
)

// Lane is the postings of a kind to a receiver.
type Lane struct {
	Kind     Kind
	Receiver string // the URL without its query, in which callers number their requests
	Host     string // scheme, host and port of that
}

// Posting is how it goes to post something to a receiver.
type Posting struct {
	Tries int
	Next  time.Time // when it is tried next; zero: not any more, or not yet
	Error string    // of the last try; "" when it went well
}

// OutboxRow is something that is to be posted. The outbox has one for a Kind and ID.
type OutboxRow struct {
	Lane
	ID    string
	URL   string
	Tries int // that failed
}

// String names the row in logs.
func (r OutboxRow) String() string { return string(r.Kind) + ":" + r.ID }

// maxPostingWait is how long a posting is put off at the most, after it has failed.
// One that is due later was planned on a clock that has been set back since: it is
// due now. One that has not failed is always due.
const maxPostingWait = 10 * time.Minute

// isDue takes two arguments, which dueAt gives.
const isDue = "next IS NOT NULL AND (tries = 0 OR next <= ? OR next > ?)"

func dueAt(now time.Time) (soon, late int64) {
	return now.UnixMilli(), now.Add(maxPostingWait).UnixMilli()
}

// Outbox is what is to be posted, of all kinds. A row is written in the transaction
// that makes it due, and stays until it is posted. It may be used concurrently.
type Outbox struct{ ledger *Ledger }

// Outbox gives the ledger's outbox.
func (l *Ledger) Outbox() Outbox { return Outbox{l} }

// Lanes gives up to limit lanes in which something is due at now, those first where
// it has been for longest. The busy ones are left out, and all those of the hosts.
// next is when something else becomes due after now; zero: nothing does, as it stands.
func (o Outbox) Lanes(ctx context.Context, now time.Time, busy []Lane, hosts []string, limit int) (lanes []Lane, next time.Time, err error) {
	taken := []string{}
	for _, b := range busy {
		taken = append(taken, string(b.Kind)+" "+b.Receiver)
	}
	except, err := json.Marshal(map[string][]string{"lanes": taken, "hosts": append([]string{}, hosts...)})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("ledger: lanes of the outbox: %w", err)
	}
	soon, late := dueAt(now)
	err = o.ledger.each(ctx, `SELECT host, kind, receiver, min(next) AS since FROM outbox WHERE `+isDue+`
		AND kind || ' ' || receiver NOT IN (SELECT value FROM json_each(?, '$.lanes')) AND host NOT IN (SELECT value FROM json_each(?, '$.hosts'))
		GROUP BY host, kind, receiver ORDER BY since LIMIT ?`, func(rows *sql.Rows) error {
		var l Lane
		var since int64
		err := rows.Scan(&l.Host, &l.Kind, &l.Receiver, &since)
		lanes = append(lanes, l)
		return err
	}, soon, late, string(except), string(except), limit)
	var ms int64
	if err == nil {
		err = o.ledger.read.QueryRowContext(ctx, "SELECT coalesce(min(next), 0) FROM outbox WHERE tries > 0 AND next > ? AND next <= ?", soon, late).Scan(&ms)
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("ledger: lanes of the outbox: %w", err)
	}
	return lanes, millis(ms), nil
}

// Due gives up to limit rows of a lane that are due at now: those that were not tried
// yet in the order in which they came, then those that failed, by when they are due.
func (o Outbox) Due(ctx context.Context, lane Lane, now time.Time, limit int) (due []OutboxRow, err error) {
	soon, late := dueAt(now)
	err = o.ledger.each(ctx, `SELECT id, url, tries FROM outbox WHERE `+isDue+` AND host = ? AND kind = ? AND receiver = ?
		ORDER BY CASE tries WHEN 0 THEN NULL ELSE next END, seq LIMIT ?`, func(rows *sql.Rows) error {
		r := OutboxRow{Lane: lane}
		err := rows.Scan(&r.ID, &r.URL, &r.Tries)
		due = append(due, r)
		return err
	}, soon, late, lane.Host, lane.Kind, lane.Receiver, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: outbox of %s: %w", lane.Host, err)
	}
	return due, nil
}

// Failed records that posting a row failed, for the r.Tries-th time. It is due again
// at next; zero: never.
func (o Outbox) Failed(ctx context.Context, r OutboxRow, next time.Time, text string) error {
	var ms any // NULL for never
	if !next.IsZero() {
		ms = next.UnixMilli()
	}
	return o.ledger.exec(ctx, "posting failed", "UPDATE outbox SET tries = ?, next = ?, error = ? WHERE kind = ? AND id = ?", r.Tries, ms, text, r.Kind, r.ID)
}

// Drop removes a row of which there is nothing to post.
func (o Outbox) Drop(ctx context.Context, r OutboxRow) error {
	return o.ledger.exec(ctx, "drop posting", "DELETE FROM outbox WHERE kind = ? AND id = ?", r.Kind, r.ID)
}
