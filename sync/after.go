package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// recoverLast finishes what a killed pass left: batches that were about to get
// their names, removals of which nobody knows whether they were done, and
// pending files.
func (p *Pass) recoverLast(ctx context.Context) error {
	p.at("looking after the last pass")
	intents, err := p.ledger.Intents(ctx)
	if err != nil {
		return err
	}
	for id, batch := range intents {
		if err := p.recoverIntent(ctx, id, batch); err != nil {
			return err
		}
	}
	if p.o.AfterCopy.any() {
		if err := p.recoverRemovals(ctx); err != nil {
			return err
		}
	}
	if p.resumes.kept, err = p.ledger.Checkpoints(ctx); err != nil {
		return err
	}
	if !p.o.Sweep {
		return nil
	}
	keep := make(map[string]bool, len(p.resumes.kept))
	for _, k := range p.resumes.kept {
		keep[k.Checkpoint.ID] = true
	}
	return p.dst.Sweep(ctx, func(id string) bool { return keep[id] })
}

// recoverIntent commits the files of a batch that have their names, and drops
// the others: a pending file that is still there was not renamed.
func (p *Pass) recoverIntent(ctx context.Context, id int64, batch []Delivery) error {
	names := make([]string, len(batch))
	for i, d := range batch {
		names[i] = d.Target.Name
	}
	standing, err := p.dst.Stat(ctx, names)
	if err != nil {
		return err
	}
	var published []Delivery
	var stand []string
	for i, d := range batch {
		pending, err := p.dst.Begin(ctx, d.Target, &Checkpoint{ID: d.PendingID})
		switch {
		case err == nil:
			if err := pending.Abort(ctx); err != nil {
				return err
			}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case standing[i].Err == nil && standing[i].Entry.SameVersion(d.Target):
			published = append(published, d)
			stand = append(stand, d.Target.Name)
		}
	}
	for _, err := range p.dst.Persist(ctx, stand) {
		if err != nil {
			return err
		}
	}
	_, err = p.ledger.Commit(ctx, id, published)
	return err
}

// recoverRemovals closes the rows of originals whose removal was under way:
// one that is gone needs no more, and one that is there may be a new file of
// the same size and time, so that it is copied again before it is removed.
func (p *Pass) recoverRemovals(ctx context.Context) error {
	var from int64
	for {
		recs, err := p.ledger.Outstanding(ctx, from, chunkSize)
		if err != nil || len(recs) == 0 {
			return err
		}
		from = recs[len(recs)-1].ID
		var trying []int64
		for _, r := range recs {
			if r.After == AfterTrying {
				trying = append(trying, r.ID)
			}
		}
		if err := p.ledger.SetAfter(ctx, trying, AfterDone); err != nil {
			return err
		}
	}
}

// owe notes that files which were delivered earlier owe their after_copy now.
func (p *Pass) owe(ctx context.Context, recs []Record) error {
	if len(recs) == 0 || p.o.Mode == Survey {
		return nil
	}
	var written, adopted []int64
	for i, r := range recs {
		recs[i].After = p.owes(r.Delivery.Adopted)
		if r.Delivery.Adopted {
			adopted = append(adopted, r.ID)
		} else {
			written = append(written, r.ID)
		}
	}
	if err := p.ledger.SetAfter(ctx, written, AfterOwed); err != nil {
		return err
	}
	if err := p.ledger.SetAfter(ctx, adopted, AfterCompare); err != nil {
		return err
	}
	return p.sendAfter(ctx, recs)
}

