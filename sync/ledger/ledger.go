// Package ledger keeps in one SQLite file what every connector has delivered,
// what failed, what was about to happen when a pass was killed, and what other
// programs asked for. A Connector of it implements pass.Ledger.
//
// SQLite is modernc.org/sqlite, which is pure Go and so builds everywhere. The
// journal is a write-ahead log that is synced with every commit: what a method
// wrote is durable when it returns. Several processes may have the file open;
// that only one of them runs passes of a connector is the callers' promise.
package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"modernc.org/sqlite" // registers the driver "sqlite", too
	sqlite3 "modernc.org/sqlite/lib"

	filesync "sftpconnector/sync"
)

//go:embed schema.sql
var schema string // of a new file

// upgrades bring a file to the next version: the first, one of version 1.
//
//go:embed version2.sql version3.sql version4.sql version5.sql version6.sql version7.sql
var upgrades embed.FS

// version is the schema's, kept in PRAGMA user_version.
const version = 7

// Ledger is an open ledger file. It may be used concurrently.
type Ledger struct {
	path   string
	owner  string
	holder string // this process, or rather what it has opened
	// SQLite takes one writer at a time: writers queue for the one connection
	// here, where waiting is fair and obeys ctx.
	write *sql.DB
	read  *sql.DB // for passes and postings, which nobody's curiosity may hold up
	pages *sql.DB // for those who look at the ledger

	idle idlePasses

	trimming sync.Mutex
	trimAt   int64 // the size of the write-ahead log that is too large; trimming guards it
}

// Open opens the ledger file in dir, and makes it if there is none.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	path := filepath.Join(dir, "ledger.db")
	l, err := open(ctx, path)
	switch {
	case damaged(err):
		return nil, fmt.Errorf("open ledger %s: the file is damaged: %w; %s", path, err, adviceDamaged)
	case err != nil:
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	return l, nil
}

// adviceDamaged is what to do about a file that is none any more.
const adviceDamaged = "bring it back from a backup, or move it and its -wal and -shm away to begin a new one, which takes what stands at the destinations with the same name, size and time as delivered"

// damaged reports whether err says that the file is not, or not any more, a ledger.
func damaged(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return errors.Is(err, errEmpty) || errors.Is(err, errNotALedger) || errors.Is(err, errGone) || ok && (e.Code()&0xff == sqlite3.SQLITE_CORRUPT || e.Code()&0xff == sqlite3.SQLITE_NOTADB)
}

func open(ctx context.Context, path string) (*Ledger, error) {
	if err := makeFile(ctx, path); err != nil {
		return nil, err
	}
	return openFile(ctx, path)
}

func openFile(ctx context.Context, path string) (*Ledger, error) {
	l := &Ledger{path: path, holder: randomHex(8), trimAt: maxLog}
	var err error
	for _, each := range []struct {
		db          **sql.DB
		lock        string
		connections int
	}{{&l.write, "immediate", 1}, {&l.read, "deferred", 4}, {&l.pages, "deferred", 4}} {
		if *each.db, err = connect(path, each.lock, each.connections); err != nil {
			l.Close()
			return nil, err
		}
	}
	if err := l.migrate(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
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

// migrate makes the schema of a new file, brings one of an earlier version to
// this one, and refuses one of a later.
func (l *Ledger) migrate(ctx context.Context) error {
	return l.update(ctx, func(tx *sql.Tx) error {
		var have int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
			return err
		}
		switch {
		case have > version:
			return fmt.Errorf("it is of version %d and this program knows version %d: use a newer program", have, version)
		case have == 0:
			if err := createTables(ctx, tx); err != nil {
				return err
			}
		default:
			for to := have + 1; to <= version; to++ {
				step, err := upgrades.ReadFile(fmt.Sprintf("version%d.sql", to))
				if err == nil {
					_, err = tx.ExecContext(ctx, string(step))
				}
				if err != nil {
					return fmt.Errorf("bring it to version %d: %w", to, err)
				}
			}
		}
		if have < version {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
				return err
			}
		}
		return tx.QueryRowContext(ctx, "SELECT id FROM owner").Scan(&l.owner)
	})
}

// createTables makes the tables of a new file.
func createTables(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, schema+"CREATE TABLE owner (id TEXT NOT NULL);"); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO owner VALUES (?)", randomHex(4))
	return err
}

// randomHex gives n random bytes in hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// Broken reports whether err is one of the ledger: its file is locked, damaged or
// read-only, its disk is full or fails, or another process has taken the connector over.
func Broken(err error) bool {
	_, file := errors.AsType[*sqlite.Error](err)
	_, taken := errors.AsType[*TakenOverError](err)
	return file || taken
}

// Owner tells this ledger from all others: 8 hexadecimal digits, for the names
// of pending files.
func (l *Ledger) Owner() string { return l.owner }

// Close closes the file.
func (l *Ledger) Close() error {
	var errs []error
	if l.write != nil {
		errs = append(errs, l.closeIdle())
	}
	for _, db := range []*sql.DB{l.pages, l.read, l.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// update runs f in a transaction of the one writer. What it wrote is durable
// when it returns nil.
func (l *Ledger) update(ctx context.Context, f func(*sql.Tx) error) error {
	if err := l.transact(ctx, f); err != nil {
		return err
	}
	l.trim(ctx)
	return nil
}

func (l *Ledger) transact(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// exec runs one statement in a transaction of its own.
func (l *Ledger) exec(ctx context.Context, what, query string, args ...any) error {
	if _, err := l.change(ctx, query, args...); err != nil {
		return fmt.Errorf("ledger: %s: %w", what, err)
	}
	return nil
}

// change is exec without the words; it gives the number of rows.
func (l *Ledger) change(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = l.update(ctx, func(tx *sql.Tx) error {
		did, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err = did.RowsAffected()
		return err
	})
	return n, err
}

// Connector opens one connector's part, and makes it if there is none.
func (l *Ledger) Connector(ctx context.Context, name string) (*Connector, error) {
	c := &Connector{ledger: l, name: name}
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
	return c, nil
}

// addLeases gives new connectors their leases.
func addLeases(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO leases SELECT id, '', 0, 0 FROM connectors WHERE id NOT IN (SELECT connector FROM leases)")
	return err
}

// Connector is one connector's part of a ledger. It may be used concurrently. The writes
// of one that was claimed are refused with a TakenOverError once another process has
// claimed it.
type Connector struct {
	ledger *Ledger
	id     int64
	name   string
	fence  fence
}

// Delivered gives the last files that were delivered, or found in place: the
// newest delivery first, also of a file that was delivered before.
func (c *Connector) Delivered(ctx context.Context, limit int) ([]File, error) {
	files := []File{}
	err := c.ledger.show(ctx, "SELECT "+fileColumns+" FROM files WHERE connector = ? ORDER BY seq DESC, at DESC, id DESC LIMIT ?", func(rows *sql.Rows) error {
		r, err := scanFile(rows)
		state := filesync.StateDelivered
		if r.Delivery.Adopted {
			state = filesync.StatePresent
		}
		files = append(files, File{ID: strconv.FormatInt(r.ID, 10), State: state, Record: r})
		return err
	}, c.id, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: delivered: %w", err)
	}
	return files, nil
}
