package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ErrNoRequest says that the ledger has no request of that id.
var ErrNoRequest = errors.New("no such request")

// The states of a request that has no answer yet. Any other is final, and its
// name is for the callers to choose.
const (
	RequestAccepted = "accepted"
	RequestRunning  = "running"
)

// Request is what another program asked of a connector. Times are in whole
// milliseconds.
type Request struct {
	ID        string // chosen by who asks; unique in the ledger
	Connector string // its name
	State     string
	Body      string // JSON, which the ledger does not look into
	Token     string // the name of the caller's token
	ReplyTo   string // where the reply is posted; "" for nowhere
	Accepted  time.Time
	Deadline  time.Time
	Finished  time.Time // zero while there is no answer
	Reply     string    // JSON as well; "" while there is no answer
	Posted    bool      // the receiver has the reply
	Posting   Posting   // how the posting of the reply goes
}

// maxPostingWait is how long a posting is put off at the most, after it has failed.
// One that is due later was planned on a clock that has been set back since: it is
// due now. One that has not failed is always due.
const maxPostingWait = 10 * time.Minute

// Posting is how it goes to post something to a receiver.
type Posting struct {
	Tries int
	Next  time.Time // when it is tried next; zero: not any more, or not yet
	Error string    // of the last try; "" when it went well
}

const (
	requestColumns = `r.id, c.name, r.state, r.body, r.token, r.reply_to, r.accepted, r.deadline, r.finished,
		r.posted, r.tries, coalesce(r.next, 0), r.error`
	requestTables = " FROM requests r JOIN connectors c ON c.id = r.connector "
)

// scanRequest reads requestColumns and a column for the reply.
func scanRequest(row interface{ Scan(...any) error }) (Request, error) {
	var r Request
	var accepted, deadline, finished, next int64
	err := row.Scan(&r.ID, &r.Connector, &r.State, &r.Body, &r.Token, &r.ReplyTo, &accepted, &deadline, &finished,
		&r.Posted, &r.Posting.Tries, &next, &r.Posting.Error, &r.Reply)
	r.Accepted, r.Deadline, r.Finished, r.Posting.Next = millis(accepted), millis(deadline), millis(finished), millis(next)
	return r, err
}

