package pass

import (
	"sync"
	"sync/atomic"

	filesync "sftpconnector/sync"
)

// tally counts what becomes of files. It may be used concurrently.
type tally struct {
	seen, copied, present, waiting, excluded    atomic.Int64
	failed, conflict, quarantined, unsafe       atomic.Int64
	unverified, stuck, irregular                atomic.Int64
	bytes, filesFound, bytesFound, bytesWritten atomic.Int64
	again                                       atomic.Int64
	listed                                      atomic.Bool

	mu       sync.Mutex
	failures []filesync.FileFailure
	doing    string
}

func (t *tally) counts() filesync.Counts {
	return filesync.Counts{
		Seen: t.seen.Load(), Copied: t.copied.Load(), Present: t.present.Load(),
		Waiting: t.waiting.Load(), Excluded: t.excluded.Load(), Failed: t.failed.Load(),
		Conflict: t.conflict.Load(), Quarantined: t.quarantined.Load(), Unsafe: t.unsafe.Load(),
		Unverified: t.unverified.Load(), Bytes: t.bytes.Load(),
	}
}

func (t *tally) progress() filesync.Progress {
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
func (t *tally) at(doing string) {
	t.mu.Lock()
	t.doing = doing
	t.mu.Unlock()
}

func (t *tally) listFailure(f filesync.FileFailure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < filesync.MaxFailures {
		t.failures = append(t.failures, f)
	}
}