func (p *Pass) sendAfter(ctx context.Context, owed []Record) error {
	if len(owed) == 0 {
		return nil
	}
	select {
	case p.after <- owed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// afterAll removes or moves the originals of each committed batch. When the
// pass is cancelled the rest stays owed.
func (p *Pass) afterAll(ctx, late context.Context) error {
	var err error
	for recs := range p.after {
		if err == nil && ctx.Err() == nil {
			err = p.afterBatch(ctx, late, recs)
		}
	}
	if err != nil {
		p.abort(err)
	}
	return err
}

// afterEarlier tries again what earlier passes owe. When none of a batch goes,
// the server does not let us, and the rest is left for the next pass.
func (p *Pass) afterEarlier(ctx context.Context) error {
	if !p.o.AfterCopy.any() {
		return nil
	}
	var from int64
	for ctx.Err() == nil {
		recs, err := p.ledger.Outstanding(ctx, from, chunkSize)
		if err != nil || len(recs) == 0 {
			return err
		}
		from = recs[len(recs)-1].ID
		failed := p.failed.Load()
		if err := p.afterBatch(ctx, context.WithoutCancel(ctx), recs); err != nil {
			return err
		}
		if p.failed.Load()-failed == int64(len(recs)) {
			return nil
		}
	}
	return context.Cause(ctx)
}

// afterBatch journals that the removals are under way, does them, and closes
// the rows of those that are surely done.
func (p *Pass) afterBatch(ctx, late context.Context, recs []Record) error {
	var try []Record
	for _, r := range recs {
		switch r.After {
		case AfterOwed:
			try = append(try, r)
		case AfterCompare:
			ok, err := p.compareOriginal(ctx, late, r)
			if err != nil {
				return err
			}
			if ok {
				try = append(try, r)
			}
		}
	}
	if len(try) == 0 {
		return nil
	}
	ids := make([]int64, len(try))
	for i, r := range try {
		ids[i] = r.ID
	}
	if err := p.ledger.SetAfter(late, ids, AfterTrying); err != nil {
		return err
	}
	results := make([]After, len(try))
	var g errgroup.Group
	g.SetLimit(removers)
	for i, r := range try {
		g.Go(func() error {
			results[i] = p.dispose(ctx, r.Delivery.Source)
			return nil
		})
	}
	g.Wait()
	byResult := map[After][]int64{}
	for i, r := range try {
		byResult[results[i]] = append(byResult[results[i]], r.ID)
	}
	delete(byResult, AfterTrying)
	for after, ids := range byResult {
		if err := p.ledger.SetAfter(late, ids, after); err != nil {
			return err
		}
	}
	return nil
}

// dispose removes or moves one original and says what is known afterwards.
func (p *Pass) dispose(ctx context.Context, e Entry) After {
	p.at("after the copy of " + e.Name)
	if ctx.Err() != nil {
		return AfterOwed
	}
	var err error
	if p.o.AfterCopy.Remove {
		err = p.src.RemoveIf(ctx, e)
	} else {
		err = p.src.MoveIf(ctx, e, p.o.AfterCopy.MoveTo)
	}
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return AfterDone
	case errors.Is(err, ErrChanged):
		return AfterNone // another version is there; it is listed and copied by itself
	case lost(err) || ctx.Err() != nil:
		return AfterTrying
	}
	err = fmt.Errorf("after_copy: %w", err)
	p.failed.Add(1)
	p.list(e.Name, err.Error(), "The copy is safe; let this user remove or move files in the source directory, or set files.after_copy: leave.")
	p.o.Log.Warn("original not removed", "file", e.Name, "error", err)
	return AfterOwed
}

// compareOriginal compares an adopted file with its original, byte for byte,
// before that may go.
func (p *Pass) compareOriginal(ctx, late context.Context, r Record) (bool, error) {
	d := r.Delivery
	p.at("comparing " + d.Source.Name)
	standing, err := p.dst.Open(ctx, d.Target.Name)
	if err == nil {
		defer standing.Close()
		for same, fetched := (&comparing{with: standing, count: &p.compared}), false; !fetched; {
			_, err = p.src.Fetch(ctx, d.Source, 0, same)
			fetched = !errors.Is(err, errReopened)
		}
	}
	if err == nil {
		err = p.dst.Persist(ctx, []string{d.Target.Name})[0]
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errDiffers):
		p.conflict.Add(1)
		p.list(d.Source.Name, err.Error(), "The file was at the destination before us; its original is left. Compare the two by hand.")
		return false, p.ledger.SetAfter(late, []int64{r.ID}, AfterRefused)
	case ctx.Err() != nil || unavailable(err):
		return false, nil // stays owed
	}
	p.o.Log.Warn("original not compared", "file", d.Source.Name, "error", err)
	return false, nil
}

// errDiffers: the contents are not the same.
var errDiffers = errors.New("the file at the destination has the same name, size and time, but other contents")

// comparing is a WriterAt that compares what is written with a file.
type comparing struct {
	with  File
	count *atomic.Int64
}

func (c *comparing) WriteAt(b []byte, off int64) (int, error) {
	have := make([]byte, len(b))
	if _, err := c.with.ReadAt(have, off); err != nil {
		return 0, fmt.Errorf("%w (%v)", errDiffers, err)
	}
	if !bytes.Equal(have, b) {
		return 0, errDiffers
	}
	c.count.Add(int64(len(b)))
	return len(b), nil
}
