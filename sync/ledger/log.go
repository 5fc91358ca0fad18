package ledger

import (
	"context"
	"os"
	"time"
)

const (
	// maxLog is how large the write-ahead log may get, in bytes. SQLite uses it
	// from its beginning again only when there is a moment in which nobody reads
	// from it, and where readers overlap that moment never comes by itself.
	maxLog = 16 << 20
	// trimTime is how long writers wait for readers, at most.
	trimTime = 2 * time.Second
)

// trim empties the write-ahead log when it is too large. Those who read from it
// are waited for, and those who begin to read meanwhile do not need it any more.
// If they take too long it is tried again when the log has grown by a half.
func (d *database) trim(ctx context.Context) {
	if !d.trimming.TryLock() {
		return // somebody does it
	}
	defer d.trimming.Unlock()
	info, err := os.Stat(d.path + "-wal")
	if err != nil || info.Size() < d.trimAt {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), trimTime)
	defer cancel()
	var busy, pages, done int64
	err = d.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &done)
	if err == nil && busy == 0 {
		d.trimAt = maxLog
	} else {
		d.trimAt = info.Size() + maxLog/2
	}
}
