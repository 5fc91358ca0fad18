package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"
)

const (
	// keptAudit is how many entries of the audit are kept: the newest.
	keptAudit = 100_000
	// auditTrim is how many go at a time, so that not each write removes one.
	auditTrim = 1000
)

// AuditEntry says that somebody changed something, or fetched credentials. Times are
// in whole milliseconds.
type AuditEntry struct {
	ID        string // grows; the ledger's to choose
	At        time.Time
	Who       string // the name of the token; "" for none
	Address   string
	Action    string
	Connector string // its name, whether the ledger has such a connector or not; "" for none
	Detail    string
	OK        bool
	Status    int // of HTTP
}

// AuditQuery selects entries. The zero AuditQuery selects all.
type AuditQuery struct {
	Connector string
	Cursor    string // of the page before; "" for the first
	Limit     int    // 1 to 1000; 0 for 100
}

// audit is who changed what.
type audit struct{ *database }

// Audit keeps an entry. Of those that were kept before, the oldest may go.
func (l audit) Audit(ctx context.Context, e AuditEntry) error {
	err := l.update(ctx, func(tx *sql.Tx) error {
		did, err := tx.ExecContext(ctx, "INSERT INTO audit (at, who, address, action, connector, detail, ok, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			e.At.UnixMilli(), e.Who, e.Address, e.Action, e.Connector, e.Detail, e.OK, e.Status)
		if err != nil {
			return err
		}
		id, err := did.LastInsertId()
		if err == nil && id%auditTrim == 0 {
			_, err = tx.ExecContext(ctx, "DELETE FROM audit WHERE id <= ?", id-keptAudit)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: audit: %w", err)
	}
	return nil
}

// AuditPage gives a page of the audit, newest first, and the cursor of the next page,
// or "".
func (l audit) AuditPage(ctx context.Context, q AuditQuery) (page []AuditEntry, next string, err error) {
	if q.Limit <= 0 || q.Limit > 1000 {
		q.Limit = 100
	}
	from, err := parseRow(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	where, args := "id < ?", []any{from}
	if q.Connector != "" {
		where, args = where+" AND connector = ?", append(args, q.Connector)
	}
	err = l.show(ctx, "SELECT id, at, who, address, action, connector, detail, ok, status FROM audit WHERE "+where+" ORDER BY id DESC LIMIT ?", func(rows *sql.Rows) error {
		var e AuditEntry
		var at int64
		err := rows.Scan(&e.ID, &at, &e.Who, &e.Address, &e.Action, &e.Connector, &e.Detail, &e.OK, &e.Status)
		e.At = millis(at)
		page = append(page, e)
		return err
	}, append(args, q.Limit)...)
	if err != nil {
		return nil, "", fmt.Errorf("ledger: audit: %w", err)
	}
	if len(page) == q.Limit {
		next = page[len(page)-1].ID
	}
	return page, next, nil
}

// parseRow reads a cursor that is the row behind which it goes on; "" is before the first.
func parseRow(cursor string) (from int64, err error) {
	if cursor == "" {
		return 1 << 62, nil
	}
	if from, err = strconv.ParseInt(cursor, 10, 64); err != nil {
		return 0, fmt.Errorf("cursor %q is not one of ours", cursor)
	}
	return from, nil
}
