package transfer

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// recoverLast finishes what a killed pass left: batches that were about to get
// their names, removals of which nobody knows whether they were done, and
// pending files.
func (c *Client) recoverLast(ctx context.Context) error {
	c.s.Doing("looking after the last pass")
	if err := c.recoverIntents(ctx); err != nil {
		return err
	}
	if c.o.AfterCopy.Any() {
		if err := c.recoverRemovals(ctx); err != nil {
			return err
		}
	}
	if !c.o.Sweep {
		return nil
	}
	kept, err := c.r.ledger.Checkpoints(ctx)
	if err != nil {
		return err
	}
	intents, err := c.r.ledger.Intents(ctx) // those that stay
	if err != nil {
		return err
	}
	keep := make(map[string]bool, len(kept))
	for _, k := range kept {
		keep[k.Checkpoint.ID] = true
	}
	for _, batch := range intents {
		for _, d := range batch {
			keep[d.PendingID] = true
		}
	}
	within := sweepWithin
	if c.o.Mode == filesync.Request {
		within = quickSweep
	}
	sweep, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err = c.r.dst.Sweep(sweep, func(id string) bool { return keep[id] })
	switch {
	case err == nil:
		return c.r.ledger.Swept(ctx)
	case sweep.Err() != nil && ctx.Err() == nil:
		c.o.Log.Warn("pending files not looked for everywhere", "after", within)
		return nil // the next pass begins again
	}
	return err
}

// These bound the search for pending files of a killed pass: files wait to be delivered,
// and somebody waits for a request.
const (
	sweepWithin = time.Hour
	quickSweep  = 10 * time.Second
)

// recoverIntents finds out what became of batches that were about to get their
// names. Those of files that were written in place come last: what was recorded
// of them is in the other ones.
func (c *Client) recoverIntents(ctx context.Context) error {
	c.r.q.notDurable.clear()
	intents, err := c.r.ledger.Intents(ctx)
	if err != nil {
		return err
	}
	kept, err := c.r.ledger.Checkpoints(ctx)
	if err != nil {
		return err
	}
	asked := map[question]bool{}
	for _, inPlace := range []bool{false, true} {
		for _, id := range slices.Sorted(maps.Keys(intents)) {
			batch := intents[id]
			if len(batch) > 0 && isInPlace(batch[0]) != inPlace {
				continue
			}
			if err := c.recoverIntent(ctx, id, batch, kept, asked); err != nil {
				return err
			}
			delete(intents, id)
		}
	}
	return nil
}

// question is what is not known of a delivery. Of several intents that ask the same, one
// is kept.
type question struct {
	name       string
	begun      bool
	size       int64
	replaces   bool
	replaced   int64 // the size of that
	replacedAt int64 // its time, in Unix seconds
}

func questionOf(d filesync.Delivery) question {
	q := question{name: d.Target.Name, begun: d.Opened, size: d.Target.Size}
	if d.Replaces != nil {
		q.replaces, q.replaced, q.replacedAt = true, d.Replaces.Size, d.Replaces.ModTime.Unix()
	}
	return q
}

