package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
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

const (
	requestColumns = `r.id, c.name, r.state, r.body, r.token, r.reply_to, r.accepted, r.deadline, r.finished,
		r.posted > 0, coalesce(o.tries, r.posted), coalesce(o.next, 0), coalesce(o.error, '')`
	requestTables = " FROM requests r JOIN connectors c ON c.id = r.connector LEFT JOIN outbox o ON o.kind = 'reply' AND o.id = r.id "
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

// requests is what other programs asked of connectors, and the answers.
type requests struct{ *database }

// AcceptRequest keeps a new request, of a connector that was opened. If there
// is one of that id already, it stays as it is, whoever asked for what. now is
// the request as the ledger has it, in either case.
func (l requests) AcceptRequest(ctx context.Context, r Request) (now Request, added bool, err error) {
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
func (l requests) Request(ctx context.Context, id string) (Request, error) {
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
func (l requests) OpenRequests(ctx context.Context) ([]Request, error) {
	return l.list(ctx, l.each, "open requests", "WHERE r.state IN ('accepted', 'running') ORDER BY r.rowid")
}

// RequestsOf gives the last requests of a connector, newest first. They come
// without their replies, which may be large.
func (l requests) RequestsOf(ctx context.Context, connector string, limit int) ([]Request, error) {
	return l.list(ctx, l.show, "requests", "WHERE c.name = ? ORDER BY r.rowid DESC LIMIT ?", connector, limit)
}

// RequestQuery selects requests. The zero RequestQuery selects all.
type RequestQuery struct {
	Connector string
	State     string
	Cursor    string // of the page before; "" for the first
	Limit     int    // 1 to 1000; 0 for 100
}

// replyHead is how much of a reply, in characters, RequestPage gives: a reply may have
// 200,000 names.
const replyHead = 16 << 10

// RequestPage gives a page of requests, newest first, and the cursor of the next page,
// or "". Of their replies it gives how they begin.
func (l requests) RequestPage(ctx context.Context, q RequestQuery) (page []Request, next string, err error) {
	if q.Limit <= 0 || q.Limit > 1000 {
		q.Limit = 100
	}
	from, err := parseRow(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	where, args := "r.rowid < ?", []any{from}
	if q.Connector != "" {
		where, args = where+" AND r.connector = (SELECT id FROM connectors WHERE name = ?)", append(args, q.Connector)
	}
	switch {
	case q.State != "" && q.Connector != "": // it is the index by connector that has the few
		where, args = where+" AND +r.state = ?", append(args, q.State)
	case q.State != "":
		where, args = where+" AND r.state = ?", append(args, q.State)
	}
	var last int64
	err = l.show(ctx, fmt.Sprintf("SELECT r.rowid, %s, substr(r.reply, 1, %d)%sWHERE %s ORDER BY r.rowid DESC LIMIT ?", requestColumns, replyHead, requestTables, where), func(rows *sql.Rows) error {
		r, err := scanRequest(scanner(func(request ...any) error { return rows.Scan(append([]any{&last}, request...)...) }))
		page = append(page, r)
		return err
	}, append(args, q.Limit)...)
	if err != nil {
		return nil, "", fmt.Errorf("ledger: requests: %w", err)
	}
	if len(page) == q.Limit {
		next = strconv.FormatInt(last, 10)
	}
	return page, next, nil
}

// list reads many requests, without their replies.
func (l requests) list(ctx context.Context, read reader, what, where string, args ...any) ([]Request, error) {
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
func (l requests) RunRequest(ctx context.Context, id string) (open bool, err error) {
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
func (l requests) FinishRequest(ctx context.Context, id, state, reply string, at time.Time) (won bool, err error) {
	ms := at.UnixMilli()
	err = l.update(ctx, func(tx *sql.Tx) error {
		var url string
		err := tx.QueryRowContext(ctx, `UPDATE requests SET state = ?, reply = ?, finished = ?
			WHERE id = ? AND state IN ('accepted', 'running') RETURNING reply_to`, state, reply, ms, id).Scan(&url)
		if won = err == nil; won && url != "" {
			_, err = tx.ExecContext(ctx, "INSERT INTO outbox (kind, id, url, next) VALUES (?, ?, ?, ?)", KindReply, id, url, ms)
		}
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("ledger: finish request %s: %w", id, err)
	}
	return won, nil
}

// ReplyPosted records that the receiver has the reply of a request.
func (l requests) ReplyPosted(ctx context.Context, id string) error {
	err := l.update(ctx, func(tx *sql.Tx) error {
		var failed int
		err := tx.QueryRowContext(ctx, "DELETE FROM outbox WHERE kind = ? AND id = ? RETURNING tries", KindReply, id).Scan(&failed)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // it is known
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE requests SET posted = ? WHERE id = ?", failed+1, id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: reply to %s posted: %w", id, err)
	}
	return nil
}
