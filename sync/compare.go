package sync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"sftpconnector/status"
)

// candidate is a ready file on its way to a decision about its target.
type candidate struct {
	e         Entry
	rec       Record
	target    string // the name at the destination
	key       string // what the target must not share; "" where names cannot collide
	claim     string // what it holds while it is on its way
	unsettled bool   // has to stand still first, which a Survey does not wait for
	delivered bool   // before; it is a matter of whether it still stands there
}

// compare decides about listed files. With await, a file that has to stand
// still a little longer is put aside for the second look.
func (p *Pass) compare(ctx context.Context, entries []Entry, await bool) error {
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
		if c, ok := p.sift(e, recs[i], await); ok {
			cands = append(cands, c)
		}
	}
	return p.aim(ctx, cands, released)
}

// mayOwe reports whether a file that was delivered earlier could owe its
// after_copy: that was asked for only later, or has failed so far.
func (p *Pass) mayOwe(rec Record) bool {
	if !p.o.AfterCopy.any() {
		return false
	}
	switch rec.After {
	case AfterNone:
		return true
	case AfterOwed, AfterCompare:
		return p.bringsBack() // an automatic pass has been at it already
	}
	return false
}

// bringsBack reports whether files that were delivered and are missing at the
// destination are copied again.
func (p *Pass) bringsBack() bool { return p.o.Mode.ensures() && !p.o.Once }

// sift takes out the files that need nothing now. It answers true for one
// whose target has to be looked at.
func (p *Pass) sift(e Entry, rec Record, await bool) (candidate, bool) {
	now := time.Now()
	c := candidate{e: e, rec: rec, delivered: rec.Delivered(e)}
	if reason := p.o.Filter.Excluded(e); reason != "" {
		p.exclude(e, reason)
		return c, false
	}
	if !c.delivered {
		p.resumes.find(e) // so that what is kept of it stays
		if err := p.shared.notDurable.why(e); err != nil {
			p.failed.Add(1)
			text := fmt.Sprintf("its copy stands, and cannot be made durable yet: %v", err)
			p.list(e.Name, text, hint(err))
			p.decide(e, StateFailed, text)
			return c, false
		}
	}
	if f := rec.Failure; c.delivered && rec.After == AfterRefused && rec.FailureID != 0 && f.Conflict {
		p.conflict.Add(1)
		p.list(e.Name, f.Error, hintCompare)
		p.decide(e, StateConflict, f.Error)
		return c, false
	}
	if c.delivered && !p.bringsBack() && !p.mayOwe(rec) && rec.FailureID == 0 {
		p.decideDelivered(c)
		return c, false
	}
	if (!c.delivered || p.bringsBack()) && p.held(e, rec, now) {
		return c, false
	}
	if !c.delivered {
		if young := p.o.Filter.TooYoung(e, now); young > 0 {
			p.wait(e, fmt.Sprintf("modified at %s, files.minimum_age asks for %s more", e.ModTime.UTC().Format(time.RFC3339), young.Round(time.Second)))
			return c, false
		}
		ready, wait, reason := p.looks.ready(e, p.o.Settle)
		if !ready && p.o.Mode == Survey && wait > 0 {
			ready, c.unsettled = true, true
		}
		if !ready && await && wait > 0 {
			p.second.add(e, wait)
			p.looks.await(e.Name)
			return c, false
		}
		if !ready && p.looks.restless(e.Name) >= MaxDiscards {
			p.restless(e)
			return c, false
		}
		if !ready {
			p.wait(e, reason)
			return c, false
		}
	}
	p.aimAt(&c, p.target(e.Name))
	return c, true
}

// aimAt gives a candidate its name at the destination.
func (p *Pass) aimAt(c *candidate, target string) {
	c.target, c.key = target, ""
	folds := p.dst.FoldsCase(p.o.Mode != Survey)
	if p.o.Flat || folds {
		c.key = c.target
	}
	if folds {
		c.key = FoldName(c.key)
	}
}

// decideDelivered counts a file that needs nothing, as it was delivered.
func (p *Pass) decideDelivered(c candidate) {
	reason := "delivered " + c.rec.Delivery.At.UTC().Format(time.RFC3339)
	if c.rec.Unverified() {
		reason += "; the server did not confirm the copy, so its original is left"
	}
	if p.o.AfterCopy.any() && (c.rec.After == AfterOwed || c.rec.After == AfterTrying || c.rec.After == AfterCompare) {
		reason += "; its original could not be removed or moved yet"
	}
	p.stands(c)
	target := "" // whether it stands there is not known
	if p.o.Once {
		target = c.rec.Delivery.Target.Name // nor asked: it was delivered
	}
	p.decideRecorded(c.e, c.rec, target, reason)
}

