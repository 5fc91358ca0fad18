package pass

import (
	"context"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
	"sftpconnector/sync/transfer"
)

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

// End implements transfer.Submitter.
func (p *Pass) End(err error) { p.abort(err) }
