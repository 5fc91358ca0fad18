package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

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

// work is the copier of one job.
func (r *run) work(j *job) {
	r.mu.Lock()
	if len(j.clients) == 0 { // all have left meanwhile
		r.copied(j)
		r.settle(j)
		r.dispatch()
		r.mu.Unlock()
		return
	}
	c := j.clients[0]
	anew := j.anew || r.delivered-c.delivered != j.file.Decided
	r.mu.Unlock()
	moved, err := r.ownerChanged(j)
	if err != nil {
		r.answer(j, r.failed(j, c, err))
		return
	}
	if (anew || moved) && !j.alone && !r.decideAgain(j, c) {
		return
	}
	f := &finished{job: j, client: c, started: time.Now()}
	if j.file.Adopts != nil {
		f.delivery = adoption(c, j.file)
	} else {
		err = r.copy(j.ctx, f)
	}
	if err == nil {
		r.mu.Lock()
		j.whole = len(j.clients) > 0
		r.mu.Unlock()
		if !j.whole { // all have left, and others may have begun the file meanwhile
			r.abort(context.WithoutCancel(j.ctx), f)
			r.answer(j, Result{Entry: j.file.Entry})
			return
		}
		r.done <- f
		r.mu.Lock()
		r.copied(j)
		r.dispatch()
		r.mu.Unlock()
		return
	}
	if errors.Is(err, filesync.ErrFull) && f.intent == 0 && r.deferJob(j, f.overlapped, err) {
		return
	}
	if errors.Is(err, filesync.ErrFull) && !isRefusal(err) && f.room != nil {
		r.q.room.noteFull(f.room, c.o.RoomHold)
	}
	r.answer(j, r.failed(j, c, err))
}

// ownerChanged reports whether the name of a file that must not share it has come to
// another file since the decision: one of the same pass, perhaps.
func (r *run) ownerChanged(j *job) (bool, error) {
	if j.file.Key == "" {
		return false, nil
	}
	owners, err := r.ledger.Owners(j.ctx, []string{j.file.Key})
	if err != nil {
		return false, err
	}
	return owners[0].ID != j.file.Owner, nil
}

// adoption is the delivery of a file that stands at the destination already.
func adoption(c *Client, f File) filesync.Delivery {
	target := *f.Adopts
	target.Name = f.Name
	return filesync.Delivery{Source: f.Entry, Target: target, Key: f.Key, Adopted: true, After: c.owes(true)}
}

// decideAgain asks the pass again about a file, as others have delivered since it was
// decided. It reports whether the job goes on; else it is settled.
func (r *run) decideAgain(j *job, c *Client) bool {
	f, ok, err := c.s.DecideAgain(j.ctx, j.file.Entry)
	switch {
	case err != nil:
		r.answer(j, r.failed(j, c, err))
		return false
	case ok && f.key() == j.file.key():
		r.mu.Lock()
		j.file = f
		r.mu.Unlock()
		return true
	}
	// Those who have joined decide for themselves.
	r.mu.Lock()
	r.copied(j)
	clients := r.settle(j)
	r.mu.Unlock()
	for i, other := range clients {
		if i > 0 {
			f, ok, err = other.s.DecideAgain(r.ctx, j.file.Entry)
		}
		if err != nil {
			other.s.End(err)
		}
		r.mu.Lock()
		var answer *Result
		if err == nil && ok && !other.left {
			answer = r.place(other, f) // under another name, or another owner's turn
		} else {
			answer = &Result{Entry: j.file.Entry}
		}
		r.dispatch()
		r.mu.Unlock()
		if answer != nil {
			other.answer(*answer)
		}
	}
	return false
}

// copy copies a file into a pending one, to its end, if there is room for it.
func (r *run) copy(ctx context.Context, f *finished) error {
	c, e := f.client, f.file.Entry
	c.s.Doing("copying " + e.Name)
	f.delivery = filesync.Delivery{Source: e, Target: e, Key: f.file.Key, Pass: c.o.Pass, After: c.owes(false)}
	f.delivery.Target.Name = f.file.Name
	if e.ModTime.IsZero() {
		f.delivery.Target.ModTime = f.started.Truncate(time.Second)
	}
	leave := r.enterWriting()
	err := r.write(ctx, f)
	for begins := 1; errors.Is(err, filesync.ErrBeginAnew) && begins < maxBegins && ctx.Err() == nil; begins++ {
		c.o.Log.Info("copy begins anew", "file", e.Name, "reason", err)
		err = r.write(ctx, f)
	}
	f.overlapped = leave()
	return err
}