// stands counts a file that needs nothing; one that an earlier run of this very
// pass has delivered is counted there.
func (p *Pass) stands(c candidate) {
	if p.o.ID != "" && c.rec.Delivery.Pass == p.o.ID {
		p.again.Add(1)
		return
	}
	p.present.Add(1)
}

func stateOf(rec Record) State {
	if rec.Delivery.Adopted {
		return StatePresent
	}
	return StateDelivered
}

// held counts a file that failed before and is not tried now.
func (p *Pass) held(e Entry, rec Record, now time.Time) bool {
	f := rec.Failure
	if rec.FailureID == 0 || f.Conflict || !f.Source.SameVersion(e) {
		return false
	}
	switch {
	case f.Quarantined:
		p.quarantined.Add(1)
		p.list(e.Name, "quarantined: "+f.Error, "Mend the cause, then release it with 'sftp-connector retry'.")
		p.decide(e, StateQuarantined, fmt.Sprintf("failed %d times: %s", f.Tries, f.Error))
		return true
	case !p.o.Mode.ensures() && now.Before(f.Next) && !now.Before(f.At): // a clock that was set back puts nothing off
		p.failed.Add(1)
		p.listFailure(FileFailure{Name: e.Name, Error: f.Error, Held: true,
			Hint: "It is tried again at " + f.Next.UTC().Format(time.RFC3339) + ", or on Apply."})
		p.decide(e, StateFailed, fmt.Sprintf("tried %d times, next at %s: %s", f.Tries, f.Next.UTC().Format(time.RFC3339), f.Error))
		return true
	}
	return false
}

func (p *Pass) wait(e Entry, reason string) {
	p.tally.waiting.Add(1)
	p.decide(e, StateWaiting, reason)
}

// aim looks at what stands at the destination under the candidates' targets.
// released is how many claims others had released when their records were read.
func (p *Pass) aim(ctx context.Context, cands []candidate, released int64) error {
	if p.o.KeepBoth {
		if err := p.keepBoth(ctx, cands); err != nil {
			return err
		}
	}
	cands, owners, err := p.claim(ctx, cands, released)
	if err != nil || len(cands) == 0 {
		return err
	}
	targets := make([]string, len(cands))
	for i, c := range cands {
		targets[i] = c.target
	}
	standing, err := p.dst.Stat(ctx, targets)
	if err != nil {
		return err
	}
	var found findings
	for i, c := range cands {
		j := job{e: c.e, target: c.target, key: c.key, claim: c.claim}
		v, why := p.judge(&j, c, standing[i], owners[i])
		if (v == standsIt || p.o.Once && c.delivered) && p.mayOwe(c.rec) {
			found.owed = append(found.owed, c.rec)
		}
		if c.rec.FailureID != 0 && c.delivered && (v == standsIt || !p.bringsBack()) {
			found.mended = append(found.mended, c.e.Name)
		}
		if err := p.carryOut(ctx, v, why, j, c, standing[i].Entry, &found); err != nil {
			return err
		}
	}
	if err := p.settled(ctx, found.mended, found.owed); err != nil {
		return err
	}
	err = p.adopt(ctx, found.adopted)
	for _, c := range found.adopting {
		p.claims.release(c.claim, c.e.Name, p)
	}
	return err
}

// findings are what is to be written down of the candidates that were looked at.
type findings struct {
	adopted  []Delivery
	adopting []candidate // hold their names until that is recorded
	owed     []Record
	mended   []string
}

// carryOut does what the verdict about a candidate says. Its name is free again
// but where the file is still on its way to it.
func (p *Pass) carryOut(ctx context.Context, v verdict, why error, j job, c candidate, standing Entry, found *findings) error {
	switch {
	case c.delivered && !p.bringsBack():
		// Its reader may have taken it away: only its after_copy was open.
		p.decideDelivered(c)
	case v == copyIt:
		return p.enqueue(ctx, j, c)
	case v == adoptIt:
		p.present.Add(1)
		p.decideTarget(c.e, StatePresent, c.target, "the same name, size and time stand at the destination")
		found.adopted = append(found.adopted, p.adoption(c, standing))
		found.adopting = append(found.adopting, c)
		return nil
	case v == standsIt:
		p.stands(c)
		p.decideRecorded(c.e, c.rec, c.target, "stands at the destination")
	case v == conflictIt:
		if err := p.clash(ctx, c, why); err != nil {
			return err
		}
	case v == unsafeIt:
		p.unsafe.Add(1)
		p.list(c.e.Name, why.Error(), hintName)
		p.decide(c.e, StateUnsafe, why.Error())
	case v == failIt:
		p.fail(ctx, c.e, why)
	}
	p.claims.release(c.claim, c.e.Name, p)
	return nil
}

