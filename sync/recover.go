package sync

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"
)

// recoverLast finishes what a killed pass left: batches that were about to get
// their names, removals of which nobody knows whether they were done, and
// pending files.
func (p *Pass) recoverLast(ctx context.Context) error {
	p.at("looking after the last pass")
	if err := p.recoverIntents(ctx); err != nil {
		return err
	}
	if p.o.AfterCopy.any() {
		if err := p.recoverRemovals(ctx); err != nil {
			return err
		}
	}
	if !p.o.Sweep {
		return nil
	}
	kept, err := p.ledger.Checkpoints(ctx)
	if err != nil {
		return err
	}
	keep := make(map[string]bool, len(kept))
	for _, k := range kept {
		keep[k.Checkpoint.ID] = true
	}
	// A walk through the whole destination gives no sign of life: it has a
	// deadline of its own instead of the watchdog.
	p.sweeping.Store(true)
	defer p.sweeping.Store(false)
	within := sweepWithin
	if p.o.Mode == Request {
		within = quickSweep
	}
	sweep, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err = p.dst.Sweep(sweep, func(id string) bool { return keep[id] })
	switch {
	case err == nil:
		return p.ledger.Swept(ctx)
	case p.o.Mode == Request && sweep.Err() != nil && ctx.Err() == nil:
		return nil // the next pass goes on with it
	}
	return err
}

// These bound the search for pending files of a killed pass: somebody waits for
// a request.
const (
	sweepWithin = time.Hour
	quickSweep  = 10 * time.Second
)

// recoverIntents finds out what became of batches that were about to get their
// names. Those of files that were written in place come last: what was recorded
// of them is in the other ones.
func (p *Pass) recoverIntents(ctx context.Context) error {
	intents, err := p.ledger.Intents(ctx)
	if err != nil {
		return err
	}
	kept, err := p.ledger.Checkpoints(ctx)
	if err != nil {
		return err
	}
	for _, inPlace := range []bool{false, true} {
		for id, batch := range intents {
			if len(batch) > 0 && batch[0].inPlace() != inPlace || p.others(batch) {
				continue
			}
			// What is kept of a file goes on from there.
			batch = slices.DeleteFunc(batch, func(d Delivery) bool {
				_, ok := kept[d.Source.Name]
				return ok && d.inPlace()
			})
			if err := p.recoverIntent(ctx, id, batch); err != nil {
				return err
			}
			delete(intents, id)
		}
	}
	return nil
}

// others reports whether a batch may be of a pass that runs beside this one:
// only the first of them, or one that begins anew, recovers.
func (p *Pass) others(batch []Delivery) bool {
	return p.beside && (len(batch) == 0 || batch[0].Pass != p.o.ID)
}

// recoverIntent commits the files of a batch that have their names, and drops
// the others: a pending file that is still there was not renamed.
func (p *Pass) recoverIntent(ctx context.Context, id int64, batch []Delivery) error {
	names, paths := make([]string, len(batch)), make([]string, len(batch))
	for i, d := range batch {
		names[i], paths[i] = d.Target.Name, d.Source.Name
	}
	recs, err := p.ledger.Find(ctx, paths)
	if err != nil {
		return err
	}
	standing, err := p.dst.Stat(ctx, names)
	if err != nil {
		return err
	}
	var published []Delivery
	var stand []string
	for i, d := range batch {
		named, err := p.recoverDelivery(ctx, d, recs[i], standing[i])
		if err != nil {
			return err
		}
		if named && !d.confirmedBy(standing[i].Entry) {
			d.After = AfterUnverified
		}
		if named {
			published = append(published, d)
			stand = append(stand, d.Target.Name)
		}
	}
	var durable []Delivery
	var notDurable []unsettled
	for i, err := range p.dst.Persist(ctx, stand) {
		switch {
		case unavailable(err):
			return err
		case err == nil:
			durable = append(durable, published[i])
		case !errors.Is(err, fs.ErrNotExist) && !published[i].inPlace():
			// Without an intent the next version of the file would find a copy that
			// nobody knows of.
			p.o.Log.Warn("a delivered file cannot be made durable", "file", published[i].Source.Name, "error", err)
			notDurable = append(notDurable, unsettled{published[i].Source, err})
		}
	}
	p.shared.notDurable.replace(batch, notDurable)
	if len(notDurable) > 0 {
		id = 0 // the intent stays
	}
	if _, err = p.ledger.Commit(ctx, id, durable); err != nil {
		return err
	}
	for _, d := range durable {
		if p.o.ID != "" && d.Pass == p.o.ID { // an earlier run of this very pass was cut off
			p.copied.Add(1)
			p.bytes.Add(d.Source.Size)
			if d.After == AfterUnverified {
				p.unverified.Add(1)
			}
		}
		if p.o.OnDelivered != nil {
			p.o.OnDelivered(Delivered{Delivery: d})
		}
	}
	return nil
}

