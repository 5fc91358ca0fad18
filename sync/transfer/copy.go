package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	filesync "sftpconnector/sync"
)

// How an interrupted copy is kept. Below keepFrom it is cheaper to read the
// file again; checkpointStep bounds what a kill costs of a large one, and how
// much the last fsync has to write.
const (
	keepFrom       = 8 << 20
	checkpointStep = 256 << 20
	graceTime      = 5 * time.Second // for what is done after a pass was cancelled
	maxBegins      = 5               // of one copy that has to begin anew
)

// finished is a file that is copied or adopted, or about to be, and waits to be committed.
type finished struct {
	*job
	client     *Client          // whose delivery it is
	pending    filesync.Pending // nil of a file that is adopted
	delivery   filesync.Delivery
	started    time.Time
	intent     int64        // the intent of a file that is written in place; 0: none
	room       *reservation // nil of one that takes no room
	overlapped bool         // another file was written meanwhile
}

// copier copies files into pending ones, many at a time. It knows nothing of jobs and of
// who waits for them.
type copier struct {
	ctx     context.Context // of all copies
	src     *ReopeningSource
	dst     filesync.Destination
	ledger  Checkpoints
	journal *inPlaceJournal
	limiter *rate.Limiter // nil: no limit
	room    *room
	// leftPending is set where a pending file could not be removed.
	leftPending *atomic.Bool

	asking             singleflight.Group // for the room of a directory
	writing, everBegun atomic.Int64       // files that are being written; that ever were
}

// copy copies a file into a pending one, to its end, if there is room for it.
func (k *copier) copy(ctx context.Context, f *finished) error {
	c, e := f.client, f.file.Entry
	c.s.Doing("copying " + e.Name)
	f.delivery = filesync.Delivery{Source: e, Target: e, Key: f.file.Key, Pass: c.o.Pass, After: c.disposer.owes(false)}
	f.delivery.Target.Name = f.file.Name
	if e.ModTime.IsZero() {
		f.delivery.Target.ModTime = f.started.Truncate(time.Second)
	}
	leave := k.enterWriting()
	err := k.write(ctx, f)
	for begins := 1; errors.Is(err, filesync.ErrBeginAnew) && begins < maxBegins && ctx.Err() == nil; begins++ {
		c.o.Log.Info("copy begins anew", "file", e.Name, "reason", err)
		err = k.write(ctx, f)
	}
	f.overlapped = leave()
	return err
}

// enterWriting notes that a file is about to be written. What it gives is called when
// that has ended, and reports whether another one was written meanwhile.
func (k *copier) enterWriting() (leave func() (overlapped bool)) {
	overlapped, nth := k.writing.Add(1) > 1, k.everBegun.Add(1)
	return func() bool {
		k.writing.Add(-1)
		return overlapped || k.everBegun.Load() != nth
	}
}

// write writes a file into a pending one. What failed is given up.
func (k *copier) write(ctx context.Context, f *finished) (err error) {
	if linked, err := k.link(ctx, f); linked || err != nil {
		return err
	}
	f.room, err = k.reserve(ctx, f)
	if err != nil {
		return err
	}
	defer func() { k.room.end(f.room, err) }()
	w, err := k.begin(ctx, f)
	if err != nil {
		return err
	}
	stop := k.watchRoom(ctx, f.room, w)
	confirmed, err := k.fill(ctx, f, w)
	stop()
	var will filesync.Entry // stand
	if err == nil {
		will, err = f.pending.Finish(ctx)
	}
	if err != nil {
		k.giveUp(ctx, f, w, err)
		return err
	}
	f.delivery.Target = will
	if !confirmed {
		f.delivery.After = filesync.AfterUnverified
	}
	return nil
}

