package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	filesync "sftpconnector/sync"
)

// A batch is committed when it has so many files, or when nothing more comes
// for a moment. While one is committed, the next one gathers.
const (
	maxBatch = 512
	linger   = 40 * time.Millisecond
)

// commitAll commits what the copiers finish, in groups. After an error it
// removes what comes in still, as the passes are ending.
func (r *run) commitAll(ctx context.Context) {
	ended := false
	for {
		batch := r.gather()
		if len(batch) == 0 {
			return
		}
		if ended {
			r.abandon(ctx, batch)
			continue
		}
		ended = !r.commit(ctx, batch)
	}
}

// gather waits for a batch; an empty one means that there is no more.
func (r *run) gather() []*finished {
	f, ok := <-r.done
	if !ok {
		return nil
	}
	batch := []*finished{f}
	full := time.NewTimer(linger)
	defer full.Stop()
	for len(batch) < maxBatch {
		select {
		case f, ok := <-r.done:
			if !ok {
				return batch
			}
			batch = append(batch, f)
			continue
		default:
		}
		select {
		case f, ok := <-r.done:
			if !ok {
				return batch
			}
			batch = append(batch, f)
		case <-r.flush:
			if len(r.done) == 0 {
				return batch
			}
		case <-full.C:
			return batch
		}
	}
	return batch
}

// commit commits a batch: what is adopted, and what was copied. After an error, which
// ends the passes before it answers them, it reports false.
func (r *run) commit(ctx context.Context, batch []*finished) bool {
	var adopted, copied []*finished
	for _, f := range batch {
		if f.pending == nil {
			adopted = append(adopted, f)
		} else {
			copied = append(copied, f)
		}
	}
	if !r.adopt(ctx, adopted) {
		r.abandon(ctx, copied)
		return false
	}
	return r.publish(ctx, copied)
}

// adopt records files that stand at the destination already as delivered, once they are
// durable there.
func (r *run) adopt(ctx context.Context, batch []*finished) bool {
	batch, ok := r.takeOutDelivered(ctx, batch)
	if !ok || len(batch) == 0 {
		return ok
	}
	names := make([]string, len(batch))
	for i, f := range batch {
		names[i] = f.file.Name
	}
	if batch, ok = r.takeOutFailed(ctx, batch, r.dst.Persist(ctx, names)); !ok || len(batch) == 0 {
		return ok
	}
	deliveries := make([]filesync.Delivery, len(batch))
	for i, f := range batch {
		deliveries[i] = f.delivery
		deliveries[i].Pass, deliveries[i].At = r.ownerOf(f).o.Pass, time.Now()
	}
	ids, err := r.ledger.Commit(ctx, nil, deliveries)
	if err != nil {
		r.fail(err)
		r.forget(batch)
		return false
	}
	r.committed(batch, deliveries, ids)
	return true
}

// takeOutDelivered takes out the files that were delivered since they were decided: a
// listing that began anew shows a file twice.
func (r *run) takeOutDelivered(ctx context.Context, batch []*finished) (left []*finished, ok bool) {
	if len(batch) == 0 {
		return nil, true
	}
	paths := make([]string, len(batch))
	for i, f := range batch {
		paths[i] = f.file.Entry.Name
	}
	recs, err := r.ledger.Find(ctx, paths)
	if err != nil {
		r.fail(err)
		r.forget(batch)
		return nil, false
	}
	for i, f := range batch {
		if recs[i].Delivered(f.file.Entry) {
			r.conclude(f, Result{Entry: f.file.Entry})
		} else {
			left = append(left, f)
		}
	}
	return left, true
}

