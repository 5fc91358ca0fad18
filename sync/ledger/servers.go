package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// ServerLimits gives what SetServerLimits kept, by server.
func (l *Ledger) ServerLimits(ctx context.Context) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := l.each(ctx, "SELECT server, limits FROM servers", func(rows *sql.Rows) error {
		var server string
		var document []byte
		err := rows.Scan(&server, &document)
		all[server] = document
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: limits of servers: %w", err)
	}
	return all, nil
}

// SetServerLimits keeps a document of what was learnt of a server by at. nil: nothing is
// known of it any more. Documents of any server that were written before oldest are
// removed.
func (l *Ledger) SetServerLimits(ctx context.Context, server string, document []byte, at, oldest time.Time) error {
	err := l.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM servers WHERE at < ?1 OR server = ?2", oldest.UnixMilli(), server); err != nil || document == nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO servers (server, limits, at) VALUES (?, ?, ?)", server, string(document), at.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: set limits of server: %w", err)
	}
	return nil
}
