package pass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
	"sftpconnector/sync/transfer"
)

// maxMisfits is how many files find no room until the pass gives up.
const maxNoRoom = 64

// now is the queue's number of what others have delivered.
func (dc *decider) now() int64 {
	if dc.queue == nil {
		return 0
	}
	return dc.queue.Now()
}

// submit has a file copied or adopted.
func (dc *decider) submit(ctx context.Context, c candidate, d plan.Decision) error {
	if dc.o.Mode == filesync.Survey && d.Action == plan.Adopt {
		dc.present.Add(1)
	} else {
		dc.filesFound.Add(1)
		dc.bytesFound.Add(c.Listed.Size)
	}
	dc.decideTarget(c.Listed, d.State, d.Target, d.Reason)
	if dc.o.Mode == filesync.Survey {
		return nil
	}
	return dc.queue.Submit(ctx, dc.file(c, d))
}

// file is a candidate as the queue wants it.
func (dc *decider) file(c candidate, d plan.Decision) transfer.File {
	f := transfer.File{Entry: c.Listed, Name: c.Destination, Key: c.key, Replaces: d.Replaces, Decided: c.now, Owner: c.Owner.ID}
	if d.Action == plan.Adopt {
		f.Adopts = &c.Standing.Entry
	}
	if last, ok := dc.checkpoints.find(c.Listed); ok {
		f.Checkpoint = &last
	}
	return f
}

// notCopied takes a file out of those that are to be copied.
func (t *report) notCopied(e filesync.Entry) {
	t.filesFound.Add(-1)
	t.bytesFound.Add(-e.Size)
}

// DecideAgain implements transfer.Submitter: others have delivered since the file was
// submitted, this one perhaps.
func (dc *decider) DecideAgain(ctx context.Context, e filesync.Entry) (f transfer.File, ok bool, err error) {
	now := dc.now()
	recs, err := dc.ledger.Find(ctx, []string{e.Name})
	if err != nil {
		return f, false, err
	}
	dc.rows.Add(recs[0])
	c := dc.candidate(e, recs[0])
	c.now, c.Stillness = now, stoodStill
	one := []candidate{*c}
	if d := plan.Decide(dc.rules, c.Facts); d.Action != plan.Examine {
		dc.leave(*c, d)
		return f, false, nil
	}
	if err := dc.gatherFacts(ctx, one); err != nil {
		return f, false, err
	}
	if d := plan.Decide(dc.rules, one[0].Facts); d.Action == plan.Copy || d.Action == plan.Adopt {
		return dc.file(one[0], d), true, nil
	}
	return f, false, dc.decideAll(ctx, one)
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

func (t *report) countCopied(d filesync.Delivery) {
	t.copied.Add(1)
	if d.After == filesync.AfterUnverified {
		t.unverified.Add(1)
	}
	t.bytes.Add(d.Source.Size)
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

// fail counts a file that could not be done, and writes that down. What is not the
// file's own fault is not a try.
func (dc *decider) fail(ctx context.Context, e filesync.Entry, err error) {
	if dc.o.Mode == filesync.Survey {
		dc.failedOne(transfer.Result{Entry: e, Err: err})
		return
	}
	r := dc.queue.Fail(ctx, e, err)
	if r.Failure != 0 {
		dc.rows.AddFailures([]int64{r.Failure})
	}
	dc.failedOne(r)
}

// miss notes that a listed file has gone from the source: another pass may have
// delivered and removed it.
func (t *report) miss(e filesync.Entry) {
	t.missed.Store(e.Name, true)
	t.exclude(e, "it went away meanwhile")
}

// vanished reports whether the source has the file no more. Some servers list
// names that they cannot open.
func vanished(ctx context.Context, src *transfer.ReopeningSource, e filesync.Entry) bool {
	stats, err := src.Relist(ctx, []filesync.Entry{e})
	return err == nil && errors.Is(stats[0].Err, fs.ErrNotExist)
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

// End implements transfer.Submitter.
func (p *Pass) End(err error) { p.abort(err) }