// AcceptRequest keeps a new request, of a connector that was opened. If there
// is one of that id already, it stays as it is, whoever asked for what. now is
// the request as the ledger has it, in either case.
func (l *Ledger) AcceptRequest(ctx context.Context, r Request) (now Request, added bool, err error) {
	err = l.update(ctx, func(tx *sql.Tx) error {
		did, err := tx.ExecContext(ctx, `INSERT INTO requests (id, connector, state, body, token, reply_to, accepted, deadline)
			VALUES (?, (SELECT id FROM connectors WHERE name = ?), ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			r.ID, r.Connector, RequestAccepted, r.Body, r.Token, r.ReplyTo, r.Accepted.UnixMilli(), r.Deadline.UnixMilli())
		if err != nil {
			return err
		}
		n, err := did.RowsAffected()
		if err != nil {
			return err
		}
		added = n == 1
		now, err = scanRequest(tx.QueryRowContext(ctx, "SELECT "+requestColumns+", r.reply"+requestTables+"WHERE r.id = ?", r.ID))
		return err
	})
	if err != nil {
		return Request{}, false, fmt.Errorf("ledger: accept request %s of connector %s: %w", r.ID, r.Connector, err)
	}
	return now, added, nil
}

// Request gives a request, or ErrNoRequest.
func (l *Ledger) Request(ctx context.Context, id string) (Request, error) {
	r, err := Request{}, ErrNoRequest
	slow := l.show(ctx, "SELECT "+requestColumns+", r.reply"+requestTables+"WHERE r.id = ?", func(rows *sql.Rows) error {
		r, err = scanRequest(rows)
		return err
	}, id)
	if err = cmp.Or(slow, err); err != nil {
		return Request{}, fmt.Errorf("ledger: request %s: %w", id, err)
	}
	return r, nil
}

// OpenRequests gives the requests of all connectors that have no answer yet,
// oldest first.
func (l *Ledger) OpenRequests(ctx context.Context) ([]Request, error) {
	return l.requests(ctx, l.each, "open requests", "WHERE r.state IN ('accepted', 'running') ORDER BY r.rowid")
}

// RequestsOf gives the last requests of a connector, newest first. They come
// without their replies, which may be large.
func (l *Ledger) RequestsOf(ctx context.Context, connector string, limit int) ([]Request, error) {
	return l.requests(ctx, l.show, "requests", "WHERE c.name = ? ORDER BY r.rowid DESC LIMIT ?", connector, limit)
}

// requests reads many requests, without their replies.
func (l *Ledger) requests(ctx context.Context, read reader, what, where string, args ...any) ([]Request, error) {
	all := []Request{}
	err := read(ctx, "SELECT "+requestColumns+", ''"+requestTables+where, func(rows *sql.Rows) error {
		r, err := scanRequest(rows)
		all = append(all, r)
		return err
	}, args...)
	if err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", what, err)
	}
	return all, nil
}

// RunRequest records that a request is being worked on. open is false when it
// has its answer already, or is not known.
func (l *Ledger) RunRequest(ctx context.Context, id string) (open bool, err error) {
	n, err := l.change(ctx, "UPDATE requests SET state = ? WHERE id = ? AND state IN ('accepted', 'running')", RequestRunning, id)
	if err != nil {
		return false, fmt.Errorf("ledger: run request %s: %w", id, err)
	}
	return n == 1, nil
}

// FinishRequest gives a request its answer: a final state and the reply. When
// the request says where to, the reply is due to be posted from then on. There
// is one answer ever: won is false for all but the first, which stays, and for
// a request that is not known.
func (l *Ledger) FinishRequest(ctx context.Context, id, state, reply string, at time.Time) (won bool, err error) {
	ms := at.UnixMilli()
	n, err := l.change(ctx, `UPDATE requests SET state = ?, reply = ?, finished = ?, next = CASE reply_to WHEN '' THEN NULL ELSE ? END
		WHERE id = ? AND state IN ('accepted', 'running')`, state, reply, ms, ms, id)
	if err != nil {
		return false, fmt.Errorf("ledger: finish request %s: %w", id, err)
	}
	return n == 1, nil
}

// DueReplies gives requests whose replies are due to be posted at now: for each
// receiver the one that is due longest, and of these up to limit, those due
// longest first. They come without the replies, which Request has. next is when
// another one becomes due after now; zero: none does.
func (l *Ledger) DueReplies(ctx context.Context, now time.Time, limit int) (due []Request, next time.Time, err error) {
	due, err = l.requests(ctx, l.each, "due replies", `JOIN
		(SELECT rowid AS first, min(next) AS since FROM requests WHERE next IS NOT NULL AND (tries = 0 OR next <= ? OR next > ?) GROUP BY reply_to ORDER BY since LIMIT ?)
		ON r.rowid = first ORDER BY since`, now.UnixMilli(), now.Add(maxPostingWait).UnixMilli(), limit)
	if err != nil {
		return nil, time.Time{}, err
	}
	var ms int64
	err = l.read.QueryRowContext(ctx, "SELECT coalesce(min(next), 0) FROM requests WHERE tries > 0 AND next > ? AND next <= ?",
		now.UnixMilli(), now.Add(maxPostingWait).UnixMilli()).Scan(&ms)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("ledger: next reply: %w", err)
	}
	return due, millis(ms), nil
}

// ReplyPosted records that the receiver has the reply of a request.
func (l *Ledger) ReplyPosted(ctx context.Context, id string) error {
	return l.exec(ctx, "reply posted", "UPDATE requests SET posted = 1, tries = tries + 1, next = NULL, error = '' WHERE id = ?", id)
}

// ReplyFailed records that posting the reply of a request failed, for the
// tries-th time. It is due again at next; zero: never.
func (l *Ledger) ReplyFailed(ctx context.Context, id string, tries int, next time.Time, text string) error {
	return l.exec(ctx, "reply failed", "UPDATE requests SET tries = ?, next = ?, error = ? WHERE id = ? AND NOT posted", tries, unlessZero(next), text, id)
}

// unlessZero is a time as a column has it: NULL for zero.
func unlessZero(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}
