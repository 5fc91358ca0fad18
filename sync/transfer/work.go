package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	filesync "sftpconnector/sync"
)

// work is the copier of one job.
func (r *run) work(j *job) {
	r.mu.Lock()
	if len(j.clients) == 0 { // all have left meanwhile
		r.schedule.copied(j)
		r.schedule.settle(j)
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
		err = r.copier.copy(j.ctx, f)
	}
	if err == nil {
		r.mu.Lock()
		j.whole = len(j.clients) > 0
		r.mu.Unlock()
		if !j.whole { // all have left, and others may have begun the file meanwhile
			r.copier.abort(context.WithoutCancel(j.ctx), f)
			r.answer(j, Result{Entry: j.file.Entry})
			return
		}
		r.committer.done <- f
		r.mu.Lock()
		r.schedule.copied(j)
		r.dispatch()
		r.mu.Unlock()
		return
	}
	if errors.Is(err, filesync.ErrFull) && f.intent == 0 && r.deferJob(f, err) {
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
	return filesync.Delivery{Source: f.Entry, Target: target, Key: f.Key, Adopted: true, After: c.disposer.owes(true)}
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
	r.schedule.copied(j)
	clients := r.schedule.settle(j)
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
			answer = r.schedule.place(other, f) // under another name, or another owner's turn
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

// deferJob keeps a file that found no room beside others for later. It reports whether it
// did.
func (r *run) deferJob(f *finished, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !f.overlapped || !r.schedule.deferJob(f.job, isRefusal(err)) {
		return false
	}
	r.dispatch()
	return true
}

// answer ends a job that was not copied, and tells all who wait for it.
func (r *run) answer(j *job, result Result) {
	r.mu.Lock()
	r.schedule.copied(j)
	clients := r.schedule.settle(j)
	r.dispatch()
	r.mu.Unlock()
	for i, c := range clients {
		result.Joined = i > 0
		c.answer(result)
	}
}

// failed says what becomes of a file that could not be copied, and writes that down:
// what is the file's own is a try of it, what concerns the whole source or destination
// ends the passes.
func (r *run) failed(j *job, c *Client, err error) Result {
	e := j.file.Entry
	switch {
	case interrupted(j.ctx, err): // nobody waits for it any more, or all has ended
		return Result{Entry: e}
	case errors.Is(err, filesync.ErrChanged):
		return c.failures.discarded(context.WithoutCancel(j.ctx), e, err)
	case errors.Is(err, filesync.ErrConflict):
		return c.failures.conflict(context.WithoutCancel(j.ctx), e, err)
	case errors.Is(err, filesync.ErrFull):
		return noRoom(j, err)
	case filesync.IsUnavailable(err):
		r.fail(fmt.Errorf("copy %s: %w", e.Name, err))
		return Result{Entry: e}
	}
	return c.failures.file(context.WithoutCancel(j.ctx), e, err)
}

// noRoom is the result of a file that found no room at the destination.
func noRoom(j *job, err error) Result {
	e := j.file.Entry
	if interrupted(j.ctx, err) {
		return Result{Entry: e}
	}
	return Result{Entry: e, State: filesync.StateFailed, Err: err, NoRoom: true, Begun: !isRefusal(err)}
}

// ownerOf implements concluder.
func (r *run) ownerOf(f *finished) *Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f.job.clients[0]
}

// committed implements concluder: it tells of files that stand and are recorded, and has
// their originals removed or moved.
func (r *run) committed(batch []*finished, deliveries []filesync.Delivery, ids []int64) {
	owed := map[*Client][]filesync.Record{}
	r.mu.Lock()
	for i, f := range batch {
		c := f.job.clients[0]
		c.delivered++
		r.delivered++
		if d := deliveries[i]; d.After != filesync.AfterNone && d.After != filesync.AfterUnverified {
			owed[c] = append(owed[c], filesync.Record{ID: ids[i], Delivery: d, After: d.After})
		}
	}
	for c := range owed {
		c.pending++ // before its files are answered
	}
	r.mu.Unlock()
	for i, f := range batch {
		d := deliveries[i]
		r.conclude(f, Result{Entry: d.Source, State: filesync.StateDelivered, Delivery: d, Row: ids[i], Took: d.At.Sub(f.started)})
	}
	for c, recs := range owed {
		r.after <- originals{c, recs}
	}
}

// conclude implements concluder: it ends the job of a file that was copied whole, and
// tells all who wait for it.
func (r *run) conclude(f *finished, result Result) {
	r.mu.Lock()
	clients := r.schedule.settle(f.job)
	r.dispatch()
	r.mu.Unlock()
	for i, c := range clients {
		result.Joined = i > 0
		c.answer(result)
	}
}
