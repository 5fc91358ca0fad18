package pass

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// owe notes that files which were delivered earlier owe their after_copy now.
func (p *Pass) owe(ctx context.Context, recs []filesync.Record) error {
	if len(recs) == 0 || p.o.Mode == filesync.Survey {
		return nil
	}
	// Another pass may have come by the same rows.
	byAfter := map[filesync.After]map[int64]filesync.After{filesync.AfterOwed: {}, filesync.AfterCompare: {}, filesync.AfterNone: {}}
	for i, r := range recs {
		if r.After == filesync.AfterNone {
			recs[i].After = p.owes(r.Delivery.Adopted)
			byAfter[recs[i].After][r.ID] = filesync.AfterNone
		}
	}
	for after, read := range byAfter {
		mine, err := p.ledger.SetAfterIf(ctx, read, after)
		if err != nil {
			return err
		}
		recs = slices.DeleteFunc(recs, func(r filesync.Record) bool {
			_, asked := read[r.ID]
			return asked && !slices.Contains(mine, r.ID)
		})
	}
	return p.sendAfter(ctx, recs)
}

func (p *Pass) sendAfter(ctx context.Context, owed []filesync.Record) error {
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
	if !p.o.AfterCopy.Any() {
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
func (p *Pass) afterBatch(ctx, late context.Context, recs []filesync.Record) error {
	var try []filesync.Record
	for _, r := range recs {
		switch r.After {
		case filesync.AfterOwed:
			try = append(try, r)
		case filesync.AfterCompare:
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
	// Another pass may have come by the same rows.
	read := make(map[int64]filesync.After, len(try))
	for _, r := range try {
		read[r.ID] = r.After
	}
	mine, err := p.ledger.SetAfterIf(late, read, filesync.AfterTrying)
	if err != nil {
		return err
	}
	try = slices.DeleteFunc(try, func(r filesync.Record) bool { return !slices.Contains(mine, r.ID) })
	results := make([]filesync.After, len(try))
	var g errgroup.Group
	g.SetLimit(removers)
	for i, r := range try {
		g.Go(func() error {
			results[i] = p.dispose(ctx, r.Delivery.Source)
			return nil
		})
	}
	g.Wait()
	byResult := map[filesync.After][]int64{}
	for i, r := range try {
		byResult[results[i]] = append(byResult[results[i]], r.ID)
	}
	delete(byResult, filesync.AfterTrying)
	return p.setAfter(late, byResult)
}

func (p *Pass) setAfter(ctx context.Context, by map[filesync.After][]int64) error {
	for after, ids := range by {
		if err := p.ledger.SetAfter(ctx, ids, after); err != nil {
			return err
		}
	}
	return nil
}

// dispose removes or moves one original and says what is known afterwards.
func (p *Pass) dispose(ctx context.Context, e filesync.Entry) filesync.After {
	p.at("after the copy of " + e.Name)
	if ctx.Err() != nil {
		return filesync.AfterOwed
	}
	var err error
	if p.o.AfterCopy.Remove {
		err = p.src.RemoveIf(ctx, e)
	} else {
		err = p.src.MoveIf(ctx, e, p.o.AfterCopy.MoveTo)
	}
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return filesync.AfterDone
	case errors.Is(err, filesync.ErrChanged) && (p.o.Fresh || p.looksLike(ctx, e)):
		return filesync.AfterDone // what is there is a new file, whatever its size and time
	case errors.Is(err, filesync.ErrChanged):
		return filesync.AfterNone // another version is there; it is listed and copied by itself
	case errors.Is(err, filesync.ErrLink):
		return filesync.AfterRefused
	case filesync.IsUntouched(err) && (unavailable(err) || ctx.Err() != nil):
		return filesync.AfterOwed
	case unavailable(err) || ctx.Err() != nil:
		return filesync.AfterTrying
	}
	err = fmt.Errorf("after_copy: %w", err)
	p.failed.Add(1)
	p.list(e.Name, err.Error(), "The copy is safe; let this user remove or move files in the source directory, or set files.after_copy: leave.")
	p.o.Log.Warn("original not removed", "file", e.Name, "error", err)
	return filesync.AfterOwed
}

// looksLike reports whether the ledger may take what stands at the source for e,
// though it is another file: some sources know more than the second of a time.
func (p *Pass) looksLike(ctx context.Context, e filesync.Entry) bool {
	looks, err := p.src.Relist(ctx, []filesync.Entry{e})
	return err != nil || looks[0].Err != nil || looks[0].Entry.SameVersion(e)
}

// compareOriginal compares a file with its original, byte for byte, before
// that may go: one that we adopted, or one whose removal was under way when
// the program was killed.
func (p *Pass) compareOriginal(ctx, late context.Context, r filesync.Record) (same bool, err error) {
	d := r.Delivery
	p.at("comparing " + d.Source.Name)
	err = p.sameContents(ctx, d)
	set := func(after filesync.After) (bool, error) { return false, p.ledger.SetAfter(late, []int64{r.ID}, after) }
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errGone):
		return set(filesync.AfterDone)
	case errors.Is(err, errDiffers) && !d.Adopted:
		return set(filesync.AfterDone) // a new file of the same size and time: to be copied
	case errors.Is(err, errDiffers):
		p.present.Add(-1)
		p.conflict.Add(1)
		p.list(d.Source.Name, err.Error(), plan.HintCompare)
		if err := p.record(late, filesync.Failure{Source: d.Source, Conflict: true, Error: err.Error(), At: time.Now()}); err != nil {
			return false, err
		}
		return set(filesync.AfterRefused)
	case ctx.Err() != nil || unavailable(err):
		return false, nil // stays owed
	}
	err = fmt.Errorf("after_copy: compare: %w", err)
	p.failed.Add(1)
	p.list(d.Source.Name, err.Error(), hint(err))
	p.o.Log.Warn("original not compared", "file", d.Source.Name, "error", err)
	return false, nil
}

// sameContents answers nil if the copy has the original's contents, durably;
// errGone if there is no original, errDiffers if they differ.
func (p *Pass) sameContents(ctx context.Context, d filesync.Delivery) error {
	standing, err := p.dst.Open(ctx, d.Target.Name)
	if err != nil {
		return err
	}
	defer standing.Close()
	for {
		_, err = p.src.Fetch(ctx, d.Source, 0, &comparing{with: standing, count: &p.compared})
		if !errors.Is(err, errReopened) {
			break
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errGone
	case errors.Is(err, filesync.ErrChanged):
		return errGone // the version that was delivered is
	case err != nil:
		return err
	}
	return p.dst.Persist(ctx, []string{d.Target.Name})[0]
}

// errGone: the original of a delivered file is not there any more.
var errGone = errors.New("the original is gone")

// errDiffers: the contents are not the same.
var errDiffers = errors.New("the file at the destination has the same name, size and time, but other contents")

// comparing is a WriterAt that compares what is written with a file.
type comparing struct {
	with  filesync.File
	count *atomic.Int64
}

func (c *comparing) WriteAt(b []byte, off int64) (int, error) {
	have := make([]byte, len(b))
	switch _, err := c.with.ReadAt(have, off); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return 0, errDiffers
	case err != nil:
		return 0, fmt.Errorf("read the copy: %w", err)
	}
	if !bytes.Equal(have, b) {
		return 0, errDiffers
	}
	c.count.Add(int64(len(b)))
	return len(b), nil
}
