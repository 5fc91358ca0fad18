package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	filesync "sftpconnector/sync"
)

const (
	removers  = 16  // originals that are removed or moved at a time
	chunkSize = 512 // rows that are asked for at a time
)

// originals are files of a pass whose originals are to be removed or moved.
type originals struct {
	c    *Client
	recs []filesync.Record
}

// disposer removes or moves the originals of one pass, or compares them first.
type disposer struct {
	src      *ReopeningSource
	dst      filesync.Destination
	ledger   Originals
	failures *failures
	s        Submitter
	o        Options
	pulse    *atomic.Int64 // changes as contents are compared
}

// owes is the after_copy that a delivery of this pass owes.
func (x *disposer) owes(adopted bool) filesync.After {
	switch {
	case !x.o.AfterCopy.Any():
		return filesync.AfterNone
	case adopted:
		return filesync.AfterCompare
	}
	return filesync.AfterOwed
}

// Owe notes that files which were delivered earlier owe their after_copy now, and has
// that done.
func (c *Client) Owe(ctx context.Context, recs []filesync.Record) error {
	if len(recs) == 0 {
		return nil
	}
	// Another pass may have come by the same rows.
	byAfter := map[filesync.After]map[int64]filesync.After{filesync.AfterOwed: {}, filesync.AfterCompare: {}}
	for i, rec := range recs {
		if rec.After == filesync.AfterNone {
			recs[i].After = c.disposer.owes(rec.Delivery.Adopted)
			byAfter[recs[i].After][rec.ID] = filesync.AfterNone
		}
	}
	for after, read := range byAfter {
		mine, err := c.r.ledger.SetAfterIf(ctx, read, after)
		if err != nil {
			return err
		}
		recs = slices.DeleteFunc(recs, func(rec filesync.Record) bool {
			_, asked := read[rec.ID]
			return asked && !slices.Contains(mine, rec.ID)
		})
	}
	return c.send(ctx, recs)
}

// send has originals removed or moved beside the copying.
func (c *Client) send(ctx context.Context, recs []filesync.Record) error {
	if len(recs) == 0 {
		return nil
	}
	c.r.mu.Lock()
	c.pending++
	c.r.mu.Unlock()
	select {
	case c.r.after <- originals{c, recs}:
		return nil
	case <-ctx.Done():
		c.r.mu.Lock()
		defer c.r.mu.Unlock()
		c.answered(1)
		return context.Cause(ctx)
	}
}

// afterAll removes or moves originals, batch by batch. Those of a pass that has ended
// stay owed.
func (r *run) afterAll(ctx context.Context) {
	for o := range r.after {
		r.mu.Lock()
		skip := o.c.left || r.err != nil
		r.mu.Unlock()
		if !skip {
			if _, err := o.c.disposer.dispose(o.c.ctx, ctx, o.recs); err != nil && o.c.ctx.Err() == nil {
				r.fail(err)
			}
		}
		r.mu.Lock()
		o.c.answered(1)
		r.mu.Unlock()
	}
}

// DisposeEarlier tries again what earlier passes owe. When none of a batch goes,
// the server does not let us, and the rest is left for the next pass.
func (c *Client) DisposeEarlier(ctx context.Context) error { return c.disposer.earlier(ctx) }

// earlier does what Client.DisposeEarlier says.
func (x *disposer) earlier(ctx context.Context) error {
	if !x.o.AfterCopy.Any() {
		return nil
	}
	var from int64
	for ctx.Err() == nil {
		recs, err := x.ledger.Outstanding(ctx, from, chunkSize)
		if err != nil || len(recs) == 0 {
			return err
		}
		from = recs[len(recs)-1].ID
		left, err := x.dispose(ctx, context.WithoutCancel(ctx), recs)
		if err != nil {
			return err
		}
		if left == len(recs) {
			return nil
		}
	}
	return context.Cause(ctx)
}

// dispose journals that originals are being removed or moved, does it, and closes the
// rows of those that surely are gone. It gives how many were left. late is for what has
// to be written down once ctx has ended.
func (x *disposer) dispose(ctx, late context.Context, recs []filesync.Record) (left int, err error) {
	var try []filesync.Record
	for _, rec := range recs {
		switch rec.After {
		case filesync.AfterOwed:
			try = append(try, rec)
		case filesync.AfterCompare:
			ok, reported, err := x.compareOriginal(ctx, late, rec)
			if err != nil {
				return left, err
			}
			if reported {
				left++
			}
			if ok {
				try = append(try, rec)
			}
		}
	}
	if len(try) == 0 {
		return left, nil
	}
	// Another pass may have come by the same rows.
	read := make(map[int64]filesync.After, len(try))
	for _, rec := range try {
		read[rec.ID] = rec.After
	}
	mine, err := x.ledger.SetAfterIf(late, read, filesync.AfterTrying)
	if err != nil {
		return left, err
	}
	try = slices.DeleteFunc(try, func(rec filesync.Record) bool { return !slices.Contains(mine, rec.ID) })
	results, reported := make([]filesync.After, len(try)), make([]bool, len(try))
	var g errgroup.Group
	g.SetLimit(removers)
	for i, rec := range try {
		g.Go(func() error {
			results[i], reported[i] = x.disposeOne(ctx, rec.Delivery.Source)
			x.pulse.Add(1)
			return nil
		})
	}
	g.Wait()
	byResult := map[filesync.After][]int64{}
	for i, rec := range try {
		byResult[results[i]] = append(byResult[results[i]], rec.ID)
		if reported[i] {
			left++
		}
	}
	delete(byResult, filesync.AfterTrying)
	return left, setAfter(late, x.ledger, byResult)
}

