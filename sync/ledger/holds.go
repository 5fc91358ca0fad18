package ledger

import (
	"context"
	"database/sql"
	"time"

	"sftpconnector/status"
)

// Hold is a login that a server has refused, which is not to be tried again soon.
type Hold struct {
	End     string // of the connector: "source" or "destination"
	Login   string // tells it from other logins; the caller's
	Refused int    // times in a row
	Until   time.Time
	Word    status.Word // of the refusal, and its hint
	Hint    string
}

// SetHold keeps the hold of an end; one that was refused 0 times is forgotten.
func (c *Connector) SetHold(ctx context.Context, h Hold) error {
	if h.Refused == 0 {
		return c.exec(ctx, "end hold", "DELETE FROM holds WHERE "+ofPair+" AND side = ?", c.id, h.End)
	}
	return c.exec(ctx, "set hold", "INSERT OR REPLACE INTO holds (connector, side, login, refused, until, word, hint) VALUES (?, ?, ?, ?, ?, ?, ?)",
		c.id, h.End, h.Login, h.Refused, h.Until.UnixMilli(), h.Word, h.Hint)
}

// addHolds gives connectors, by their names, their holds.
func addHolds(ctx context.Context, tx *sql.Tx, all map[string]Remembered) error {
	rows, err := tx.QueryContext(ctx, "SELECT c.name, h.side, h.login, h.refused, h.until, h.word, h.hint FROM holds h JOIN connectors c ON c.id = h.connector")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var until int64
		var h Hold
		if err := rows.Scan(&name, &h.End, &h.Login, &h.Refused, &until, &h.Word, &h.Hint); err != nil {
			return err
		}
		h.Until = millis(until)
		if r, ok := all[name]; ok {
			r.Holds = append(r.Holds, h)
			all[name] = r
		}
	}
	return rows.Err()
}
