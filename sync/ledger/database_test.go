package ledger

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"
)

// A deadline that comes while another process has the file is told as SQLite tells it;
// one that comes behind our own transaction is not.
func TestDeadlineOfALockedFile(t *testing.T) {
	l, c := newLedger(t)
	defer l.Close()
	short := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return c.Clear(ctx)
	}

	other, err := sql.Open("sqlite", uri(l.path))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	held, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := held.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := short(); !Broken(err) || !strings.Contains(err.Error(), "database is locked") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked by another: %v", err)
	}
	if _, err := held.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}

	if err := l.update(t.Context(), func(*sql.Tx) error {
		if err := short(); Broken(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("behind our own transaction: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