// settled writes down what turned out well: failures that are none any more,
// and after_copy that can be done.
func (p *Pass) settled(ctx context.Context, mended []string, owed []Record) error {
	if p.o.Mode == Survey {
		return nil
	}
	if len(mended) > 0 {
		if err := p.ledger.Release(ctx, mended); err != nil {
			return err
		}
	}
	return p.owe(ctx, owed)
}

// verdict is what is to be done about one candidate.
type verdict int

const (
	copyIt verdict = iota
	adoptIt
	standsIt
	conflictIt
	unsafeIt
	failIt
)

// judge decides about one candidate by what stands under its target and who
// owns that name.
func (p *Pass) judge(j *job, c candidate, standing Look, owner Record) (verdict, error) {
	switch {
	case errors.Is(standing.Err, fs.ErrNotExist):
		return copyIt, nil
	case errors.Is(standing.Err, ErrConflict):
		return conflictIt, standing.Err
	case errors.Is(standing.Err, fs.ErrInvalid): // a name that the destination cannot hold
		return unsafeIt, standing.Err
	case standing.Err != nil:
		return failIt, fmt.Errorf("look at the destination: %w", standing.Err)
	}
	s := standing.Entry
	ours := wrote(c.rec, c.target, s) || wrote(owner, owner.Delivery.Target.Name, s) // whose name it is by its key, in whatever case
	switch {
	case s.Mode.IsDir():
		return conflictIt, fmt.Errorf("a directory: %w", ErrConflict)
	case ours && c.delivered:
		return standsIt, nil
	case !ours && !c.delivered && !p.o.Fresh && s.Mode.IsRegular() && s.SameVersion(c.e):
		return adoptIt, nil
	case !ours && !c.delivered && p.partOfOurs(c.e, s):
		return copyIt, nil
	case !ours && !p.o.Overwrite, p.o.KeepBoth && !c.delivered: // came after the look for a free name
		return conflictIt, fmt.Errorf("%w (%d bytes of %s)", ErrConflict, s.Size, s.ModTime.UTC().Format(time.RFC3339))
	}
	j.replaces = &s
	return copyIt, nil
}

// wrote reports whether the record explains what stands under target: we
// wrote, or adopted, this very version of it, as far as that is told.
func wrote(r Record, target string, standing Entry) bool {
	return r.ID != 0 && r.Delivery.Target.Name == target && standing.Mode.IsRegular() && r.Delivery.Target.Agrees(standing)
}

// enqueue hands a job to the copiers.
func (p *Pass) enqueue(ctx context.Context, j job, c candidate) error {
	p.filesFound.Add(1)
	p.bytesFound.Add(c.e.Size)
	state, reason := StateNew, "not delivered yet"
	switch {
	case c.delivered:
		reason = "delivered before, missing at the destination"
		if j.replaces != nil {
			reason = "edited at the destination, and files.on_conflict is overwrite"
		}
	case c.rec.ID != 0 && c.rec.After != AfterDone:
		state, reason = StateChanged, "its size or time changed since it was delivered"
	}
	if c.unsettled {
		reason += fmt.Sprintf("; it has to stand still for %s", p.o.Settle)
	}
	p.decide(c.e, state, reason)
	if p.o.Mode == Survey {
		p.claims.release(c.claim, c.e.Name, p)
		return nil
	}
	p.elsewhere.underWay.Add(1)
	select {
	case p.jobs <- j:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// clash counts a conflict, and records it once.
func (p *Pass) clash(ctx context.Context, c candidate, err error) error {
	p.conflict.Add(1)
	p.list(c.e.Name, err.Error(), hint(err))
	p.decide(c.e, StateConflict, err.Error())
	if f := c.rec.Failure; p.o.Mode == Survey || c.rec.FailureID != 0 && f.Conflict && f.Source.SameVersion(c.e) {
		return nil
	}
	return p.record(ctx, Failure{Source: c.e, Conflict: true, Error: err.Error(), At: time.Now()})
}

func (p *Pass) adoption(c candidate, standing Entry) Delivery {
	standing.Name = c.target
	return Delivery{Source: c.e, Target: standing, Key: c.key, Adopted: true, Pass: p.o.ID, At: time.Now(), After: p.owes(true)}
}

// owes is the after_copy that a delivery of this pass owes.
func (p *Pass) owes(adopted bool) After {
	switch {
	case !p.o.AfterCopy.any():
		return AfterNone
	case adopted:
		return AfterCompare
	}
	return AfterOwed
}

// adopt records files that stood at the destination already.
func (p *Pass) adopt(ctx context.Context, batch []Delivery) error {
	if len(batch) == 0 || p.o.Mode == Survey {
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
