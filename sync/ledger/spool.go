package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// SpoolState says what a row of a spool's index is.
type SpoolState string

// The states of rows.
const (
	SpoolDirectory SpoolState = "directory"
	SpoolPartial   SpoolState = "partial"  // an upload that its client may go on with
	SpoolReceived  SpoolState = "received" // was acknowledged whole
	SpoolRemoved   SpoolState = "removed"  // its object is to be removed, and then the row
	SpoolMoving    SpoolState = "moving"   // its object is about to come from Origin
)

// SpoolRow is a directory or an upload in the index of a spool.
type SpoolRow struct {
	ID      int64 // the caller's; from 1
	Parent  int64 // the directory's ID; 0: the top
	Name    string
	State   SpoolState
	Object  string
	Size    int64
	ModTime time.Time // whole seconds
	Changed time.Time // whole milliseconds
	Origin  string    // where the object stood before there was an index
}

// Spool is the index of one Space's spool. It may be used concurrently.
type Spool struct {
	ledger    *Ledger
	connector int64
}

// Spool opens the index that belongs to a connector, and makes it if there is none.
func (l *Ledger) Spool(ctx context.Context, connector string) (*Spool, error) {
	c, err := l.Connector(ctx, connector)
	if err != nil {
		return nil, err
	}
	return &Spool{l, c.id}, nil
}

// Rows calls f for each row, in the order of the IDs. f must not wait.
func (s *Spool) Rows(ctx context.Context, f func(SpoolRow) error) error {
	err := s.ledger.each(ctx, "SELECT id, parent, name, state, object, size, mtime, changed, origin FROM spool WHERE connector = ? ORDER BY id", func(rows *sql.Rows) error {
		var r SpoolRow
		var mtime, changed int64
		if err := rows.Scan(&r.ID, &r.Parent, &r.Name, &r.State, &r.Object, &r.Size, &mtime, &changed, &r.Origin); err != nil {
			return err
		}
		r.ModTime, r.Changed = seconds(mtime), millis(changed)
		return f(r)
	}, s.connector)
	if err != nil {
		return fmt.Errorf("ledger: spool: %w", err)
	}
	return nil
}

// Change writes the rows in put, in the place of those of the same ID, and removes
// those in drop, all at once and durably.
func (s *Spool) Change(ctx context.Context, put []SpoolRow, drop []int64) error {
	if len(put) == 0 && len(drop) == 0 {
		return nil
	}
	list, err := json.Marshal(drop)
	if err != nil {
		return err
	}
	err = s.ledger.update(ctx, func(tx *sql.Tx) error {
		if len(drop) > 0 {
			if _, err := tx.ExecContext(ctx, "DELETE FROM spool WHERE connector = ? AND id IN (SELECT value FROM json_each(?))", s.connector, string(list)); err != nil {
				return err
			}
		}
		if len(put) == 0 {
			return nil
		}
		write, err := tx.PrepareContext(ctx, `INSERT OR REPLACE INTO spool (connector, id, parent, name, state, object, size, mtime, changed, origin)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer write.Close()
		for _, r := range put {
			if _, err := write.ExecContext(ctx, s.connector, r.ID, r.Parent, r.Name, string(r.State), r.Object, r.Size, unix(r.ModTime), r.Changed.UnixMilli(), r.Origin); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: change the spool: %w", err)
	}
	return nil
}
