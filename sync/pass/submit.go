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
const maxMisfits = 64

// now is the queue's number of what others have delivered.
func (p *Pass) now() int64 {
	if p.queue == nil {
		return 0
	}
	return p.queue.Now()
}

// submit has a file copied.
func (p *Pass) submit(ctx context.Context, c candidate, d plan.Decision) error {
	p.filesFound.Add(1)
	p.bytesFound.Add(c.Listed.Size)
	p.decide(c.Listed, d.State, d.Reason)
	if p.o.Mode == filesync.Survey {
		return nil
	}
	return p.queue.Submit(ctx, p.file(c, d))
}

// file is a candidate as the queue wants it.
func (p *Pass) file(c candidate, d plan.Decision) transfer.File {
	f := transfer.File{Entry: c.Listed, Name: c.Destination, Key: c.key, Replaces: d.Replaces, Decided: c.now}
	if last, ok := p.resumes.find(c.Listed); ok {
		f.Checkpoint = &last
	}
	return f
}

// notCopied takes a file out of those that are to be copied.
func (p *Pass) notCopied(e filesync.Entry) {
	p.filesFound.Add(-1)
	p.bytesFound.Add(-e.Size)
}

// Plan implements transfer.Submitter: others have delivered since the file was
// submitted, this one perhaps.
func (p *Pass) Plan(ctx context.Context, e filesync.Entry) (f transfer.File, ok bool, err error) {
	now := p.now()
	recs, err := p.ledger.Find(ctx, []string{e.Name})
	if err != nil {
		return f, false, err
	}
	p.rows.Add(recs[0])
	c := p.candidate(e, recs[0])
	c.now, c.Stillness = now, stoodStill
	one := []candidate{*c}
	if d := plan.Decide(p.rules, c.Facts); d.Action != plan.Examine {
		p.leave(*c, d)
		return f, false, nil
	}
	if err := p.gatherFacts(ctx, one); err != nil {
		return f, false, err
	}
	if d := plan.Decide(p.rules, one[0].Facts); d.Action == plan.Copy {
		return p.file(one[0], d), true, nil
	}
	return f, false, p.decideAll(ctx, one)
}

// Done implements transfer.Submitter.
func (p *Pass) Done(r transfer.Result) {
	if r.Row != 0 {
		p.rows.AddRows([]int64{r.Row})
	}
	if r.Failure != 0 {
		p.rows.AddFailures([]int64{r.Failure})
	}
	switch {
	case r.State == "":
		p.notCopied(r.Entry)
	case r.State == filesync.StateDelivered:
		p.copiedOne(r)
	case r.State == filesync.StateWaiting:
		p.looks.forget(r.Entry.Name)
		p.wait(r.Entry, r.Err.Error())
	case r.State == filesync.StateConflict:
		p.leave(candidate{Facts: plan.Facts{Listed: r.Entry}}, plan.Conflict(r.Err))
	default:
		p.failedOne(r)
	}
}

// copiedOne counts a file that was delivered, by this pass or by one that had it
// submitted first.
func (p *Pass) copiedOne(r transfer.Result) {
	d := r.Delivery
	p.looks.forget(r.Entry.Name)
	if r.Joined {
		p.notCopied(r.Entry)
		p.present.Add(1)
		p.decideRecorded(r.Entry, filesync.Record{ID: r.Row, Delivery: d, After: d.After}, d.Target.Name, "another pass has just delivered it")
		return
	}
	p.countCopied(d)
	if p.o.OnDelivered != nil {
		p.o.OnDelivered(filesync.Delivered{Delivery: d, Took: r.Took})
	}
}

func (p *Pass) countCopied(d filesync.Delivery) {
	p.copied.Add(1)
	if d.After == filesync.AfterUnverified {
		p.unverified.Add(1)
	}
	p.bytes.Add(d.Source.Size)
}

// failedOne counts a file that could not be done.
func (p *Pass) failedOne(r transfer.Result) {
	if taken, ok := errors.AsType[*transfer.TakenError](r.Err); ok {
		p.notCopied(r.Entry)
		p.leave(candidate{Facts: plan.Facts{Listed: r.Entry}}, plan.NameTaken(p.rules, taken.Name, taken.Owner))
		return
	}
	if r.Gone && p.o.Mode == filesync.Request {
		p.miss(r.Entry)
		return
	}
	p.failed.Add(1)
	if r.Stuck {
		p.looks.forget(r.Entry.Name)
		p.stuck.Add(1)
	}
	p.list(r.Entry.Name, r.Err.Error(), cmp.Or(r.Hint, hint(r.Err)))
	p.decide(r.Entry, filesync.StateFailed, r.Err.Error())
	if r.NoRoom {
		p.noRoom.CompareAndSwap(nil, &r.Err)
		if r.Begun && p.misfits.Add(1) > maxMisfits {
			p.abort(fmt.Errorf("copy %s: %w", r.Entry.Name, r.Err))
		}
	}
}

// fail counts a file that could not be done, and writes that down. What is not the
// file's own fault is not a try.
func (p *Pass) fail(ctx context.Context, e filesync.Entry, err error) {
	if p.o.Mode == filesync.Survey {
		p.failedOne(transfer.Result{Entry: e, Err: err})
		return
	}
	r := p.queue.Fail(ctx, e, err)
	if r.Failure != 0 {
		p.rows.AddFailures([]int64{r.Failure})
	}
	p.failedOne(r)
}

// miss notes that a listed file has gone from the source: another pass may have
// delivered and removed it.
func (p *Pass) miss(e filesync.Entry) {
	p.missed.Store(e.Name, true)
	p.exclude(e, "it went away meanwhile")
}

// vanished reports whether the source has the file no more. Some servers list
// names that they cannot open.
func (p *Pass) vanished(ctx context.Context, e filesync.Entry) bool {
	looks, err := p.src.Relist(ctx, []filesync.Entry{e})
	return err == nil && errors.Is(looks[0].Err, fs.ErrNotExist)
}

// Recovered implements transfer.Submitter.
func (p *Pass) Recovered(d filesync.Delivery) {
	if p.o.ID != "" && d.Pass == p.o.ID { // an earlier run of this very pass was cut off
		p.countCopied(d)
	}
	if p.o.OnDelivered != nil {
		p.o.OnDelivered(filesync.Delivered{Delivery: d})
	}
}

// OriginalLeft implements transfer.Submitter.
func (p *Pass) OriginalLeft(e filesync.Entry, err error, advice string) {
	p.failed.Add(1)
	p.list(e.Name, err.Error(), cmp.Or(advice, hint(err)))
}

// OriginalDiffers implements transfer.Submitter.
func (p *Pass) OriginalDiffers(e filesync.Entry, err error, failure int64) {
	p.present.Add(-1)
	p.conflict.Add(1)
	p.list(e.Name, err.Error(), plan.HintCompare)
	p.rows.AddFailures([]int64{failure})
}

// Doing implements transfer.Submitter.
func (p *Pass) Doing(what string) { p.at(what) }

// Wrote implements transfer.Submitter.
func (p *Pass) Wrote(n int64) { p.bytesWritten.Add(n) }

// End implements transfer.Submitter.
func (p *Pass) End(err error) { p.abort(err) }