// publish gives a batch its names, so that no crash leaves half a file, a row
// without a durable file, or a file that nobody knows of:
// contents → intents → names → rows.
func (r *run) publish(ctx context.Context, batch []*finished) bool {
	if len(batch) == 0 {
		return true
	}
	pendings := make([]filesync.Pending, len(batch))
	for i, f := range batch {
		pendings[i] = f.pending
	}
	batch, ok := r.takeOutFailed(ctx, batch, r.dst.Sync(ctx, pendings))
	if !ok || len(batch) == 0 {
		return ok
	}
	deliveries := make([]filesync.Delivery, len(batch))
	publications := make([]filesync.Publication, len(batch))
	for i, f := range batch {
		deliveries[i] = f.delivery
		deliveries[i].Pass, deliveries[i].At = r.ownerOf(f).o.Pass, time.Now()
		deliveries[i].Replaces = f.file.Replaces
		publications[i] = filesync.Publication{Pending: f.pending, Replaces: f.file.Replaces}
	}
	intent, err := r.ledger.Intend(ctx, deliveries)
	if err != nil {
		r.fail(err)
		r.abandon(ctx, batch)
		return false
	}
	errs := r.dst.Publish(ctx, publications)
	for i, err := range errs {
		if filesync.IsUnavailable(err) {
			// Some may have their names, durably or not. The intent stays, and
			// the next pass finds out.
			r.fail(fmt.Errorf("deliver %s: %w", batch[i].file.Entry.Name, err))
			r.forget(batch)
			return false
		}
	}
	var committed, failed, conflicts []filesync.Delivery
	var whole []*finished
	for i, f := range batch {
		if errs[i] != nil {
			if errors.Is(errs[i], filesync.ErrConflict) {
				conflicts = append(conflicts, deliveries[i])
			} else {
				failed = append(failed, deliveries[i])
			}
			continue
		}
		if s, ok := f.pending.(filesync.Standing); ok {
			if now, known := s.Stands(); known {
				deliveries[i].Target = now
				if now.Size >= 0 && now.Size != f.file.Entry.Size { // it is not what was sent
					deliveries[i].After = filesync.AfterUnverified
				}
			}
		}
		committed = append(committed, deliveries[i])
		whole = append(whole, f)
	}
	destroyed, err := r.withoutFile(ctx, conflicts)
	var unseen []filesync.Delivery
	if err == nil {
		unseen, err = r.forgetLost(ctx, append(failed, destroyed...))
	}
	if err == nil && len(unseen) > 0 {
		_, err = r.ledger.Intend(ctx, unseen) // the next pass finds out
	}
	if err != nil {
		r.fail(err)
		r.forget(batch)
		return false
	}
	intents := []int64{intent}
	for _, f := range whole {
		if f.intent != 0 { // of a file that was written in place
			intents = append(intents, f.intent)
		}
	}
	ids, err := r.ledger.Commit(ctx, intents, committed)
	if err != nil { // the intents stay: the next pass finds out what was published
		r.fail(err)
		r.forget(batch)
		return false
	}
	r.committed(whole, committed, ids)
	r.back.Go(func() { r.recorded(ctx, whole) }) // nobody waits for it
	_, ok = r.takeOutFailed(ctx, batch, errs)
	return ok
}

// recorded has the destination forget how it would prove that files got their names: the
// ledger knows it now.
func (r *run) recorded(ctx context.Context, batch []*finished) {
	p, ok := r.dst.(filesync.Prover)
	if !ok {
		return
	}
	pendings := make([]filesync.Pending, len(batch))
	for i, f := range batch {
		pendings[i] = f.pending
	}
	p.Recorded(ctx, pendings)
}

// takeOutFailed takes out the files that could not be done. It reports false when that
// ends the passes. What stands of a file whose name was refused is not taken for ours
// later, also where it cannot be removed: by size and time it would be whole.
func (r *run) takeOutFailed(ctx context.Context, batch []*finished, errs []error) (good []*finished, ok bool) {
	type failure struct {
		f   *finished
		err error
	}
	var bad []failure
	var refused []*finished
	var ended error
	for i, f := range batch {
		err := errs[i]
		switch {
		case err == nil:
			good = append(good, f)
			continue
		case filesync.IsUnavailable(err) && !errors.Is(err, filesync.ErrFull): // others may fit
			ended = fmt.Errorf("deliver %s: %w", f.file.Entry.Name, err)
		default:
			refused = append(refused, f)
		}
		bad = append(bad, failure{f, err})
	}
	if ended != nil {
		r.fail(ended)
	}
	for _, b := range bad {
		r.abort(ctx, b.f)
	}
	r.dropBroken(refused...)
	for _, b := range bad {
		switch {
		case errors.Is(b.err, filesync.ErrFull):
			if b.f.room != nil {
				r.q.room.noteFull(b.f.room, b.f.client.o.RoomHold)
			}
			r.conclude(b.f, r.failed(b.f.job, b.f.client, b.err))
		case filesync.IsUnavailable(b.err):
			r.conclude(b.f, Result{Entry: b.f.file.Entry})
		case errors.Is(b.err, filesync.ErrConflict):
			r.conclude(b.f, r.conflict(b.f.client, b.f.file.Entry, b.err))
		default:
			r.conclude(b.f, b.f.client.Fail(ctx, b.f.file.Entry, b.err))
		}
	}
	if ended != nil {
		r.abandon(ctx, good)
	}
	return good, ended == nil
}

// committed tells of files that stand and are recorded, and has their originals removed
// or moved.
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

// ownerOf is the pass whose delivery a file is.
func (r *run) ownerOf(f *finished) *Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f.job.clients[0]
}

// conclude ends the job of a file that was copied whole, and tells all who wait for it.
func (r *run) conclude(f *finished, result Result) {
	r.mu.Lock()
	clients := r.settle(f.job)
	r.dispatch()
	r.mu.Unlock()
	for i, c := range clients {
		result.Joined = i > 0
		c.answer(result)
	}
}

// forget ends the jobs of a batch of which it is not known what became.
func (r *run) forget(batch []*finished) {
	for _, f := range batch {
		r.conclude(f, Result{Entry: f.file.Entry})
	}
}

// abandon removes pending files, as the passes are ending.
func (r *run) abandon(ctx context.Context, batch []*finished) {
	for _, f := range batch {
		r.abort(ctx, f)
	}
	r.forget(batch)
}

// abort removes a pending file.
func (r *run) abort(ctx context.Context, f *finished) {
	if f.pending == nil {
		return // it is not ours
	}
	err := f.pending.Abort(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.leftPending.Store(true)
		r.log.Warn("pending file not removed", "file", f.file.Entry.Name, "error", err)
		return
	}
	r.dropBroken(f)
}
