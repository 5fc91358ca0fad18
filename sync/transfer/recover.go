package transfer

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	filesync "sftpconnector/sync"
)

// recovery finishes what a killed pass left, before anything is copied: batches that were
// about to get their names (recover.go, outcome.go), removals of which nobody knows
// whether they were done (removals.go), and pending files.
type recovery struct {
	src        *ReopeningSource
	dst        filesync.Destination
	ledger     Ledger
	lost       *lostCopies
	notDurable *notDurable
	// leftPending is set where a pending file may be left that a sweep removes.
	leftPending *atomic.Bool
	s           Submitter // who is told of deliveries, and what is done
	o           Options   // of that pass

	kept  map[string]filesync.Interrupted // by path
	asked map[question]bool
}

func (v *recovery) run(ctx context.Context) error {
	v.s.Doing("looking after the last pass")
	if err := v.recoverIntents(ctx); err != nil {
		return err
	}
	if v.o.AfterCopy.Any() {
		if err := v.recoverRemovals(ctx); err != nil {
			return err
		}
	}
	if !v.o.Sweep {
		return nil
	}
	return v.sweep(ctx)
}

// sweep removes pending files, but for those of interrupted copies and of intents that
// stay.
func (v *recovery) sweep(ctx context.Context) error {
	kept, err := v.ledger.Checkpoints(ctx)
	if err != nil {
		return err
	}
	intents, err := v.ledger.Intents(ctx)
	if err != nil {
		return err
	}
	keep := make(map[string]bool, len(kept))
	for _, k := range kept {
		if k.GoesOn(v.o.InPlace) {
			keep[k.Checkpoint.ID] = true
		}
	}
	for _, batch := range intents {
		for _, d := range batch {
			keep[d.PendingID] = true
		}
	}
	within := sweepWithin
	if v.o.Mode == filesync.Request {
		within = quickSweep
	}
	sweep, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err = v.dst.Sweep(sweep, func(id string) bool { return keep[id] })
	switch {
	case err == nil:
		return v.ledger.Swept(ctx)
	case sweep.Err() != nil && ctx.Err() == nil:
		v.o.Log.Warn("pending files not looked for everywhere", "after", within)
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
// of them is in the other ones. Each of them is an intent of its own, of which there
// may be thousands: they are looked at together.
func (v *recovery) recoverIntents(ctx context.Context) (err error) {
	v.notDurable.clear()
	intents, err := v.ledger.Intents(ctx)
	if err != nil {
		return err
	}
	if v.kept, err = v.ledger.Checkpoints(ctx); err != nil {
		return err
	}
	maps.DeleteFunc(v.kept, func(_ string, k filesync.Interrupted) bool { return !k.GoesOn(v.o.InPlace) })
	v.asked = map[question]bool{}
	var inPlace []int64
	for _, id := range slices.Sorted(maps.Keys(intents)) {
		if batch := intents[id]; len(batch) > 0 && isInPlace(batch[0]) {
			inPlace = append(inPlace, id)
			continue
		}
		if err := v.recoverTogether(ctx, []int64{id}, intents); err != nil {
			return err
		}
	}
	for len(inPlace) > 0 {
		n := differentNames(inPlace, intents)
		if err := v.recoverTogether(ctx, inPlace[:n], intents); err != nil {
			return err
		}
		inPlace = inPlace[n:]
	}
	return nil
}

// differentNames is how many of the first intents can be looked at together: what becomes
// of one changes what is found of another one of its name.
func differentNames(ids []int64, intents map[int64][]filesync.Delivery) int {
	seen := map[string]bool{}
	for i, id := range ids {
		for _, d := range intents[id] {
			name := cmp.Or(d.Key, d.Target.Name)
			if seen[name] || len(seen) == chunkSize {
				return i
			}
			seen[name] = true
		}
	}
	return len(ids)
}

// question is what is not known of a delivery. Of several intents that ask the same, one
// is kept.
type question struct {
	name       string
	pending    string // the id of a hidden file
	begun      bool
	size       int64
	replaces   bool
	replaced   int64 // the size of that
	replacedAt int64 // its time, in Unix seconds
}

func questionOf(d filesync.Delivery) question {
	q := question{name: d.Target.Name, begun: d.Opened, size: d.Target.Size}
	if d.InPlace != nil && !*d.InPlace {
		q.pending = d.PendingID
	}
	if d.Replaces != nil {
		q.replaces, q.replaced, q.replacedAt = true, d.Replaces.Size, d.Replaces.ModTime.Unix()
	}
	return q
}

// interruptedFile is a file of an intent, with what the ledger and the destination have
// of it.
type interruptedFile struct {
	filesync.Delivery
	intent   int64
	rec      filesync.Record
	owner    filesync.Record // of the name
	standing filesync.StatResult
}

// look looks at the files of intents, with as many questions as for one.
func (v *recovery) look(ctx context.Context, ids []int64, intents map[int64][]filesync.Delivery) ([]interruptedFile, error) {
	var files []interruptedFile
	var names, paths, keys []string
	for _, id := range ids {
		for _, d := range intents[id] {
			files = append(files, interruptedFile{Delivery: d, intent: id})
			names, paths, keys = append(names, d.Target.Name), append(paths, d.Source.Name), append(keys, d.Key)
		}
	}
	recs, err := v.ledger.Find(ctx, paths)
	if err != nil {
		return nil, err
	}
	owners, err := v.ledger.Owners(ctx, keys)
	if err != nil {
		return nil, err
	}
	standing, err := v.dst.Stat(ctx, names)
	if err != nil {
		return nil, err
	}
	for i := range files {
		files[i].rec, files[i].owner, files[i].standing = recs[i], owners[i], standing[i]
	}
	return files, nil
}

// found is what became of the files of intents.
type found struct {
	published []publishedFile     // they stand, and are to be made durable
	durable   []filesync.Delivery // to be recorded
	broken    []*interruptedFile  // they have not got their names
	// open are those of which nothing is known yet, by their intents.
	open map[int64][]filesync.Delivery
}

// publishedFile is one that has its name.
type publishedFile struct {
	filesync.Delivery
	intent int64
	sure   bool // it had it, whoever has the file now
}

// recoverTogether commits the files of intents that have their names, and drops
// the others: a pending file that is still there was not renamed. What cannot be found
// out now, and no other intent asks, stays journaled.
func (v *recovery) recoverTogether(ctx context.Context, ids []int64, intents map[int64][]filesync.Delivery) error {
	files, err := v.look(ctx, ids, intents)
	if err != nil {
		return err
	}
	all := found{open: map[int64][]filesync.Delivery{}}
	for i := range files {
		if err := v.recoverFile(ctx, &files[i], &all); err != nil {
			return err
		}
	}
	if err := v.forgetLost(ctx, &all); err != nil {
		return err
	}
	if err := v.persist(ctx, &all); err != nil {
		return err
	}
	return v.end(ctx, ids, intents, all)
}

// forgetLost forgets the copies that broken files have destroyed. Files of which that
// cannot be seen now stay open.
func (v *recovery) forgetLost(ctx context.Context, all *found) error {
	broken := make([]filesync.Delivery, len(all.broken))
	for i, f := range all.broken {
		broken[i] = f.Delivery
	}
	unseen, err := v.lost.forget(ctx, broken)
	for _, d := range unseen {
		for _, f := range all.broken {
			if f.Target.Name == d.Target.Name && f.PendingID == d.PendingID {
				v.keepOpen(f, all)
			}
		}
	}
	return err
}

// keepOpen keeps a file journaled, unless another intent asks the same.
func (v *recovery) keepOpen(f *interruptedFile, all *found) {
	if q := questionOf(f.Delivery); !v.asked[q] {
		v.asked[q] = true
		all.open[f.intent] = append(all.open[f.intent], f.Delivery)
	}
}

// recoverFile finds out what became of a file.
func (v *recovery) recoverFile(ctx context.Context, f *interruptedFile, all *found) error {
	d := f.Delivery
	if v.o.InPlace && goesOn(d, v.kept[d.Source.Name], f.rec, f.owner, f.standing) {
		all.broken = append(all.broken, f)
		return nil
	}
	became, err := v.outcomeOf(ctx, f)
	if err != nil {
		return err
	}
	switch became {
	case outcomeUnknown:
		if time.Since(d.At) > maxIntentAge && isMissing(f.standing) {
			all.broken = append(all.broken, f)
		} else {
			v.keepOpen(f, all)
		}
	case outcomeNotPublished:
		all.broken = append(all.broken, f)
	case outcomePublished, outcomeProven:
		sure := became == outcomeProven
		if agrees := f.standing.Err == nil && f.standing.Entry.Agrees(d.Target); sure && !agrees { // its reader has it, or has written to it
			all.durable = append(all.durable, d)
			return nil
		}
		if !confirmedBy(d, f.standing.Entry) {
			d.After = filesync.AfterUnverified
		}
		all.published = append(all.published, publishedFile{d, f.intent, sure})
	}
	return nil
}

// maxIntentAge is for how long it is asked again what became of a file under whose name
// nothing stands.
const maxIntentAge = 30 * 24 * time.Hour

// persist makes files durable that have their names. One that cannot be stays journaled.
func (v *recovery) persist(ctx context.Context, all *found) error {
	names := make([]string, len(all.published))
	for i, d := range all.published {
		names[i] = d.Target.Name
	}
	for i, err := range v.dst.Persist(ctx, names) {
		d := all.published[i]
		switch {
		case filesync.IsUnavailable(err):
			return err
		case err == nil, errors.Is(err, fs.ErrNotExist) && d.sure:
			all.durable = append(all.durable, d.Delivery)
		case !errors.Is(err, fs.ErrNotExist) && !isInPlace(d.Delivery):
			// Without an intent the next version of the file would find a copy that
			// nobody knows of.
			v.o.Log.Warn("a delivered file cannot be made durable", "file", d.Source.Name, "error", err)
			v.notDurable.add(d.Source, err)
			all.open[d.intent] = append(all.open[d.intent], d.Delivery)
		}
	}
	return nil
}

// end records what was delivered, and ends the intents, but for what is open.
func (v *recovery) end(ctx context.Context, ids []int64, intents map[int64][]filesync.Delivery, all found) error {
	var ended []int64
	for _, id := range ids {
		open := all.open[id]
		switch len(open) {
		case 0:
			ended = append(ended, id)
			continue
		case len(intents[id]):
			continue // the intent stays as it is
		}
		if _, err := v.ledger.Intend(ctx, open); err != nil {
			return err
		}
		ended = append(ended, id)
	}
	if len(ended) == 0 {
		return nil
	}
	if _, err := v.ledger.Commit(ctx, ended, all.durable); err != nil {
		return err
	}
	for _, d := range all.durable {
		v.s.Recovered(d)
	}
	return nil
}