func setAfter(ctx context.Context, ledger Originals, by map[filesync.After][]int64) error {
	for after, ids := range by {
		if err := ledger.SetAfter(ctx, ids, after); err != nil {
			return err
		}
	}
	return nil
}

// disposeOne removes or moves one original and says what is known afterwards, and
// whether the pass was told that it is left.
func (x *disposer) disposeOne(ctx context.Context, e filesync.Entry) (after filesync.After, reported bool) {
	x.s.Doing("after the copy of " + e.Name)
	if ctx.Err() != nil {
		return filesync.AfterOwed, false
	}
	var err error
	if x.o.AfterCopy.Remove {
		err = x.src.RemoveIf(ctx, e)
	} else {
		err = x.src.MoveIf(ctx, e, x.o.AfterCopy.MoveTo)
	}
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return filesync.AfterDone, false
	case errors.Is(err, filesync.ErrChanged) && (e.Version != "" || x.looksLike(ctx, e)):
		return filesync.AfterDone, false // what is there is a new file, whatever its size and time
	case errors.Is(err, filesync.ErrChanged):
		return filesync.AfterNone, false // another version is there; it is listed and copied by itself
	case errors.Is(err, filesync.ErrLink):
		return filesync.AfterRefused, false
	case filesync.IsUntouched(err) && (filesync.IsUnavailable(err) || ctx.Err() != nil):
		return filesync.AfterOwed, false
	case filesync.IsUnavailable(err) || ctx.Err() != nil:
		return filesync.AfterTrying, false
	}
	err = fmt.Errorf("after_copy: %w", err)
	x.s.OriginalLeft(e, err, "The copy is safe; let this user remove or move files in the source directory, or set files.after_copy: leave.")
	x.o.Log.Warn("original not removed", "file", e.Name, "error", err)
	return filesync.AfterOwed, true
}

// looksLike reports whether the ledger may take what stands at the source for e,
// though it is another file: some sources know more than the second of a time.
func (x *disposer) looksLike(ctx context.Context, e filesync.Entry) bool {
	stats, err := x.src.Relist(ctx, []filesync.Entry{e})
	return err != nil || stats[0].Err != nil || stats[0].Entry.SameVersion(e)
}

// compareOriginal compares a file with its original, byte for byte, before
// that may go: one that we adopted, or one whose removal was under way when
// the program was killed. reported says that the pass was told that it is left.
func (x *disposer) compareOriginal(ctx, late context.Context, rec filesync.Record) (same, reported bool, err error) {
	d := rec.Delivery
	x.s.Doing("comparing " + d.Source.Name)
	err = x.sameContents(ctx, d)
	set := func(after filesync.After) (bool, bool, error) {
		return false, false, x.ledger.SetAfter(late, []int64{rec.ID}, after)
	}
	switch {
	case err == nil:
		return true, false, nil
	case errors.Is(err, errGone):
		return set(filesync.AfterDone)
	case errors.Is(err, errDiffers) && !d.Adopted:
		return set(filesync.AfterDone) // a new file of the same size and time: to be copied
	case errors.Is(err, errDiffers):
		result := x.failures.conflict(late, d.Source, err)
		x.s.OriginalDiffers(d.Source, err, result.Failure)
		return set(filesync.AfterRefused)
	case ctx.Err() != nil || filesync.IsUnavailable(err):
		return false, false, nil // stays owed
	}
	err = fmt.Errorf("after_copy: compare: %w", err)
	x.s.OriginalLeft(d.Source, err, "")
	x.o.Log.Warn("original not compared", "file", d.Source.Name, "error", err)
	return false, true, nil
}

// sameContents answers nil if the copy has the original's contents, durably;
// errGone if there is no original, errDiffers if they differ.
func (x *disposer) sameContents(ctx context.Context, d filesync.Delivery) error {
	standing, err := x.dst.Open(ctx, d.Target.Name)
	if err != nil {
		return err
	}
	defer standing.Close()
	for {
		_, err = x.src.Fetch(ctx, d.Source, 0, &comparing{with: standing, pulse: x.pulse})
		if !errors.Is(err, ErrReopened) {
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
	return x.dst.Persist(ctx, []string{d.Target.Name})[0]
}

// errGone: the original of a delivered file is not there any more.
var errGone = errors.New("the original is gone")

// errDiffers: the contents are not the same.
var errDiffers = errors.New("the file at the destination has the same name, size and time, but other contents")

// comparing is a WriterAt that compares what is written with a file.
type comparing struct {
	with  filesync.File
	pulse *atomic.Int64
}

// WriteAt implements io.WriterAt.
func (x *comparing) WriteAt(b []byte, off int64) (int, error) {
	have := make([]byte, len(b))
	switch _, err := x.with.ReadAt(have, off); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return 0, errDiffers
	case err != nil:
		return 0, fmt.Errorf("read the copy: %w", err)
	}
	if !bytes.Equal(have, b) {
		return 0, errDiffers
	}
	x.pulse.Add(1)
	return len(b), nil
}
