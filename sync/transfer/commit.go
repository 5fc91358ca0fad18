package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	filesync "sftpconnector/sync"
)

// A batch is committed when it has so many files, or when nothing more comes
// for a moment. While one is committed, the next one gathers.
const (
	maxBatch = 512
	linger   = 40 * time.Millisecond
)

// committer commits what the copiers finish, in batches: one at a time, while the next one
// gathers. It holds no lock, and tells the queue what became of each file.
type committer struct {
	dst     filesync.Destination
	ledger  Ledger
	copier  *copier
	journal *inPlaceJournal
	lost    *lostCopies
	room    *room
	queue   concluder

	done  chan *finished
	flush chan struct{} // has room for one: no more is coming for now
	// proven are batches that the ledger has now; nil where nothing proves that files got
	// their names.
	proven chan []filesync.Pending
}

// concluder is told what became of files that were copied or adopted.
type concluder interface {
	// ownerOf is the pass whose delivery a file is.
	ownerOf(f *finished) *Client
	// committed tells of files that stand and are recorded.
	committed(batch []*finished, deliveries []filesync.Delivery, rows []int64)
	// conclude ends the job of a file with its result.
	conclude(f *finished, result Result)
	// fail ends all copying.
	fail(err error)
}

// commitAll commits what the copiers finish, in groups. After an error it
// removes what comes in still, as the passes are ending.
func (m *committer) commitAll(ctx context.Context) {
	if m.proven != nil {
		defer close(m.proven)
	}
	ended := false
	for {
		batch := m.gather()
		if len(batch) == 0 {
			return
		}
		if ended {
			m.abandon(ctx, batch)
			continue
		}
		ended = !m.commit(ctx, batch)
	}
}

