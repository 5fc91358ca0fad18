package pass

import (
	"context"
	"sync"
	"sync/atomic"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// report counts and tells what becomes of files. It may be used concurrently.
type report struct {
	o            Options
	rules        plan.Rules
	tracker      *failureTracker
	observations *Observations
	rows         *filesync.Seen          // of the ledger, that the pass came across
	abort        context.CancelCauseFunc // ends the pass

	seen, copied, present, waiting, excluded    atomic.Int64
	failed, conflict, quarantined, unsafe       atomic.Int64
	unverified, stuck, irregular                atomic.Int64
	bytes, filesFound, bytesFound, bytesWritten atomic.Int64
	again                                       atomic.Int64
	listed                                      atomic.Bool
	incomplete                                  atomic.Bool           // the listing missed something; rows.Unlisted says where
	missed                                      sync.Map              // names that were listed and have gone since
	noRoom                                      atomic.Pointer[error] // the first file's that did not fit
	begunInVain                                 atomic.Int64          // files that were begun and found no room

	mu       sync.Mutex
	failures []filesync.FileFailure
	doing    string
}

func (t *report) counts() filesync.Counts {
	return filesync.Counts{
		Seen: t.seen.Load(), Copied: t.copied.Load(), Present: t.present.Load(),
		Waiting: t.waiting.Load(), Excluded: t.excluded.Load(), Failed: t.failed.Load(),
		Conflict: t.conflict.Load(), Quarantined: t.quarantined.Load(), Unsafe: t.unsafe.Load(),
		Unverified: t.unverified.Load(), Bytes: t.bytes.Load(),
	}
}

func (t *report) progress() filesync.Progress {
	t.mu.Lock()
	doing := t.doing
	t.mu.Unlock()
	return filesync.Progress{
		Seen: t.seen.Load(), FilesDone: t.copied.Load(), FilesFound: t.filesFound.Load(),
		BytesDone: t.bytesWritten.Load(), BytesFound: t.bytesFound.Load(),
		ListingDone: t.listed.Load(), Doing: doing,
	}
}

// at says what the pass is doing, for the watchdog and the pages.
func (t *report) at(doing string) {
	t.mu.Lock()
	t.doing = doing
	t.mu.Unlock()
}

func (t *report) keepFailure(f filesync.FileFailure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < filesync.MaxFailures {
		t.failures = append(t.failures, f)
	}
}
