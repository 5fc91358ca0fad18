package transfer

import (
	"context"

	filesync "sftpconnector/sync"
)

// Ledger is what a queue needs of the ledger's part of its connector. Every method
// that writes has made its change durable when it returns. Methods may be called
// concurrently.
type Ledger interface {
	Journal
	Checkpoints
	Originals
	// Find answers with one Record for each path, in their order; a path that the
	// ledger has nothing of has the zero Record.
	Find(ctx context.Context, paths []string) ([]filesync.Record, error)
	// Owners answers with the delivered files that own the target names, given by their
	// keys, in their order; a name that nobody owns has the zero Record.
	Owners(ctx context.Context, keys []string) ([]filesync.Record, error)
	// Fail records files that could not be delivered; an older failure of the same path
	// is replaced. It gives their rows' ids.
	Fail(ctx context.Context, batch []filesync.Failure) (ids []int64, err error)
	// WillWrite notes that a pass is about to write to the destination: from then on, the
	// next pass sweeps if the program is killed while this one runs.
	WillWrite(ctx context.Context, pass string) error
	// Swept notes that no pending files of earlier passes lie about any more.
	Swept(ctx context.Context) error
}

// Journal says which files are about to get their names, and which have them.
type Journal interface {
	// Intend journals deliveries that are about to get their names.
	Intend(ctx context.Context, batch []filesync.Delivery) (intent int64, err error)
	// IntendInPlace journals files that are about to be begun under their own names, each
	// as an intent of its own. MarkOpened notes that these files have been opened.
	IntendInPlace(ctx context.Context, files []filesync.Delivery) (intents []int64, err error)
	MarkOpened(ctx context.Context, intents []int64) error
	// Intents gives the batches that were journaled and neither committed nor dropped.
	Intents(ctx context.Context) (map[int64][]filesync.Delivery, error)
	// Drop ends intents of which nothing became.
	Drop(ctx context.Context, intents []int64) error
	// Commit records the deliveries, releases the failures of their paths, drops the
	// checkpoints of their pending files, and ends the intents, all at once. It gives
	// their rows' ids.
	Commit(ctx context.Context, intents []int64, batch []filesync.Delivery) (ids []int64, err error)

	// Lost forgets deliveries whose copies do not stand any more, by their rows: a
	// newer version that failed has destroyed them.
	Lost(ctx context.Context, rows []int64) error
}

// Checkpoints remembers interrupted copies, by their paths.
type Checkpoints interface {
	// SaveCheckpoint remembers an interrupted copy, in the place of another one of the path.
	SaveCheckpoint(ctx context.Context, k filesync.Interrupted) error
	// DropCheckpoint forgets that of the pending file, and leaves what another pass has
	// saved since.
	DropCheckpoint(ctx context.Context, path, pendingID string) error
	Checkpoints(ctx context.Context) (map[string]filesync.Interrupted, error)
}

// Originals remembers which originals are to be removed or moved.
type Originals interface {
	// Outstanding gives up to limit delivered files whose after_copy is owed and not
	// done, in the order of their rows, behind the row from.
	Outstanding(ctx context.Context, from int64, limit int) ([]filesync.Record, error)
	// SetAfter records how far after_copy has come for these rows.
	SetAfter(ctx context.Context, rows []int64, after filesync.After) error
	// SetAfterIf does so for those of the rows whose after_copy is still as far as it was
	// read, and gives these, in any order: of several that ask for the same change of a
	// row, one gets it.
	SetAfterIf(ctx context.Context, read map[int64]filesync.After, after filesync.After) (changed []int64, err error)
}