// recoverIntent commits the files of a batch that have their names, and drops
// the others: a pending file that is still there was not renamed. What cannot be found
// out now, and no other intent asks, stays journaled.
func (c *Client) recoverIntent(ctx context.Context, id int64, batch []filesync.Delivery, kept map[string]filesync.Interrupted, asked map[question]bool) error {
	names, paths, keys := make([]string, len(batch)), make([]string, len(batch)), make([]string, len(batch))
	for i, d := range batch {
		names[i], paths[i], keys[i] = d.Target.Name, d.Source.Name, d.Key
	}
	recs, err := c.r.ledger.Find(ctx, paths)
	if err != nil {
		return err
	}
	owners, err := c.r.ledger.Owners(ctx, keys)
	if err != nil {
		return err
	}
	standing, err := c.r.dst.Stat(ctx, names)
	if err != nil {
		return err
	}
	var published, durable, broken, open []filesync.Delivery
	var stand []string
	sure := map[string]bool{} // by name: it was published, whoever has it now
	for i, d := range batch {
		if c.o.InPlace && goesOn(d, kept[d.Source.Name], recs[i], owners[i], standing[i]) {
			broken = append(broken, d)
			continue
		}
		became, err := c.recoverDelivery(ctx, d, recs[i], owners[i], standing[i])
		if err != nil {
			return err
		}
		sure[d.Target.Name] = became == outcomeProven
		switch became {
		case outcomeSettled:
			continue
		case outcomeUnknown:
			if q := questionOf(d); !asked[q] {
				asked[q], open = true, append(open, d)
			}
			continue
		case outcomeNotPublished:
			broken = append(broken, d)
			continue
		}
		switch agrees := standing[i].Err == nil && standing[i].Entry.Agrees(d.Target); {
		case became == outcomeProven && !agrees: // its reader has it, or has written to it
			durable = append(durable, d)
			continue
		case !confirmedBy(d, standing[i].Entry):
			d.After = filesync.AfterUnverified
		}
		published = append(published, d)
		stand = append(stand, d.Target.Name)
	}
	if err := c.r.forgetLost(ctx, broken); err != nil {
		return err
	}
	for i, err := range c.r.dst.Persist(ctx, stand) {
		switch {
		case filesync.IsUnavailable(err):
			return err
		case err == nil, errors.Is(err, fs.ErrNotExist) && sure[stand[i]]:
			durable = append(durable, published[i])
		case !errors.Is(err, fs.ErrNotExist) && !isInPlace(published[i]):
			// Without an intent the next version of the file would find a copy that
			// nobody knows of.
			c.o.Log.Warn("a delivered file cannot be made durable", "file", published[i].Source.Name, "error", err)
			c.r.q.notDurable.add(published[i].Source, err)
			open = append(open, published[i])
		}
	}
	switch {
	case len(open) == 0:
	case len(open) == len(batch):
		return nil // the intent stays as it is
	default:
		if _, err := c.r.ledger.Intend(ctx, open); err != nil {
			return err
		}
	}
	if _, err = c.r.ledger.Commit(ctx, []int64{id}, durable); err != nil {
		return err
	}
	for _, d := range durable {
		c.s.Recovered(d)
	}
	return nil
}

// goesOn reports whether a part that was written in place is what was kept of the file,
// which the next copy goes on with.
func goesOn(d filesync.Delivery, kept filesync.Interrupted, rec, owner filesync.Record, standing filesync.StatResult) bool {
	return isInPlace(d) && kept.Checkpoint.ID != "" && kept.Source.SameVersion(d.Source) &&
		!deliveredSince(d, rec) && !deliveredSince(d, owner) &&
		standing.Err == nil && 0 <= standing.Entry.Size && standing.Entry.Size < d.Target.Size
}

// outcome is what became of a file of a batch that was about to get its name.
type outcome int

// The outcomes.
const (
	outcomeSettled      outcome = iota // it was recorded, or not begun
	outcomeNotPublished                // it was begun and has no name: what was left of it is removed
	outcomeUnknown                     // the destination does not let us find out now, or remove what is left
	outcomePublished                   // it stands under the name
	outcomeProven                      // it did, whatever stands there now
)

