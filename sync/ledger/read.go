package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	// showTime is how long somebody who looks at the ledger may wait, for a
	// connection and for the answer.
	showTime = 10 * time.Second
	// maxIdle is how long a connection is kept that nobody uses.
	maxIdle = 5 * time.Minute
)

// ErrSlow says that the ledger took too long to answer.
var ErrSlow = errors.New("the ledger took too long to answer")

// reader runs a query and calls f for each row. f must not wait for anything:
// while rows are read, the write-ahead log grows.
type reader func(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error

// each is the reader of passes and postings.
func (l *Ledger) each(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	return each(ctx, l.read, query, f, args...)
}

// show is the reader for all who look at the ledger. However many there are, and
// whatever they ask for, passes do not wait for them. It fails with ErrSlow.
func (l *Ledger) show(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	limited, cancel := context.WithTimeout(ctx, showTime)
	defer cancel()
	err := each(limited, l.pages, query, f, args...)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: more than %v", ErrSlow, showTime)
	}
	return err
}

func each(ctx context.Context, db *sql.DB, query string, f func(*sql.Rows) error, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
