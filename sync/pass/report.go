package pass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
	"sftpconnector/sync/transfer"
)

// maxNoRoom is how many files are begun and find no room until the pass gives up.
const maxNoRoom = 64

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

// decide tells the observer of a decision.
func (t *report) decide(e filesync.Entry, s filesync.State, reason string) {
	t.decideTarget(e, s, "", reason)
}

// decideTarget is decide for a file that is at the destination under that name.
func (t *report) decideTarget(e filesync.Entry, s filesync.State, target, reason string) {
	if t.o.OnDecision != nil {
		t.o.OnDecision(filesync.Decision{Entry: e, State: s, Target: target, Reason: reason})
	}
}

// decideRecorded is decideTarget for a file that the ledger has as delivered.
func (t *report) decideRecorded(e filesync.Entry, r filesync.Record, target, reason string) {
	if t.o.OnDecision != nil {
		t.o.OnDecision(filesync.Decision{Entry: e, State: r.State(), Target: target, Reason: reason, Unverified: r.Unverified()})
	}
}

// exclude counts a file that is not for this connector.
func (t *report) exclude(e filesync.Entry, reason string) {
	t.excluded.Add(1)
	t.decide(e, filesync.StateExcluded, reason)
}

// wait counts a file that is left for a later pass.
func (t *report) wait(e filesync.Entry, reason string) {
	t.waiting.Add(1)
	t.decide(e, filesync.StateWaiting, reason)
}

// leave counts a file that is not copied now, and tells why.
func (t *report) leave(c candidate, d plan.Decision) {
	e := c.Listed
	if d.Delivered {
		t.countDelivered(c.Record)
		t.decideRecorded(e, c.Record, d.Target, d.Reason)
		return
	}
	failure := filesync.FileFailure{Name: e.Name, Error: d.Reason, Hint: d.Hint, Held: d.Held}
	if d.Err != nil {
		failure.Error = d.Err.Error()
		failure.Hint = cmp.Or(d.Hint, hint(d.Err))
	}
	switch d.State {
	case filesync.StateWaiting:
		t.waiting.Add(1)
		t.decide(e, d.State, d.Reason)
		return
	case filesync.StateExcluded:
		t.exclude(e, d.Reason)
		return
	case filesync.StateConflict:
		t.conflict.Add(1)
	case filesync.StateQuarantined:
		t.quarantined.Add(1)
	case filesync.StateUnsafe:
		t.unsafe.Add(1)
	case filesync.StateFailed:
		t.failed.Add(1)
	}
	if d.Stuck {
		t.stuck.Add(1)
	}
	t.listFailure(failure)
	t.decide(e, d.State, d.Reason)
}

// countDelivered counts a file that needs nothing; one that an earlier run of this very
// pass has delivered is counted there.
func (t *report) countDelivered(rec filesync.Record) {
	if t.o.ID != "" && rec.Delivery.Pass == t.o.ID {
		t.again.Add(1)
		return
	}
	t.present.Add(1)
}

// copiedOne counts a file that was delivered or adopted, by this pass or by one that had
// it submitted first.
func (t *report) copiedOne(r transfer.Result) {
	d := r.Delivery
	t.observations.forget(r.Entry.Name)
	if r.Joined {
		t.notCopied(r.Entry)
		t.present.Add(1)
		t.decideRecorded(r.Entry, filesync.Record{ID: r.Row, Delivery: d, After: d.After}, d.Target.Name, "another pass has just delivered it")
		return
	}
	if d.Adopted {
		t.notCopied(r.Entry)
		t.present.Add(1)
	} else {
		t.countCopied(d)
	}
	if t.o.OnDelivered != nil {
		t.o.OnDelivered(filesync.Delivered{Delivery: d, Took: r.Took})
	}
}

// countCopied counts a file that was copied.
func (t *report) countCopied(d filesync.Delivery) {
	t.copied.Add(1)
	if d.After == filesync.AfterUnverified {
		t.unverified.Add(1)
	}
	t.bytes.Add(d.Source.Size)
}