// recoverDelivery finds out whether a file of a batch got its name, by what the
// ledger has of it and of the owner of that name, and by what stands there; what is left
// of one that did not is removed. Its error is one of the whole destination.
func (c *Client) recoverDelivery(ctx context.Context, d filesync.Delivery, rec, owner filesync.Record, standing filesync.StatResult) (outcome, error) {
	later := deliveredSince(d, rec) || deliveredSince(d, owner)
	inPlace := c.wasInPlace(d)
	if inPlace && (later || isRecorded(d, rec, standing) || isRecorded(d, owner, standing)) {
		return outcomeSettled, nil // what stands is whole, and recorded
	}
	if rec.Delivered(d.Source) && rec.Delivery.Pass == d.Pass || isInPlace(d) && replacesStanding(d, standing) {
		return outcomeSettled, nil // it was recorded, or never begun
	}
	if inPlace != c.o.InPlace {
		if later {
			return outcomeSettled, nil
		}
		return c.recoverByLook(d, inPlace, standing), nil
	}
	part := d.Target
	unknown := isInPlace(d) && !d.Opened
	if unknown {
		part.Size = 0 // nothing was written
	}
	id := d.PendingID
	if c.o.InPlace && !unknown && standing.Err == nil && standing.Entry.Agrees(d.Target) {
		// It looks whole, but its CLOSE may never have been answered, which is where
		// a server tells of WRITEs that it lost: it is written anew.
		id = filesync.InPlaceID
	}
	pending, err := c.r.dst.Begin(ctx, part, &filesync.Checkpoint{ID: id})
	if err == nil {
		switch err = pending.Abort(ctx); {
		case filesync.IsUnavailable(err):
			return outcomeSettled, err
		case err == nil:
			return outcomeNotPublished, nil
		case !errors.Is(err, fs.ErrNotExist) && c.o.InPlace:
			return outcomeUnknown, nil
		case !errors.Is(err, fs.ErrNotExist):
			return outcomeNotPublished, nil // the name of what is left tells that it is pending
		}
		// It went between the two: whoever had begun it may have given it its name.
		stats, err := c.r.dst.Stat(ctx, []string{d.Target.Name})
		if err != nil {
			return outcomeSettled, err
		}
		standing = stats[0]
	}
	switch {
	case filesync.IsUnavailable(err):
		return outcomeSettled, err
	case later: // another pass has found it since, and gone on from there
		return outcomeSettled, nil
	case errors.Is(err, filesync.ErrPublished):
		c.r.leftPending.Store(true) // the proof goes with the next sweep
		if isLater(rec, d) {
			return outcomeSettled, nil
		}
		return outcomeProven, nil
	case !errors.Is(err, fs.ErrNotExist) || errors.Is(err, filesync.ErrUnseen):
		return outcomeUnknown, nil // the pending file may be there
	case isLater(rec, d): // under another name, as a file of this one stood there
		return outcomeSettled, nil
	case unknown: // what stands is somebody else's
		return outcomeSettled, nil
	case standing.Err != nil || !standing.Entry.Agrees(d.Target),
		!confirmedBy(d, standing.Entry) && (c.o.Overwrite || isInPlace(d)):
		return outcomeNotPublished, nil
	}
	return outcomePublished, nil
}

// wasInPlace reports whether the file of an intent was written under its own name. An older
// program has journaled that of some only: then it was done as it is now.
func (c *Client) wasInPlace(d filesync.Delivery) bool {
	if d.InPlace != nil {
		return *d.InPlace
	}
	return isInPlace(d) || c.o.InPlace
}

// recoverByLook finds out what became of a file by what stands under its name alone, as
// files.upload_name was another then. The destination would look for the pending file in
// the wrong place, and could take somebody else's file for it.
func (c *Client) recoverByLook(d filesync.Delivery, inPlace bool, standing filesync.StatResult) outcome {
	if !inPlace {
		c.r.leftPending.Store(true) // what is not found here goes with the next sweep
	}
	switch agrees := standing.Err == nil && standing.Entry.Agrees(d.Target); {
	case isMissing(standing):
		return outcomeNotPublished
	case isInPlace(d) && !d.Opened && standing.Err == nil && standing.Entry.Size > 0:
		return outcomeSettled // what stands is somebody else's
	case standing.Err == nil && (!inPlace && !agrees || standing.Entry.Size > d.Target.Size):
		return outcomeNotPublished
	case inPlace && standing.Err == nil && !agrees:
		c.o.Log.Warn("a part of a file may stand at the destination, from before files.upload_name was changed", "file", d.Target.Name,
			"hint", "Remove it there, or set upload_name: direct again until a pass has ended: it is removed and copied anew then.")
	}
	return outcomeUnknown
}