// recoverDelivery finds out whether a file of a batch got its name, by what the
// ledger has of it and what stands there; what is left of one that did not is
// removed. Its error is one of the whole destination.
func (p *Pass) recoverDelivery(ctx context.Context, d Delivery, rec Record, standing Look) (named bool, err error) {
	if rec.Delivered(d.Source) && rec.Delivery.Pass == d.Pass || d.inPlace() && d.replaces(standing) {
		return false, nil // it was recorded, or never begun
	}
	part := d.Target
	unknown := d.inPlace() && !d.Begun
	if unknown {
		part.Size = 0 // nothing was written
	}
	id := d.PendingID
	if p.o.InPlace && !unknown && standing.Err == nil && standing.Entry.Agrees(d.Target) {
		// It looks whole, but its CLOSE may never have been answered, which is where
		// a server tells of WRITEs that it lost: it is written anew.
		id = InPlaceID
	}
	pending, err := p.dst.Begin(ctx, part, &Checkpoint{ID: id})
	if err == nil {
		if err = pending.Abort(ctx); unavailable(err) {
			return false, err
		}
		return false, nil
	}
	switch {
	case unavailable(err):
		return false, err
	case !errors.Is(err, fs.ErrNotExist), // its directory is none any more, say
		unknown,                     // what stands is somebody else's
		rec.Delivery.At.After(d.At): // another pass has found it since, and gone on from there
		return false, nil
	}
	if standing.Err != nil || !standing.Entry.Agrees(d.Target) {
		return false, nil
	}
	return d.confirmedBy(standing.Entry) || !p.o.Overwrite && !d.inPlace(), nil
}

// confirmedBy reports whether the size that is told of what stands is the file's.
// Where no size is told, a file that is pending no more may have its name, or
// something else stands there: one that was to be replaced, or half of a file that
// was written in place. Those are written anew. Where nothing stood under the name,
// the delivery is recorded, and the original is left.
func (d Delivery) confirmedBy(standing Entry) bool {
	return standing.Size >= 0 && standing.Size == d.Target.Size
}

// recoverRemovals looks again at originals whose removal was under way. One
// that is gone is done. One of the same size and time may be what we copied or
// a new file: it goes only if the copy stands and has the same contents;
// without the copy its row is closed, so that it is copied again, unless the
// source itself tells the two apart. Where every file is a new one, that goes for
// each that is owed: an upload of the same size and time may have taken its place
// since.
func (p *Pass) recoverRemovals(ctx context.Context) error {
	var from int64
	for {
		recs, err := p.ledger.Outstanding(ctx, from, chunkSize)
		if err != nil || len(recs) == 0 {
			return err
		}
		from = recs[len(recs)-1].ID
		recs = slices.DeleteFunc(recs, func(r Record) bool { return r.After != AfterTrying && !(p.o.Fresh && r.After == AfterOwed) })
		if len(recs) == 0 {
			continue
		}
		sources, targets := make([]Entry, len(recs)), make([]string, len(recs))
		for i, r := range recs {
			sources[i], targets[i] = r.Delivery.Source, r.Delivery.Target.Name
		}
		originals, err := p.src.Relist(ctx, sources)
		if err != nil {
			return err
		}
		copies, err := p.dst.Stat(ctx, targets)
		if err != nil {
			return err
		}
		byAfter := map[After][]int64{}
		for i, r := range recs {
			if after, known := p.removed(r, originals[i], copies[i]); known {
				byAfter[after] = append(byAfter[after], r.ID)
			}
		}
		if err := p.setAfter(ctx, byAfter); err != nil {
			return err
		}
	}
}

// removed says what became of a removal that was under way, by what stands at
// both ends; known is false while one of them does not tell.
func (p *Pass) removed(r Record, original, standing Look) (after After, known bool) {
	gone := func(k Look) bool { return errors.Is(k.Err, fs.ErrNotExist) }
	switch {
	case original.Err != nil:
		return AfterDone, gone(original)
	case !original.Entry.SameVersion(r.Delivery.Source):
		return AfterDone, true
	case p.o.Once && !p.o.Fresh:
		return AfterOwed, true // its receiver may have taken the copy
	case standing.Err != nil && !gone(standing):
		return AfterDone, false
	case standing.Err == nil && wrote(r, r.Delivery.Target.Name, standing.Entry):
		return AfterCompare, true
	case p.o.Discerning:
		return AfterOwed, true // its reader has taken or changed the copy
	}
	return AfterDone, true
}
