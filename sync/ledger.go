package sync

import (
	"context"
	"time"
)

// Ledger is one connector's memory: what was delivered, what failed, and what
// was about to happen when a pass was killed. Every method that writes has made
// its change durable when it returns. Methods may be called concurrently.
type Ledger interface {
	// Find answers with one Record for each path, in their order; a path that
	// the ledger has nothing of has the zero Record.
	Find(ctx context.Context, paths []string) ([]Record, error)
	// Owners answers with the delivered files that own the target names, given
	// by their keys, in their order; a name that nobody owns has the zero Record.
	Owners(ctx context.Context, keys []string) ([]Record, error)

	// Intend journals deliveries that are about to get their names.
	Intend(ctx context.Context, batch []Delivery) (intent int64, err error)
	// Foretell journals files that are about to be begun under their own names,
	// each as an intent of its own; Begun, that these were.
	Foretell(ctx context.Context, files []Delivery) (intents []int64, err error)
	Begun(ctx context.Context, intents []int64) error
	// Intents gives the batches that were journaled and neither committed nor dropped.
	Intents(ctx context.Context) (map[int64][]Delivery, error)
	// Drop ends intents of which nothing became.
	Drop(ctx context.Context, intents []int64) error
	// Commit records the deliveries, releases the failures of their paths, drops
	// the checkpoints of their pending files, and ends the intent (0: there is
	// none), all at once. It gives their rows' ids.
	Commit(ctx context.Context, intent int64, batch []Delivery) (ids []int64, err error)

	// Lost forgets deliveries whose copies do not stand any more, by their rows: a
	// newer version that failed has destroyed them.
	Lost(ctx context.Context, rows []int64) error

	// Fail records files that could not be delivered; an older failure of the
	// same path is replaced. It gives their rows' ids.
	Fail(ctx context.Context, batch []Failure) (ids []int64, err error)

	// Release forgets the failures of these paths.
	Release(ctx context.Context, paths []string) error
	// Littered notes that pending files may lie about at the destination, for the
	// next pass to sweep; Swept, that none of an earlier pass does any more.
	Littered(ctx context.Context) error
	Swept(ctx context.Context) error

	// SaveCheckpoint remembers an interrupted copy, in the place of another one
	// of the path; Checkpoints gives all of them. DropCheckpoint forgets that of
	// the pending file, and leaves what another pass has saved since.
	SaveCheckpoint(ctx context.Context, path string, e Entry, c Checkpoint) error
	DropCheckpoint(ctx context.Context, path, pendingID string) error
	Checkpoints(ctx context.Context) (map[string]Interrupted, error)

	// Outstanding gives up to limit delivered files whose after_copy is owed
	// and not done, in the order of their rows, behind the row from.
	Outstanding(ctx context.Context, from int64, limit int) ([]Record, error)
	// SetAfter records how far after_copy has come for these rows.
	SetAfter(ctx context.Context, rows []int64, after After) error
	// SetAfterIf does so for those of the rows whose after_copy is still as far
	// as it was read, and gives these, in any order: of several that ask for the
	// same change of a row, one gets it.
	SetAfterIf(ctx context.Context, read map[int64]After, after After) (changed []int64, err error)

	// DeliveredFiles calls f for each row whose path starts with prefix and whose
	// source was modified in [from, to); a zero time is no bound.
	DeliveredFiles(ctx context.Context, prefix string, from, to time.Time, f func(Record) error) error

	// Gone marks every row that is not among the seen as gone from the source
	// at that time, which owes nothing any more, and forgets the failures that
	// are not. What lies where the pass did not look (Seen.Unlisted) and what was
	// written at or after started, when the listing began, is left alone.
	Gone(ctx context.Context, seen *Seen, started, at time.Time) error
}

// Record is what the ledger knows of one path. The zero Record knows nothing.
type Record struct {
	// ID is the row of the last delivery; 0 when the path was never delivered.
	ID       int64
	Delivery Delivery
	// After is how far after_copy has come for that delivery.
	After After
	// Gone says that the last complete listing did not have the file.
	Gone bool
	// FailureID is the row of Failure; 0 when the path is not failing.
	FailureID int64
	Failure   Failure
}

// Delivered reports whether the record holds this version of the file as
// delivered. A delivery whose original we removed is closed: the same version
// coming again is a new file.
func (r Record) Delivered(e Entry) bool {
	return r.ID != 0 && r.After != AfterDone && r.Delivery.Source.SameVersion(e)
}

// State is StateDelivered, or StatePresent of a file that stood at the destination before.
func (r Record) State() State {
	if r.Delivery.Adopted {
		return StatePresent
	}
	return StateDelivered
}

// Unverified reports whether the source did not confirm what was read.
func (r Record) Unverified() bool { return r.ID != 0 && r.After == AfterUnverified }

// Delivery is one file version at the destination.
type Delivery struct {
	Source Entry // as it was listed; Source.Name is the path
	// Target is the standing file: its name below the destination, size, time.
	Target Entry
	// Key is what other files must not share: the folded target name where
	// names can collide (flat layout, a destination that folds case), else "".
	Key string
	// Adopted says that the file stood at the destination already.
	Adopted bool
	Pass    string
	At      time.Time
	// PendingID names the pending file of an intent.
	PendingID string
	// Begun says of one that was foretold that its file has been begun.
	Begun bool
	// Replaces is what stood under the name of an intent, and goes for this file;
	// nil for nothing.
	Replaces *Entry
	// After is the after_copy that is owed for it.
	After After
}

// After says how far after_copy has come.
type After int

// The steps of after_copy.
const (
	AfterNone    After = iota // nothing is owed
	AfterOwed                 // to be done; not tried yet, or surely not done
	AfterTrying               // was being done: uncertain until somebody looks
	AfterDone                 // the original is gone; the row is closed
	AfterCompare              // owed, but contents must be compared first (an adopted file)
	AfterRefused              // will not be done: the contents differ, or it is a link
	// AfterUnverified will not be done: the source did not confirm, after the last
	// byte, that the file was still the version that was listed.
	AfterUnverified
)

// Failure is a file version that could not be delivered.
type Failure struct {
	Source      Entry
	Tries       int
	Next        time.Time // when an automatic pass tries again
	Quarantined bool
	Conflict    bool
	// Discards is how many passes in a row have read the file and discarded it, as the
	// source said something else of it after the last byte than before the first.
	Discards int
	Error    string
	At       time.Time
}

// Interrupted is a copy that can go on.
type Interrupted struct {
	Source     Entry
	Checkpoint Checkpoint
}

// MaxDiscards is after how many discards in a row a file counts as failed.
const MaxDiscards = 3

// MaxTries is how often a file is tried before it is quarantined.
const MaxTries = 5

// retryAfter is how long an automatic pass leaves a file alone after its
// n-th failure, n from 1.
func RetryAfter(n int) time.Duration {
	d := time.Minute << min(n-1, 6)
	return min(d, time.Hour)
}