// isMissing reports whether nothing stands under a name, which the destination lets us see.
func isMissing(standing filesync.StatResult) bool {
	return errors.Is(standing.Err, fs.ErrNotExist) && !errors.Is(standing.Err, filesync.ErrUnseen)
}

// isRecorded reports whether what stands under the name is what the record says, and not
// what was to be written there.
func isRecorded(d filesync.Delivery, rec filesync.Record, standing filesync.StatResult) bool {
	return standing.Err == nil && !rec.Delivery.Source.SameVersion(d.Source) && plan.Wrote(rec, d.Target.Name, standing.Entry)
}

// deliveredSince reports whether the record is of a later delivery under the same name.
func deliveredSince(d filesync.Delivery, rec filesync.Record) bool {
	return rec.Delivery.Target.Name == d.Target.Name && isLater(rec, d)
}

// isLater reports whether the record is of a later delivery, under whatever name.
func isLater(rec filesync.Record, d filesync.Delivery) bool {
	return rec.ID != 0 && cmp.Or(cmp.Compare(rec.Delivery.Sequence, d.Sequence), rec.Delivery.At.Compare(d.At)) > 0
}

// confirmedBy reports whether the size that is told of what stands is the file's.
// Where no size is told, a file that is pending no more may have its name, or
// something else stands there: one that was to be replaced, or half of a file that
// was written in place. Those are written anew. Where nothing stood under the name,
// the delivery is recorded, and the original is left.
func confirmedBy(d filesync.Delivery, standing filesync.Entry) bool {
	return standing.Size >= 0 && standing.Size == d.Target.Size
}

// recoverRemovals looks again at originals whose removal was under way. One
// that is gone is done. One of the same size and time may be what we copied or
// a new file: it goes only if the copy stands and has the same contents;
// without the copy its row is closed, so that it is copied again. Where the source
// itself tells versions apart, it goes.
func (c *Client) recoverRemovals(ctx context.Context) error {
	var from int64
	for {
		recs, err := c.r.ledger.Outstanding(ctx, from, chunkSize)
		if err != nil || len(recs) == 0 {
			return err
		}
		from = recs[len(recs)-1].ID
		recs = slices.DeleteFunc(recs, func(r filesync.Record) bool { return r.After != filesync.AfterTrying })
		if len(recs) == 0 {
			continue
		}
		sources, targets := make([]filesync.Entry, len(recs)), make([]string, len(recs))
		for i, r := range recs {
			sources[i], targets[i] = r.Delivery.Source, r.Delivery.Target.Name
		}
		originals, err := c.r.src.Relist(ctx, sources)
		if err != nil {
			return err
		}
		copies, err := c.r.dst.Stat(ctx, targets)
		if err != nil {
			return err
		}
		byAfter := map[filesync.After][]int64{}
		for i, r := range recs {
			if after, known := c.removed(r, originals[i], copies[i]); known {
				byAfter[after] = append(byAfter[after], r.ID)
			}
		}
		if err := c.r.setAfter(ctx, byAfter); err != nil {
			return err
		}
	}
}

// removed says what became of a removal that was under way, by what stands at
// both ends; known is false while one of them does not tell.
func (c *Client) removed(r filesync.Record, original, standing filesync.StatResult) (after filesync.After, known bool) {
	gone := func(k filesync.StatResult) bool { return errors.Is(k.Err, fs.ErrNotExist) }
	switch {
	case original.Err != nil:
		return filesync.AfterDone, gone(original)
	case !original.Entry.SameVersion(r.Delivery.Source):
		return filesync.AfterDone, true
	case original.Entry.Version != "":
		return filesync.AfterOwed, true // it is what was copied, whatever became of the copy
	case standing.Err != nil && !gone(standing):
		return filesync.AfterDone, false
	case standing.Err == nil && plan.Wrote(r, r.Delivery.Target.Name, standing.Entry):
		return filesync.AfterCompare, true
	case c.o.Once:
		return filesync.AfterOwed, true // its receiver may have taken the copy
	}
	return filesync.AfterDone, true
}