// notCopied takes a file out of those that are to be copied.
func (t *report) notCopied(e filesync.Entry) {
	t.filesFound.Add(-1)
	t.bytesFound.Add(-e.Size)
}

// failedOne counts a file that could not be done.
func (t *report) failedOne(r transfer.Result) {
	if taken, ok := errors.AsType[*transfer.TakenError](r.Err); ok {
		t.notCopied(r.Entry)
		t.leave(candidate{Facts: plan.Facts{Listed: r.Entry}}, plan.NameTaken(t.rules, taken.Name, taken.Owner))
		return
	}
	if r.Gone && t.o.Mode == filesync.Request {
		t.miss(r.Entry)
		return
	}
	t.failed.Add(1)
	if r.Stuck {
		t.observations.forget(r.Entry.Name)
		t.stuck.Add(1)
	}
	t.list(r.Entry.Name, r.Err.Error(), cmp.Or(r.Hint, hint(r.Err)))
	t.decide(r.Entry, filesync.StateFailed, r.Err.Error())
	if r.NoRoom {
		t.noRoom.CompareAndSwap(nil, &r.Err)
		if r.Begun && t.begunInVain.Add(1) > maxNoRoom {
			t.abort(fmt.Errorf("copy %s: %w", r.Entry.Name, r.Err))
		}
	}
}

// miss notes that a listed file has gone from the source: another pass may have
// delivered and removed it.
func (t *report) miss(e filesync.Entry) {
	t.missed.Store(e.Name, true)
	t.exclude(e, "it went away meanwhile")
}

// list notes what the pass could not do.
func (t *report) list(name, text, hint string) {
	t.listFailure(filesync.FileFailure{Name: name, Error: text, Hint: hint})
}

func (t *report) listFailure(f filesync.FileFailure) {
	t.keepFailure(f)
	if t.o.Mode != filesync.Survey {
		t.tracker.logNew(t, f)
	}
}

func (t *report) keepFailure(f filesync.FileFailure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < filesync.MaxFailures {
		t.failures = append(t.failures, f)
	}
}

// Done implements transfer.Submitter.
func (t *report) Done(r transfer.Result) {
	if r.Row != 0 {
		t.rows.AddRows([]int64{r.Row})
	}
	if r.Failure != 0 {
		t.rows.AddFailures([]int64{r.Failure})
	}
	switch {
	case r.State == "":
		t.notCopied(r.Entry)
	case r.State == filesync.StateDelivered:
		t.copiedOne(r)
	case r.State == filesync.StateWaiting:
		t.observations.forget(r.Entry.Name)
		t.wait(r.Entry, r.Err.Error())
	case r.State == filesync.StateConflict:
		t.leave(candidate{Facts: plan.Facts{Listed: r.Entry}}, plan.Conflict(r.Err))
	default:
		t.failedOne(r)
	}
}

// Recovered implements transfer.Submitter.
func (t *report) Recovered(d filesync.Delivery) {
	if t.o.ID != "" && d.Pass == t.o.ID { // an earlier run of this very pass was cut off
		t.countCopied(d)
	}
	if t.o.OnDelivered != nil {
		t.o.OnDelivered(filesync.Delivered{Delivery: d})
	}
}

// OriginalLeft implements transfer.Submitter.
func (t *report) OriginalLeft(e filesync.Entry, err error, advice string) {
	t.failed.Add(1)
	t.list(e.Name, err.Error(), cmp.Or(advice, hint(err)))
}

// OriginalDiffers implements transfer.Submitter.
func (t *report) OriginalDiffers(e filesync.Entry, err error, failure int64) {
	t.present.Add(-1)
	t.conflict.Add(1)
	t.list(e.Name, err.Error(), plan.HintCompare)
	t.rows.AddFailures([]int64{failure})
}

// Doing implements transfer.Submitter.
func (t *report) Doing(what string) { t.at(what) }

// Wrote implements transfer.Submitter.
func (t *report) Wrote(n int64) { t.bytesWritten.Add(n) }
