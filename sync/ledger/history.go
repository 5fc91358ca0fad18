package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	filesync "sftpconnector/sync"
)

// File is one row of the ledger as the API and the history show it.
type File struct {
	ID     string
	Record filesync.Record
	State  filesync.State
}

// Query selects rows of files. The zero Query selects all.
type Query struct {
	State  filesync.State // delivered, present, failed, quarantined or conflict; "" for all
	Name   string         // a part of the path, or a pattern with * and ?
	Pass   string
	Cursor string // of the page before; "" for the first
	Limit  int    // 1 to 1000; 0 for 100
}

// history is the rows of files for those who look at them.
type history struct{ *part }

// Files gives a page of rows, newest first, and the cursor of the next page, or "".
// Files that fail come before those that were delivered.
func (c history) Files(ctx context.Context, q Query) (page []File, next string, err error) {
	if q.Limit <= 0 || q.Limit > 1000 {
		q.Limit = 100
	}
	table, from, err := parseCursor(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	if table == "f" && q.Pass == "" {
		if page, err = c.failing(ctx, q, from); err != nil {
			return nil, "", err
		}
		if len(page) == q.Limit {
			return page, "f" + page[len(page)-1].ID, nil
		}
		from = 1 << 62
	}
	rest := q
	rest.Limit -= len(page)
	done, err := c.delivered(ctx, rest, from)
	if err != nil {
		return nil, "", err
	}
	page = append(page, done...)
	if len(done) == rest.Limit {
		next = "d" + done[len(done)-1].ID
	}
	return page, next, nil
}

// parseCursor splits a cursor: the table, and the row behind which it goes on.
func parseCursor(s string) (table string, from int64, err error) {
	if s == "" {
		return "f", 1 << 62, nil
	}
	n, err := strconv.ParseInt(s[1:], 10, 64)
	if err != nil || s[0] != 'f' && s[0] != 'd' {
		return "", 0, fmt.Errorf("cursor %q is not one of ours", s)
	}
	return s[:1], n, nil
}

// failing pages through the failures.
func (c history) failing(ctx context.Context, q Query, from int64) (page []File, err error) {
	wheres := failingIn(q.State)
	if len(wheres) == 0 {
		return nil, nil
	}
	query, args := c.newest(failureColumns, "failures", wheres, q, from)
	err = c.ledger.show(ctx, query, func(rows *sql.Rows) error {
		id, f, err := scanFailure(rows)
		state := filesync.StateFailed
		switch {
		case f.Quarantined:
			state = filesync.StateQuarantined
		case f.Conflict:
			state = filesync.StateConflict
		case f.Discards > 0 && f.Discards < filesync.MaxDiscards:
			state = filesync.StateWaiting
		}
		page = append(page, File{ID: strconv.FormatInt(id, 10), State: state, Record: filesync.Record{FailureID: id, Failure: f}})
		return err
	}, args...)
	return page, err
}

// failingIn says which failures are in a state, as the index has them.
func failingIn(s filesync.State) (wheres []string) {
	switch s {
	case "":
		return []string{"quarantined = 0 AND conflict = 0", "quarantined = 0 AND conflict = 1", "quarantined = 1 AND conflict = 0", "quarantined = 1 AND conflict = 1"}
	case filesync.StateFailed:
		return []string{fmt.Sprintf("quarantined = 0 AND conflict = 0 AND (discards = 0 OR discards >= %d)", filesync.MaxDiscards)}
	case filesync.StateWaiting:
		return []string{fmt.Sprintf("discards > 0 AND discards < %d", filesync.MaxDiscards)}
	case filesync.StateQuarantined:
		return []string{"quarantined = 1 AND conflict = 0", "quarantined = 1 AND conflict = 1"}
	case filesync.StateConflict:
		return []string{"quarantined = 0 AND conflict = 1", "quarantined = 1 AND conflict = 1"}
	}
	return nil
}

// delivered pages through the delivered files.
func (c history) delivered(ctx context.Context, q Query, from int64) (page []File, err error) {
	wheres := deliveredIn(q.State)
	if len(wheres) == 0 {
		return nil, nil
	}
	query, args := c.newest(fileColumns, "files", wheres, q, from)
	err = c.ledger.show(ctx, query, func(rows *sql.Rows) error {
		f, err := scanDelivered(rows)
		page = append(page, f)
		return err
	}, args...)
	return page, err
}

// deliveredIn says which delivered files are in a state, as the index has them.
func deliveredIn(s filesync.State) (wheres []string) {
	switch s {
	case "":
		return []string{"adopted = 0", "adopted = 1"}
	case filesync.StateDelivered:
		return []string{"adopted = 0"}
	case filesync.StatePresent:
		return []string{"adopted = 1"}
	}
	return nil
}

// newest makes a query for a page of rows, of any of the wheres, each of which an index
// has in the order of the ids.
func (c history) newest(columns, table string, wheres []string, q Query, from int64) (query string, args []any) {
	common, args := "connector = ?1 AND id < ?2", []any{c.id, from, q.Limit}
	if q.Name != "" {
		name := q.Name
		if !strings.ContainsAny(name, "*?") {
			name = "*" + name + "*"
		}
		// GLOB reads [ as the start of a set: a name is taken literally.
		args = append(args, strings.ReplaceAll(name, "[", "[[]"))
		common += fmt.Sprintf(" AND path GLOB ?%d", len(args))
	}
	if q.Pass != "" {
		args = append(args, q.Pass)
		common += fmt.Sprintf(" AND pass = ?%d", len(args))
	}
	var parts []string
	for _, where := range wheres {
		parts = append(parts, fmt.Sprintf("SELECT * FROM (SELECT %s FROM %s WHERE %s AND %s ORDER BY id DESC LIMIT ?3)", columns, table, common, where))
	}
	return strings.Join(parts, " UNION ALL ") + " ORDER BY 1 DESC LIMIT ?3", args
}

// DeliveredFiles implements pass.Ledger. The records are in the order of their
// paths and without failures. f may call the ledger; rows that are written
// meanwhile may come or not.
func (c history) DeliveredFiles(ctx context.Context, prefix string, from, to time.Time, f func(filesync.Record) error) error {
	// A file whose time is not known is outside of any span.
	first, end := int64(math.MinInt64), int64(math.MaxInt64)
	if !to.IsZero() {
		first, end = noTime+1, secondsUp(to)
	}
	if !from.IsZero() {
		first = secondsUp(from)
	}
	query := "SELECT " + fileColumns + " FROM files WHERE " + ofPair + " AND mtime >= ? AND mtime < ? AND path >= ?"
	args := []any{c.id, first, end, prefix}
	if above := successor(prefix); above != "" {
		query += " AND path < ?"
		args = append(args, above)
	}
	const most = 1000 // rows of one page
	query += fmt.Sprintf(" ORDER BY path LIMIT %d", most)
	for {
		var page []filesync.Record
		err := c.each(ctx, query, func(rows *sql.Rows) error {
			r, err := scanFile(rows)
			page = append(page, r)
			return err
		}, args...)
		if err != nil {
			return fmt.Errorf("ledger: delivered files: %w", err)
		}
		for _, r := range page {
			if err := f(r); err != nil {
				return err
			}
		}
		if len(page) < most {
			return nil
		}
		args[3] = page[most-1].Delivery.Source.Name + "\x00" // the first path behind it
	}
}

// secondsUp is the first whole second that is not before t.
func secondsUp(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
}

// successor is the first string, in the order of bytes, behind all that start
// with prefix; "" when there is none.
func successor(prefix string) string {
	for b := []byte(prefix); len(b) > 0; b = b[:len(b)-1] {
		if last := &b[len(b)-1]; *last < 0xff {
			*last++
			return string(b)
		}
	}
	return ""
}

// scanDelivered reads a row of fileColumns, for those who look at it.
func scanDelivered(rows *sql.Rows) (File, error) {
	r, err := scanFile(rows)
	state := filesync.StateDelivered
	if r.Delivery.Adopted {
		state = filesync.StatePresent
	}
	return File{ID: strconv.FormatInt(r.ID, 10), State: state, Record: r}, err
}

// Delivered gives the last files that were delivered, or found in place: the
// newest delivery first, also of a file that was delivered before.
func (c history) Delivered(ctx context.Context, limit int) ([]File, error) {
	files := []File{}
	err := c.ledger.show(ctx, "SELECT "+fileColumns+" FROM files WHERE connector = ? ORDER BY seq DESC, at DESC, id DESC LIMIT ?", func(rows *sql.Rows) error {
		f, err := scanDelivered(rows)
		files = append(files, f)
		return err
	}, c.id, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: delivered: %w", err)
	}
	return files, nil
}
