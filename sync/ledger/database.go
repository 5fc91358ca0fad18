package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
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

// errLocked says, as SQLite does, that another process has the file. It is told when
// the writer's own deadline comes before SQLite's.
var errLocked = errors.New("database is locked")

// database is an open file of SQLite. It may be used concurrently.
type database struct {
	path string
	// SQLite takes one writer at a time: writers queue for the one connection
	// here, where waiting is fair and obeys ctx.
	write   *sql.DB
	writing atomic.Int32 // transactions of the one writer that are under way

	read  *sql.DB // for passes and postings, which nobody's curiosity may hold up
	pages *sql.DB // for those who look at the ledger

	trimming sync.Mutex
	trimAt   int64 // the size of the write-ahead log that is too large; trimming guards it
}

// openDatabase opens a file, and makes it if there is none.
func openDatabase(path string) (*database, error) {
	d := &database{path: path, trimAt: maxLog}
	var err error
	for _, each := range []struct {
		db          **sql.DB
		lock        string
		connections int
	}{{&d.write, "immediate", 1}, {&d.read, "deferred", 4}, {&d.pages, "deferred", 4}} {
		if *each.db, err = connect(path, each.lock, each.connections); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	return d, nil
}

func (d *database) close() error {
	var errs []error
	for _, db := range []*sql.DB{d.pages, d.read, d.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// update runs f in a transaction of the one writer. What it wrote is durable
// when it returns nil.
func (d *database) update(ctx context.Context, f func(*sql.Tx) error) error {
	if err := d.transact(ctx, f); err != nil {
		return err
	}
	d.trim(ctx)
	return nil
}

func (d *database) transact(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if errors.Is(err, context.DeadlineExceeded) && d.writing.Load() == 0 {
		return fmt.Errorf("%w (%w)", errLocked, err)
	}
	if err != nil {
		return err
	}
	d.writing.Add(1)
	defer d.writing.Add(-1)
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// exec runs one statement in a transaction of its own.
func (d *database) exec(ctx context.Context, what, query string, args ...any) error {
	if _, err := d.change(ctx, query, args...); err != nil {
		return fmt.Errorf("ledger: %s: %w", what, err)
	}
	return nil
}

// change is exec without the words; it gives the number of rows.
func (d *database) change(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = d.update(ctx, func(tx *sql.Tx) error {
		did, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err = did.RowsAffected()
		return err
	})
	return n, err
}

func connect(path, lock string, connections int) (*sql.DB, error) {
	q := url.Values{"_txlock": {lock}, "_pragma": {
		"busy_timeout(30000)", "journal_mode(wal)", fmt.Sprintf("journal_size_limit(%d)", maxLog), "synchronous(full)", "foreign_keys(on)", "cache_size(-4096)", "temp_store(memory)",
	}}
	db, err := sql.Open("sqlite", uri(path)+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(maxIdle)
	return db, nil
}

// uri is a path as SQLite reads it (https://sqlite.org/uri.html): what ends a
// path there is escaped, and one that starts with a slash has an empty
// authority, so that none is seen in //server/share. C:/dir needs none.
func uri(path string) string {
	path = filepath.ToSlash(path)
	escaped := (&url.URL{Path: path}).EscapedPath()
	if strings.HasPrefix(path, "/") {
		return "file://" + escaped
	}
	return "file:" + escaped
}

// each is the reader of passes and postings.
func (d *database) each(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	return each(ctx, d.read, query, f, args...)
}

// show is the reader for all who look at the ledger. However many there are, and
// whatever they ask for, passes do not wait for them. It fails with ErrSlow.
func (d *database) show(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	limited, cancel := context.WithTimeout(ctx, showTime)
	defer cancel()
	err := each(limited, d.pages, query, f, args...)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: more than %v", ErrSlow, showTime)
	}
	return err
}

// reader runs a query and calls f for each row. f must not wait for anything:
// while rows are read, the write-ahead log grows.
type reader func(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error

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
