package pass

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
	"sftpconnector/sync/transfer"
)

// decider decides about the files of a pass, and does what that says.
type decider struct {
	*report
	src    *transfer.Source
	dst    filesync.Destination
	ledger filesync.Ledger
	queue  *transfer.Client // nil of a Survey, and before the pass has joined

	resumes   resumes
	second    waiting
	noTelling atomic.Bool // the source could not tell of files that are unverified
}

// candidate is a file about which is decided.
type candidate struct {
	plan.Facts
	key string // what the name must not share; "" where names cannot collide
	now int64  // of the queue, before the record was read
}

func (c *candidate) delivered() bool { return c.Record.Delivered(c.Listed) }

// stoodStill is of a file that was found ready before.
var stoodStill = &plan.Stillness{Ready: true}

// compare decides about listed files. With await, a file that has to stand
// still a little longer is put aside for the second look.
func (dc *decider) compare(ctx context.Context, entries []filesync.Entry, await bool) error {
	if len(entries) == 0 {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	now := dc.now()
	recs, err := dc.ledger.Find(ctx, names)
	if err != nil {
		return err
	}
	if err := dc.verifyEarlier(ctx, entries, recs); err != nil {
		return err
	}
	var cands []candidate
	for i, e := range entries {
		dc.rows.Add(recs[i])
		c := dc.candidate(e, recs[i])
		c.now = now
		switch d := dc.consider(c, await); d.Action {
		case plan.Examine:
			cands = append(cands, *c)
		case plan.Await:
			dc.second.add(e, d.Left)
			dc.looks.await(e.Name)
		default:
			dc.leave(*c, d)
		}
	}
	return dc.decideAll(ctx, cands)
}

// candidate gathers what listing, ledger and filters say of a file.
func (dc *decider) candidate(e filesync.Entry, rec filesync.Record) *candidate {
	now := time.Now()
	c := &candidate{Facts: plan.Facts{Now: now, Listed: e, Record: rec, Excluded: dc.o.Filter.Excluded(e), TooYoung: dc.o.Filter.TooYoung(e, now)}}
	if c.Excluded == "" && !c.delivered() {
		_, c.Checkpoint = dc.resumes.find(e) // what is kept of it stays
		if dc.queue != nil {
			c.NotDurable = dc.queue.NotDurable(e)
		}
	}
	dc.nameIt(c, dc.target(e.Name))
	return c
}

// consider decides about a file by what does not cost a look at the destination.
func (dc *decider) consider(c *candidate, await bool) plan.Decision {
	rules := dc.rules
	rules.SecondLook = await
	d := plan.Decide(rules, c.Facts)
	if d.Action != plan.Observe {
		return d
	}
	ready, left, reason := dc.looks.ready(c.Listed, rules.Settle)
	c.Stillness = &plan.Stillness{Ready: ready, Left: left, Reason: reason, Restless: dc.looks.restless(c.Listed.Name)}
	return plan.Decide(rules, c.Facts)
}

// leave counts a file of which nothing becomes now.
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

// nameIt gives a candidate its name at the destination.
func (dc *decider) nameIt(c *candidate, target string) {
	c.Destination, c.key = target, dc.keyOf(target)
}

// keyOf is what other files must not share of a name at the destination; "" where no two
// names can be one.
func (dc *decider) keyOf(target string) string {
	switch {
	case dc.dst.FoldsCase(dc.o.Mode != filesync.Survey):
		return filesync.FoldName(target)
	case dc.o.Flat:
		return target
	}
	return ""
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

func (t *report) wait(e filesync.Entry, reason string) {
	t.waiting.Add(1)
	t.decide(e, filesync.StateWaiting, reason)
}

// decideAll looks at what stands at the destination under the candidates' names, decides
// about them, and does what that says.
func (dc *decider) decideAll(ctx context.Context, cands []candidate) error {
	if err := dc.gatherFacts(ctx, cands); err != nil {
		return err
	}
	var found findings
	for _, c := range cands {
		d := plan.Decide(dc.rules, c.Facts)
		if d.Owes {
			found.owed = append(found.owed, c.Record)
		}
		if d.Mended {
			found.mended = append(found.mended, c.Listed.Name)
		}
		if d.Action == plan.Copy || d.Action == plan.Adopt {
			if err := dc.submit(ctx, c, d); err != nil {
				return err
			}
			continue
		}
		if err := dc.carryOut(ctx, c, d); err != nil {
			return err
		}
	}
	return dc.writeDown(ctx, found)
}

// maxGathers is how often facts are gathered anew as other passes deliver meanwhile. The
// queue asks again about what is copied.
const maxGathers = 4

// gatherFacts finds out what stands at the destination, and reads the candidates'
// records again if other passes have delivered since: they belong together.
func (dc *decider) gatherFacts(ctx context.Context, cands []candidate) error {
	for range maxGathers {
		if err := dc.lookAtDestination(ctx, cands); err != nil || len(cands) == 0 {
			return err
		}
		now := dc.now()
		if now == cands[0].now {
			break
		}
		names := make([]string, len(cands))
		for i, c := range cands {
			names[i] = c.Listed.Name
		}
		recs, err := dc.ledger.Find(ctx, names)
		if err != nil {
			return err
		}
		for i, rec := range recs {
			dc.rows.Add(rec)
			cands[i].Record, cands[i].now = rec, now
			if cands[i].Stillness == nil {
				cands[i].Stillness = stoodStill
			}
		}
	}
	return nil
}

// lookAtDestination finds out what stands under the candidates' names, and whose they
// are.
func (dc *decider) lookAtDestination(ctx context.Context, cands []candidate) error {
	if len(cands) == 0 {
		return nil
	}
	if dc.o.KeepBoth {
		if err := dc.keepBoth(ctx, cands); err != nil {
			return err
		}
	}
	if err := dc.findOwners(ctx, cands); err != nil {
		return err
	}
	names := make([]string, len(cands))
	for i, c := range cands {
		names[i] = c.Destination
	}
	standing, err := dc.dst.Stat(ctx, names)
	if err != nil {
		return err
	}
	for i := range cands {
		cands[i].Standing = &standing[i]
	}
	return nil
}

// findOwners finds the files that the candidates' names belong to, where names can
// collide.
func (dc *decider) findOwners(ctx context.Context, cands []candidate) error {
	if cands[0].key == "" {
		return nil
	}
	keys := make([]string, len(cands))
	for i, c := range cands {
		keys[i] = c.key
	}
	owners, err := dc.ledger.Owners(ctx, keys)
	if err != nil {
		return err
	}
	for i := range cands {
		c := &cands[i]
		c.Owner = owners[i]
		if o := c.Owner; o.ID == 0 || o.Delivery.Source.Name == c.Listed.Name || !o.Gone && o.After != filesync.AfterDone {
			continue
		}
		copies, err := dc.dst.Stat(ctx, []string{c.Owner.Delivery.Target.Name})
		if err != nil {
			return err
		}
		c.OwnersCopy = &copies[0]
	}
	return nil
}

// findings are what is to be written down of the candidates that were looked at.
type findings struct {
	owed   []filesync.Record
	mended []string
}

// carryOut does what was decided about a candidate that does not go through the queue.
func (dc *decider) carryOut(ctx context.Context, c candidate, d plan.Decision) error {
	if d.State == filesync.StateFailed && d.Err != nil && !d.Held {
		dc.fail(ctx, c.Listed, d.Err) // a try of the file
	} else {
		dc.leave(c, d)
	}
	if !d.NewConflict || dc.o.Mode == filesync.Survey {
		return nil
	}
	ids, err := dc.ledger.Fail(ctx, []filesync.Failure{{Source: c.Listed, Conflict: true, Error: d.Err.Error(), At: time.Now()}})
	if err != nil {
		return err
	}
	dc.rows.AddFailures(ids)
	return nil
}

// writeDown writes down what was found: failures that are none any more, and after_copy
// that can be done.
func (dc *decider) writeDown(ctx context.Context, found findings) error {
	if dc.o.Mode == filesync.Survey {
		return nil
	}
	if len(found.mended) > 0 {
		if err := dc.ledger.Release(ctx, found.mended); err != nil {
			return err
		}
	}
	return dc.queue.Owe(ctx, found.owed)
}
