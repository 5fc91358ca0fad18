package pass

import (
	"cmp"
	"context"
	"errors"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// candidate is a file on its way to a decision about its name at the destination.
type candidate struct {
	plan.Facts
	key   string // what the name must not share; "" where names cannot collide
	claim string // what it holds while it is on its way
}

func (c *candidate) delivered() bool { return c.Record.Delivered(c.Listed) }

// stoodStill is of a file that was found ready before.
var stoodStill = &plan.Stillness{Ready: true}

// compare decides about listed files. With await, a file that has to stand
// still a little longer is put aside for the second look.
func (p *Pass) compare(ctx context.Context, entries []filesync.Entry, await bool) error {
	if len(entries) == 0 {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	released := p.claims.byOthers(p)
	recs, err := p.ledger.Find(ctx, names)
	if err != nil {
		return err
	}
	if err := p.verifyEarlier(ctx, entries, recs); err != nil {
		return err
	}
	var cands []candidate
	for i, e := range entries {
		p.rows.Add(recs[i])
		c := p.candidate(e, recs[i])
		switch d := p.consider(c, await); d.Action {
		case plan.Examine:
			cands = append(cands, *c)
		case plan.Await:
			p.second.add(e, d.Left)
			p.looks.await(e.Name)
		default:
			p.leave(*c, d)
		}
	}
	return p.aim(ctx, cands, released)
}

// candidate gathers what listing, ledger and filters say of a file.
func (p *Pass) candidate(e filesync.Entry, rec filesync.Record) *candidate {
	now := time.Now()
	c := &candidate{Facts: plan.Facts{Now: now, Listed: e, Record: rec, Excluded: p.o.Filter.Excluded(e), TooYoung: p.o.Filter.TooYoung(e, now)}}
	if c.Excluded == "" && !c.delivered() {
		_, c.Checkpoint = p.resumes.find(e) // what is kept of it stays
	}
	p.aimAt(c, p.target(e.Name))
	return c
}

// consider decides about a file by what does not cost a look at the destination.
func (p *Pass) consider(c *candidate, await bool) plan.Decision {
	rules := p.rules
	rules.SecondLook = await
	d := plan.Decide(rules, c.Facts)
	if d.Action != plan.Observe {
		return d
	}
	ready, left, reason := p.looks.ready(c.Listed, rules.Settle)
	c.Stillness = &plan.Stillness{Ready: ready, Left: left, Reason: reason, Restless: p.looks.restless(c.Listed.Name)}
	return plan.Decide(rules, c.Facts)
}

// leave counts a file of which nothing becomes now.
func (p *Pass) leave(c candidate, d plan.Decision) {
	e := c.Listed
	if d.Delivered {
		p.countDelivered(c.Record)
		p.decideRecorded(e, c.Record, d.Target, d.Reason)
		return
	}
	failure := filesync.FileFailure{Name: e.Name, Error: d.Reason, Hint: d.Hint, Held: d.Held}
	if d.Err != nil {
		failure.Error = d.Err.Error()
		failure.Hint = cmp.Or(d.Hint, hint(d.Err))
	}
	switch d.State {
	case filesync.StateWaiting:
		p.tally.waiting.Add(1)
		p.decide(e, d.State, d.Reason)
		return
	case filesync.StateExcluded:
		p.exclude(e, d.Reason)
		return
	case filesync.StateConflict:
		p.conflict.Add(1)
	case filesync.StateQuarantined:
		p.quarantined.Add(1)
	case filesync.StateUnsafe:
		p.unsafe.Add(1)
	case filesync.StateFailed:
		p.failed.Add(1)
	}
	if d.Stuck {
		p.stuck.Add(1)
	}
	p.listFailure(failure)
	p.decide(e, d.State, d.Reason)
}

// aimAt gives a candidate its name at the destination.
func (p *Pass) aimAt(c *candidate, target string) {
	c.Destination, c.key = target, ""
	folds := p.dst.FoldsCase(p.o.Mode != filesync.Survey)
	if p.o.Flat || folds {
		c.key = target
	}
	if folds {
		c.key = filesync.FoldName(c.key)
	}
}

// countDelivered counts a file that needs nothing; one that an earlier run of this very
// pass has delivered is counted there.
func (p *Pass) countDelivered(rec filesync.Record) {
	if p.o.ID != "" && rec.Delivery.Pass == p.o.ID {
		p.again.Add(1)
		return
	}
	p.present.Add(1)
}

func (p *Pass) wait(e filesync.Entry, reason string) {
	p.tally.waiting.Add(1)
	p.decide(e, filesync.StateWaiting, reason)
}

// aim looks at what stands at the destination under the candidates' names.
// released is how many claims others had released when their records were read.
func (p *Pass) aim(ctx context.Context, cands []candidate, released int64) error {
	if p.o.KeepBoth {
		if err := p.keepBoth(ctx, cands); err != nil {
			return err
		}
	}
	cands, err := p.claim(ctx, cands, released)
	if err != nil || len(cands) == 0 {
		return err
	}
	names := make([]string, len(cands))
	for i, c := range cands {
		names[i] = c.Destination
	}
	standing, err := p.dst.Stat(ctx, names)
	if err != nil {
		return err
	}
	var found findings
	for i, c := range cands {
		c.Standing = &standing[i]
		d := plan.Decide(p.rules, c.Facts)
		if d.Owes {
			found.owed = append(found.owed, c.Record)
		}
		if d.Mended {
			found.mended = append(found.mended, c.Listed.Name)
		}
		if err := p.carryOut(ctx, c, d, &found); err != nil {
			return err
		}
	}
	if err := p.settled(ctx, found.mended, found.owed); err != nil {
		return err
	}
	err = p.adopt(ctx, found.adopted)
	for _, c := range found.adopting {
		p.claims.release(c.claim, c.Listed.Name, p)
	}
	return err
}

// findings are what is to be written down of the candidates that were looked at.
type findings struct {
	adopted  []filesync.Delivery
	adopting []candidate // hold their names until that is recorded
	owed     []filesync.Record
	mended   []string
}

// carryOut does what was decided about a candidate. Its name is free again but where
// the file is still on its way to it.
func (p *Pass) carryOut(ctx context.Context, c candidate, d plan.Decision, found *findings) error {
	switch {
	case d.Action == plan.Copy:
		return p.enqueue(ctx, c, d)
	case d.Action == plan.Adopt:
		p.present.Add(1)
		p.decideTarget(c.Listed, d.State, d.Target, d.Reason)
		found.adopted = append(found.adopted, p.adoption(c, c.Standing.Entry))
		found.adopting = append(found.adopting, c)
		return nil
	case d.State == filesync.StateFailed && d.Err != nil && !d.Held:
		p.fail(ctx, c.Listed, d.Err) // a try of the file
	default:
		p.leave(c, d)
	}
	p.claims.release(c.claim, c.Listed.Name, p)
	if d.NewConflict {
		return p.recordConflict(ctx, c.Listed, d.Err)
	}
	return nil
}

// settled writes down what turned out well: failures that are none any more,
// and after_copy that can be done.
func (p *Pass) settled(ctx context.Context, mended []string, owed []filesync.Record) error {
	if p.o.Mode == filesync.Survey {
		return nil
	}
	if len(mended) > 0 {
		if err := p.ledger.Release(ctx, mended); err != nil {
			return err
		}
	}
	return p.owe(ctx, owed)
}

// enqueue hands a file to the copiers.
func (p *Pass) enqueue(ctx context.Context, c candidate, d plan.Decision) error {
	p.filesFound.Add(1)
	p.bytesFound.Add(c.Listed.Size)
	p.decide(c.Listed, d.State, d.Reason)
	if p.o.Mode == filesync.Survey {
		p.claims.release(c.claim, c.Listed.Name, p)
		return nil
	}
	p.elsewhere.underWay.Add(1)
	select {
	case p.jobs <- job{e: c.Listed, target: c.Destination, key: c.key, claim: c.claim, replaces: d.Replaces}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// clash counts a conflict that showed when a file was copied or got its name.
func (p *Pass) clash(ctx context.Context, e filesync.Entry, err error) error {
	p.leave(candidate{Facts: plan.Facts{Listed: e}}, plan.Conflict(err))
	return p.recordConflict(ctx, e, err)
}

// recordConflict writes a conflict down.
func (p *Pass) recordConflict(ctx context.Context, e filesync.Entry, err error) error {
	if p.o.Mode == filesync.Survey {
		return nil
	}
	return p.record(ctx, filesync.Failure{Source: e, Conflict: true, Error: err.Error(), At: time.Now()})
}

func (p *Pass) adoption(c candidate, standing filesync.Entry) filesync.Delivery {
	standing.Name = c.Destination
	return filesync.Delivery{Source: c.Listed, Target: standing, Key: c.key, Adopted: true, Pass: p.o.ID, At: time.Now(), After: p.owes(true)}
}

// owes is the after_copy that a delivery of this pass owes.
func (p *Pass) owes(adopted bool) filesync.After {
	switch {
	case !p.o.AfterCopy.Any():
		return filesync.AfterNone
	case adopted:
		return filesync.AfterCompare
	}
	return filesync.AfterOwed
}

// adopt records files that stood at the destination already.
func (p *Pass) adopt(ctx context.Context, batch []filesync.Delivery) error {
	if len(batch) == 0 || p.o.Mode == filesync.Survey {
		return nil
	}
	// What looks foreign may have been published by this very pass since its
	// row was looked for: a listing that started anew shows a file twice.
	paths, names := make([]string, len(batch)), make([]string, len(batch))
	for i, d := range batch {
		paths[i], names[i] = d.Source.Name, d.Target.Name
	}
	recs, err := p.ledger.Find(ctx, paths)
	if err != nil {
		return err
	}
	foreign := batch[:0]
	for i, err := range p.dst.Persist(ctx, names) {
		switch {
		case recs[i].Delivered(batch[i].Source):
		case unavailable(err):
			return err
		case err != nil:
			p.fail(ctx, batch[i].Source, err)
		default:
			foreign = append(foreign, batch[i])
		}
	}
	ids, err := p.ledger.Commit(ctx, 0, foreign)
	if err != nil {
		return err
	}
	return p.delivered(ctx, ids, foreign, nil)
}

// unavailable reports whether err concerns the whole destination or the whole
// source, so that going on with other files makes no sense.
func unavailable(err error) bool {
	_, ok := errors.AsType[*status.Error](err)
	return ok
}