// gather waits for a batch; an empty one means that there is no more.
func (m *committer) gather() []*finished {
	f, ok := <-m.done
	if !ok {
		return nil
	}
	batch := []*finished{f}
	full := time.NewTimer(linger)
	defer full.Stop()
	for len(batch) < maxBatch {
		select {
		case f, ok := <-m.done:
			if !ok {
				return batch
			}
			batch = append(batch, f)
			continue
		default:
		}
		select {
		case f, ok := <-m.done:
			if !ok {
				return batch
			}
			batch = append(batch, f)
		case <-m.flush:
			if len(m.done) == 0 {
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
func (m *committer) commit(ctx context.Context, batch []*finished) bool {
	var adopted, copied []*finished
	for _, f := range batch {
		if f.pending == nil {
			adopted = append(adopted, f)
		} else {
			copied = append(copied, f)
		}
	}
	if !m.adopt(ctx, adopted) {
		m.abandon(ctx, copied)
		return false
	}
	return m.publish(ctx, copied)
}

// adopt records files that stand at the destination already as delivered, once they are
// durable there.
func (m *committer) adopt(ctx context.Context, batch []*finished) bool {
	batch, ok := m.takeOutDelivered(ctx, batch)
	if !ok || len(batch) == 0 {
		return ok
	}
	names := make([]string, len(batch))
	for i, f := range batch {
		names[i] = f.file.Name
	}
	if batch, ok = m.takeOutFailed(ctx, batch, m.dst.Persist(ctx, names)); !ok || len(batch) == 0 {
		return ok
	}
	deliveries := make([]filesync.Delivery, len(batch))
	for i, f := range batch {
		deliveries[i] = m.delivery(f)
	}
	ids, err := m.ledger.Commit(ctx, nil, deliveries)
	if err != nil {
		m.queue.fail(err)
		m.forget(batch)
		return false
	}
	m.queue.committed(batch, deliveries, ids)
	return true
}

// takeOutDelivered takes out the files that were delivered since they were decided: a
// listing that began anew shows a file twice.
func (m *committer) takeOutDelivered(ctx context.Context, batch []*finished) (left []*finished, ok bool) {
	if len(batch) == 0 {
		return nil, true
	}
	paths := make([]string, len(batch))
	for i, f := range batch {
		paths[i] = f.file.Entry.Name
	}
	recs, err := m.ledger.Find(ctx, paths)
	if err != nil {
		m.queue.fail(err)
		m.forget(batch)
		return nil, false
	}
	for i, f := range batch {
		if recs[i].Delivered(f.file.Entry) {
			m.queue.conclude(f, Result{Entry: f.file.Entry})
		} else {
			left = append(left, f)
		}
	}
	return left, true
}

// publish gives a batch its names, so that no crash leaves half a file, a row
// without a durable file, or a file that nobody knows of:
// contents → intents → names → rows.
func (m *committer) publish(ctx context.Context, batch []*finished) bool {
	if len(batch) == 0 {
		return true
	}
	batch, ok := m.takeOutFailed(ctx, batch, m.dst.Sync(ctx, pendingsOf(batch)))
	if !ok || len(batch) == 0 {
		return ok
	}
	deliveries := make([]filesync.Delivery, len(batch))
	publications := make([]filesync.Publication, len(batch))
	for i, f := range batch {
		deliveries[i] = m.delivery(f)
		deliveries[i].Replaces, deliveries[i].InPlace = f.file.Replaces, new(f.client.o.InPlace)
		publications[i] = filesync.Publication{Pending: f.pending, Replaces: f.file.Replaces}
	}
	intent, err := m.ledger.Intend(ctx, deliveries)
	if err != nil {
		m.queue.fail(err)
		m.abandon(ctx, batch)
		return false
	}
	errs := m.dst.Publish(ctx, publications)
	for i, err := range errs {
		if filesync.IsUnavailable(err) {
			// Some may have their names, durably or not. The intent stays, and
			// the next pass finds out.
			m.queue.fail(fmt.Errorf("deliver %s: %w", batch[i].file.Entry.Name, err))
			m.forget(batch)
			return false
		}
	}
	if err := m.record(ctx, batch, deliveries, errs, intent); err != nil { // the intents stay, too
		m.queue.fail(err)
		m.forget(batch)
		return false
	}
	_, ok = m.takeOutFailed(ctx, batch, errs)
	return ok
}

// delivery is what is journaled and recorded of a file that is committed now.
func (m *committer) delivery(f *finished) filesync.Delivery {
	d := f.delivery
	d.Pass, d.At = m.queue.ownerOf(f).o.Pass, time.Now()
	return d
}

// record records the files of a batch that have their names, and ends their intents. errs
// says why the others have not.
func (m *committer) record(ctx context.Context, batch []*finished, deliveries []filesync.Delivery, errs []error, intent int64) error {
	var named, failed, conflicts []filesync.Delivery
	var whole []*finished
	intents := []int64{intent}
	for i, f := range batch {
		d := deliveries[i]
		if errs[i] != nil {
			if errors.Is(errs[i], filesync.ErrConflict) {
				conflicts = append(conflicts, d)
			} else {
				failed = append(failed, d)
			}
			continue
		}
		if s, ok := f.pending.(filesync.Standing); ok {
			if now, known := s.Stands(); known {
				d.Target = now
				if now.Size >= 0 && now.Size != f.file.Entry.Size { // it is not what was sent
					d.After = filesync.AfterUnverified
				}
			}
		}
		named, whole = append(named, d), append(whole, f)
		if f.intent != 0 { // of a file that was written in place
			intents = append(intents, f.intent)
		}
	}
	destroyed, err := m.lost.withoutFile(ctx, conflicts)
	if err != nil {
		return err
	}
	unseen, err := m.lost.forget(ctx, append(failed, destroyed...))
	if err == nil && len(unseen) > 0 {
		_, err = m.ledger.Intend(ctx, unseen) // the next pass finds out
	}
	if err != nil {
		return err
	}
	rows, err := m.ledger.Commit(ctx, intents, named)
	if err != nil {
		return err
	}
	m.queue.committed(whole, named, rows)
	if m.proven != nil {
		m.proven <- pendingsOf(whole)
	}
	return nil
}

func pendingsOf(batch []*finished) []filesync.Pending {
	pendings := make([]filesync.Pending, len(batch))
	for i, f := range batch {
		pendings[i] = f.pending
	}
	return pendings
}

// takeOutFailed takes out the files that could not be done. It reports false when that
// ends the passes. What stands of a file whose name was refused is not taken for ours
// later, also where it cannot be removed: by size and time it would be whole.
func (m *committer) takeOutFailed(ctx context.Context, batch []*finished, errs []error) (good []*finished, ok bool) {
	type failure struct {
		f   *finished
		err error
	}
	var bad []failure
	var ofBad, refused []*finished
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
		bad, ofBad = append(bad, failure{f, err}), append(ofBad, f)
	}
	if ended != nil {
		m.queue.fail(ended)
	}
	m.abortAll(ctx, ofBad)
	m.journal.dropBroken(refused...)
	for _, b := range bad {
		switch {
		case errors.Is(b.err, filesync.ErrFull):
			if b.f.room != nil {
				m.room.noteFull(b.f.room, b.f.client.o.RoomHold)
			}
			m.queue.conclude(b.f, noRoom(b.f.job, b.err))
		case filesync.IsUnavailable(b.err):
			m.queue.conclude(b.f, Result{Entry: b.f.file.Entry})
		case errors.Is(b.err, filesync.ErrConflict):
			m.queue.conclude(b.f, b.f.client.failures.conflict(ctx, b.f.file.Entry, b.err))
		default:
			m.queue.conclude(b.f, b.f.client.failures.file(ctx, b.f.file.Entry, b.err))
		}
	}
	if ended != nil {
		m.abandon(ctx, good)
	}
	return good, ended == nil
}

// forget ends the jobs of a batch of which it is not known what became.
func (m *committer) forget(batch []*finished) {
	for _, f := range batch {
		m.queue.conclude(f, Result{Entry: f.file.Entry})
	}
}

// abandon removes pending files, as the passes are ending.
func (m *committer) abandon(ctx context.Context, batch []*finished) {
	m.abortAll(ctx, batch)
	m.forget(batch)
}

// abortAll removes pending files side by side, as each may take a round trip, and ends
// the intents of those that are gone.
func (m *committer) abortAll(ctx context.Context, batch []*finished) {
	gone := make([]bool, len(batch))
	var g errgroup.Group
	g.SetLimit(aborters)
	for i, f := range batch {
		g.Go(func() error {
			gone[i] = m.copier.remove(ctx, f)
			return nil
		})
	}
	_ = g.Wait()
	var dropped []*finished
	for i, f := range batch {
		if gone[i] {
			dropped = append(dropped, f)
		}
	}
	m.journal.dropBroken(dropped...)
}

// aborters is how many pending files are removed at a time.
const aborters = 16