// begin opens the pending file: that of an interrupted copy of the same
// version if there is one.
func (k *copier) begin(ctx context.Context, f *finished) (*extents, error) {
	err := k.journal.intend(f)
	if err != nil {
		return nil, err
	}
	if last := f.file.Checkpoint; last != nil {
		f.pending, err = k.dst.Begin(ctx, f.delivery.Target, last)
		if err == nil {
			f.client.o.Log.Info("copy goes on", "file", f.file.Entry.Name, "from", last.Prefix)
			f.delivery.PendingID = f.pending.ID()
			return newExtents(f, last.Prefix), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if d, ok := k.dst.(filesync.Replacer); ok && f.file.Replaces != nil {
		f.pending, err = d.BeginReplacing(ctx, f.delivery.Target, *f.file.Replaces)
	} else {
		f.pending, err = k.dst.Begin(ctx, f.delivery.Target, nil)
	}
	if err != nil {
		if !filesync.IsUnavailable(err) && ctx.Err() == nil && !k.maybeCreated(ctx, f) {
			k.journal.drop(f)
		}
		return nil, err
	}
	f.delivery.PendingID = f.pending.ID()
	if err = k.journal.markOpened(f); err != nil {
		k.giveUp(ctx, f, newExtents(f, 0), err)
		return nil, err
	}
	return newExtents(f, 0), nil
}

// maybeCreated reports whether a file that could not be begun was created, by what stands
// under its name: a server may answer that it failed to do what it did. An empty file
// that was not there before, or had something in it, is left to the next pass, which
// finds out by the intent: it is ours if it is empty still. Another program may
// be about to write to it now.
func (k *copier) maybeCreated(ctx context.Context, f *finished) bool {
	if f.intent == 0 || f.file.Replaces != nil && f.file.Replaces.Size == 0 {
		return false
	}
	stats, err := k.dst.Stat(ctx, []string{f.file.Name})
	if err != nil || errors.Is(stats[0].Err, filesync.ErrUnseen) {
		return true
	}
	return stats[0].Err == nil && stats[0].Entry.Mode.IsRegular() && stats[0].Entry.Size == 0
}

// fill reads the file until every byte of it is written, over more than one
// connection if need be, and verifies that it is still the listed version. It is not
// confirmed where the source does not tell, which is no failure.
func (k *copier) fill(ctx context.Context, f *finished, w *extents) (confirmed bool, err error) {
	var to io.WriterAt = w
	if limiter := k.limiter; limiter != nil {
		to = &limited{WriterAt: w, ctx: ctx, limiter: limiter}
	}
	stop := w.checkpoints(ctx)
	defer stop()
	e := f.file.Entry
	pieces := w.restart() > 0 // that were read through more than one handle
	for {
		got, err := k.src.Fetch(ctx, e, w.restart(), to)
		switch {
		case errors.Is(err, ErrReopened):
			pieces = pieces || w.restart() > 0
			continue
		case errors.Is(err, filesync.ErrChanged):
			return false, k.explain(ctx, f, err)
		case err != nil:
			return false, err
		case got != (filesync.Entry{}) && !got.SameVersion(e):
			return false, fmt.Errorf("%w: it was %s, and is %s", filesync.ErrChanged, describe(e), describe(got))
		case w.whole() != e.Size:
			return false, fmt.Errorf("only %d of %d bytes arrived", w.whole(), e.Size)
		case got == (filesync.Entry{}) && pieces:
			return false, fmt.Errorf("%w: it was read in pieces, and the server does not tell whether they are of one version", filesync.ErrBeginAnew)
		}
		k.src.arrived()
		return got != (filesync.Entry{}), nil
	}
}

// describe tells the size and time of an entry.
func describe(e filesync.Entry) string {
	if e.ModTime.IsZero() {
		return fmt.Sprintf("%d bytes", e.Size)
	}
	return fmt.Sprintf("%d bytes of %s", e.Size, e.ModTime.UTC().Format(time.RFC3339))
}

// explain tells a file that became shorter from a server that ends one early:
// the first waits, the second is a failure. A source that tells
// versions apart says that it is another one, whatever its size and time.
func (k *copier) explain(ctx context.Context, f *finished, err error) error {
	if f.file.Entry.Version != "" {
		return err
	}
	stats, serr := k.src.Relist(ctx, []filesync.Entry{f.file.Entry})
	if serr == nil && stats[0].Err == nil && stats[0].Entry.SameVersion(f.file.Entry) {
		return fmt.Errorf("the server still says that it has %d bytes (%v)", f.file.Entry.Size, err) //nolint:errorlint // it is no change any more
	}
	return err
}

// interrupted reports whether a copy ended as it was cancelled.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled)
}

// giveUp removes the pending file, or keeps it for a later copy if it is not
// the file that is at fault and much of it is there.
func (k *copier) giveUp(ctx context.Context, f *finished, w *extents, err error) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	name, log := f.file.Entry.Name, f.client.o.Log
	saved := w.checkpointed()
	// Under its own name, a part is not for its receiver to see.
	visible := f.client.o.InPlace && !errors.Is(err, filesync.ErrDisconnected)
	if prefix := w.whole(); prefix >= keepFrom && !visible && !errors.Is(err, filesync.ErrFull) && !errors.Is(err, filesync.ErrBeginAnew) && (interrupted(ctx, err) || filesync.IsUnavailable(err)) {
		c, cerr := f.pending.Checkpoint(late, prefix)
		if cerr == nil {
			cerr = k.ledger.SaveCheckpoint(late, filesync.Interrupted{Source: f.file.Entry, Checkpoint: c, InPlace: &f.client.o.InPlace})
		}
		saved = saved || cerr == nil
		if cerr == nil && f.pending.Keep() == nil {
			k.journal.dropBroken(f)
			return
		}
	}
	w.discard()
	if !k.remove(late, f) {
		return
	}
	k.journal.dropBroken(f)
	if saved {
		if derr := k.ledger.DropCheckpoint(late, name, f.pending.ID()); derr != nil {
			log.Warn("checkpoint not dropped", "file", name, "error", derr)
		}
	}
}

// remove removes a pending file that is ours, and reports whether it is gone.
func (k *copier) remove(ctx context.Context, f *finished) bool {
	if f.pending == nil {
		return false
	}
	err := f.pending.Abort(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.leftPending.Store(true)
		f.client.o.Log.Warn("pending file not removed", "file", f.file.Entry.Name, "error", err)
		return false
	}
	return true
}

// abort removes a pending file, and ends its intent.
func (k *copier) abort(ctx context.Context, f *finished) {
	if k.remove(ctx, f) {
		k.journal.dropBroken(f)
	}
}
