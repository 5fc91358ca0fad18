package ledger

import (
	"context"
	"database/sql"
	"fmt"

	filesync "sftpconnector/sync"
)

// checkpoints is the interrupted copies that can go on. It implements
// transfer.Checkpoints.
type checkpoints struct{ *part }

// SaveCheckpoint implements transfer.Checkpoints.
func (c checkpoints) SaveCheckpoint(ctx context.Context, k filesync.Interrupted) error {
	return c.exec(ctx, "save checkpoint", "INSERT OR REPLACE INTO checkpoints (connector, path, size, mtime, pending, prefix, version, in_place) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		c.id, k.Source.Name, k.Source.Size, unix(k.Source.ModTime), k.Checkpoint.ID, k.Checkpoint.Prefix, k.Source.Version, k.InPlace)
}

// DropCheckpoint implements transfer.Checkpoints.
func (c checkpoints) DropCheckpoint(ctx context.Context, path, pendingID string) error {
	return c.exec(ctx, "drop checkpoint", "DELETE FROM checkpoints WHERE "+ofPair+" AND path = ? AND pending = ?", c.id, path, pendingID)
}

// Checkpoints implements transfer.Checkpoints.
func (c checkpoints) Checkpoints(ctx context.Context) (map[string]filesync.Interrupted, error) {
	all := map[string]filesync.Interrupted{}
	err := c.each(ctx, "SELECT path, size, mtime, pending, prefix, version, in_place FROM checkpoints WHERE "+ofPair, func(rows *sql.Rows) error {
		var k filesync.Interrupted
		var mtime int64
		err := rows.Scan(&k.Source.Name, &k.Source.Size, &mtime, &k.Checkpoint.ID, &k.Checkpoint.Prefix, &k.Source.Version, &k.InPlace)
		k.Source.ModTime = seconds(mtime)
		all[k.Source.Name] = k
		return err
	}, c.id)
	if err != nil {
		return nil, fmt.Errorf("ledger: checkpoints: %w", err)
	}
	return all, nil
}