// write writes a file into a pending one. What failed is given up.
func (r *run) write(ctx context.Context, f *finished) (err error) {
	if linked, err := r.link(ctx, f); linked || err != nil {
		return err
	}
	f.room, err = r.reserve(ctx, f)
	if err != nil {
		return err
	}
	defer func() { r.q.room.end(f.room, err) }()
	w, err := r.begin(ctx, f)
	if err != nil {
		return err
	}
	stop := r.watchRoom(ctx, f.room, w)
	confirmed, err := r.fill(ctx, f, w)
	stop()
	var will filesync.Entry // stand
	if err == nil {
		will, err = f.pending.Finish(ctx)
	}
	if err != nil {
		r.giveUp(ctx, f, w, err)
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
func (r *run) begin(ctx context.Context, f *finished) (*extents, error) {
	err := r.intendInPlace(f)
	if err != nil {
		return nil, err
	}
	if last := f.file.Checkpoint; last != nil {
		f.pending, err = r.dst.Begin(ctx, f.delivery.Target, last)
		if err == nil {
			f.client.o.Log.Info("copy goes on", "file", f.file.Entry.Name, "from", last.Prefix)
			f.delivery.PendingID = f.pending.ID()
			return newExtents(f, last.Prefix), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if d, ok := r.dst.(filesync.Replacer); ok && f.file.Replaces != nil {
		f.pending, err = d.BeginReplacing(ctx, f.delivery.Target, *f.file.Replaces)
	} else {
		f.pending, err = r.dst.Begin(ctx, f.delivery.Target, nil)
	}
	if err != nil {
		if !filesync.IsUnavailable(err) && ctx.Err() == nil && !r.maybeCreated(ctx, f) {
			r.dropIntents(f)
		}
		return nil, err
	}
	f.delivery.PendingID = f.pending.ID()
	if err = r.markOpened(ctx, f); err != nil {
		return nil, err
	}
	return newExtents(f, 0), nil
}

// fill reads the file until every byte of it is written, over more than one
// connection if need be, and verifies that it is still the listed version. It is not
// confirmed where the source does not tell, which is no failure.
func (r *run) fill(ctx context.Context, f *finished, w *extents) (confirmed bool, err error) {
	var to io.WriterAt = w
	if limiter := r.q.limiter; limiter != nil {
		to = &limited{WriterAt: w, ctx: ctx, limiter: limiter}
	}
	stop := w.checkpoints(ctx)
	defer stop()
	e := f.file.Entry
	pieces := w.restart() > 0 // that were read through more than one handle
	for {
		got, err := r.src.Fetch(ctx, e, w.restart(), to)
		switch {
		case errors.Is(err, ErrReopened):
			pieces = pieces || w.restart() > 0
			continue
		case errors.Is(err, filesync.ErrChanged):
			return false, r.explain(ctx, f, err)
		case err != nil:
			return false, err
		case got != (filesync.Entry{}) && !got.SameVersion(e):
			return false, fmt.Errorf("%w: it was %s, and is %s", filesync.ErrChanged, describe(e), describe(got))
		case w.whole() != e.Size:
			return false, fmt.Errorf("only %d of %d bytes arrived", w.whole(), e.Size)
		case got == (filesync.Entry{}) && pieces:
			return false, fmt.Errorf("%w: it was read in pieces, and the server does not tell whether they are of one version", filesync.ErrBeginAnew)
		}
		r.src.arrived()
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
func (r *run) explain(ctx context.Context, f *finished, err error) error {
	if f.file.Entry.Version != "" {
		return err
	}
	stats, serr := r.src.Relist(ctx, []filesync.Entry{f.file.Entry})
	if serr == nil && stats[0].Err == nil && stats[0].Entry.SameVersion(f.file.Entry) {
		return fmt.Errorf("the server still says that it has %d bytes (%v)", f.file.Entry.Size, err)
	}
	return err
}

// interrupted reports whether a copy ended as it was cancelled.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled)
}

// giveUp removes the pending file, or keeps it for a later copy if it is not
// the file that is at fault and much of it is there.
func (r *run) giveUp(ctx context.Context, f *finished, w *extents, err error) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	name, log := f.file.Entry.Name, f.client.o.Log
	saved := w.checkpointed()
	// Under its own name, a part is not for its receiver to see.
	visible := f.client.o.InPlace && !errors.Is(err, filesync.ErrDisconnected)
	if prefix := w.whole(); prefix >= keepFrom && !visible && !errors.Is(err, filesync.ErrFull) && !errors.Is(err, filesync.ErrBeginAnew) && (interrupted(ctx, err) || filesync.IsUnavailable(err)) {
		c, cerr := f.pending.Checkpoint(late, prefix)
		if cerr == nil {
			cerr = r.ledger.SaveCheckpoint(late, name, f.file.Entry, c)
		}
		saved = saved || cerr == nil
		if cerr == nil && f.pending.Keep() == nil {
			r.dropBroken(f)
			return
		}
	}
	w.discard()
	aerr := f.pending.Abort(late)
	if errors.Is(aerr, fs.ErrNotExist) {
		aerr = nil
	}
	if aerr != nil {
		r.leftPending.Store(true)
		log.Warn("pending file not removed", "file", name, "error", aerr)
	} else {
		r.dropBroken(f)
	}
	if saved && aerr == nil {
		if derr := r.ledger.DropCheckpoint(late, name, f.pending.ID()); derr != nil {
			log.Warn("checkpoint not dropped", "file", name, "error", derr)
		}
	}
}
