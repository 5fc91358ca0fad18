package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"modernc.org/sqlite" // registers the driver "sqlite", too
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed schema.sql
var schema string // of a new file

// upgrades bring a file to the next version: the first, one of version 1.
//
//go:embed version2.sql version3.sql version4.sql version5.sql version6.sql version7.sql version8.sql
var upgrades embed.FS

// version is the schema's, kept in PRAGMA user_version.
const version = 8

// Ledger is an open ledger file, by role. It may be used concurrently.
type Ledger struct {
	*database
	requests
	subscriptions
	audit
	owner  string
	holder string // this process, or rather what it has opened
	idle   idlePasses
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
	db, err := openDatabase(path)
	if err != nil {
		return nil, err
	}
	l := &Ledger{database: db, requests: requests{db}, subscriptions: subscriptions{db}, audit: audit{db}, holder: randomHex(8), idle: idlePasses{db: db}}
	if err := l.migrate(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// migrate makes the schema of a new file, brings one of an earlier version to
// this one, and refuses one of a later. Where all rows are sorted anew, that is done in
// temporary files: memory would have to hold all of them. It has to where no file can be
// made.
func (l *Ledger) migrate(ctx context.Context) error {
	err := l.migrateWith(ctx, "file")
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL:
			err = l.migrateWith(ctx, "memory")
		}
	}
	if err != nil {
		return err
	}
	return l.sortIn(ctx, "memory")
}

// sortIn says where the writer keeps what it sorts: "file" or "memory".
func (l *Ledger) sortIn(ctx context.Context, where string) error {
	_, err := l.write.ExecContext(ctx, "PRAGMA temp_store = "+where)
	return err
}

func (l *Ledger) migrateWith(ctx context.Context, where string) error {
	if err := l.sortIn(ctx, where); err != nil {
		return err
	}
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
	return file || taken || errors.Is(err, errLocked)
}

// Owner tells this ledger from all others: 8 hexadecimal digits, for the names
// of pending files.
func (l *Ledger) Owner() string { return l.owner }

// Close closes the file.
func (l *Ledger) Close() error { return errors.Join(l.idle.close(), l.database.close()) }

// RequireSweep has the next pass of each connector sweep: after a power cut there may be
// pending files whose removal was not durable.
func (l *Ledger) RequireSweep(ctx context.Context) error {
	return l.exec(ctx, "require sweep", "UPDATE connectors SET sweep = 1")
}
