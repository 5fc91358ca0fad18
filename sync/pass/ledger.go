package pass

import (
	"context"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/transfer"
)

// Ledger is what a pass needs of the ledger's part of its connector: what its queue
// needs, and what it asks and concludes itself. Every method that writes has made its
// change durable when it returns. Methods may be called concurrently.
type Ledger interface {
	transfer.Ledger
	// Release forgets the failures of these paths.
	Release(ctx context.Context, paths []string) error
	// DeliveredFiles calls f for each record whose path starts with prefix and whose
	// source was modified in [from, to); a zero time is no bound.
	DeliveredFiles(ctx context.Context, prefix string, from, to time.Time, f func(filesync.Record) error) error
	// Sequence is the Delivery.Sequence of what was written last.
	Sequence(ctx context.Context) (int64, error)
	// Gone marks every record that is not among the seen as gone from the source at that
	// time, which owes nothing any more, and forgets the failures that are not. What lies
	// where the pass did not look (Seen.Unlisted) and what was written behind since, the
	// Sequence before the listing began, is left alone.
	Gone(ctx context.Context, seen *filesync.Seen, since int64, at time.Time) error
	// RequireSweep notes that pending files may lie about at the destination, for the next
	// pass to sweep.
	RequireSweep(ctx context.Context) error
}
