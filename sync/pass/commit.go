package pass

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	filesync "sftpconnector/sync"
)

// A batch is committed when it has so many files, or when nothing more came
// for a moment. While one is committed, the next one gathers.
const (
	maxBatch = 512
	linger   = 40 * time.Millisecond
)

// commitAll commits what the copiers finish, in groups. After an error it
// removes what comes in still, as the pass is ending.
func (p *Pass) commitAll(ctx context.Context) error {
	var ended error
	for {
		batch := p.gather()
		if len(batch) == 0 {
			return ended
		}
		if ended != nil {
			p.abandon(ctx, batch)
			continue
		}
		if ended = p.commit(ctx, batch); ended != nil {
			p.abort(ended)
		}
	}
}

// gather waits for a batch; an empty one means that there is no more.
func (p *Pass) gather() []*finished {
	f, ok := <-p.done
	if !ok {
		return nil
	}
	batch := []*finished{f}
	full := time.NewTimer(linger)
	defer full.Stop()
	for len(batch) < maxBatch {
		select {
		case f, ok := <-p.done:
			if !ok {
				return batch
			}
			batch = append(batch, f)
		case <-full.C:
			return batch
		}
	}
	return batch
}

// commit gives a batch its names, so that no crash leaves half a file, a row
// without a durable file, or a file that nobody knows of:
// contents → intents → names → rows.
func (p *Pass) commit(ctx context.Context, batch []*finished) error {
	pendings := make([]filesync.Pending, len(batch))
	for i, f := range batch {
		pendings[i] = f.pending
	}
	batch, err := p.winnow(ctx, batch, p.dst.Sync(ctx, pendings))
	if err != nil || len(batch) == 0 {
		return err
	}
	deliveries := make([]filesync.Delivery, len(batch))
	publications := make([]filesync.Publication, len(batch))
	for i, f := range batch {
		deliveries[i] = f.delivery
		deliveries[i].At = time.Now()
		publications[i] = filesync.Publication{Pending: f.pending, Replaces: f.replaces}
	}
	intent, err := p.ledger.Intend(ctx, deliveries)
	if err != nil {
		p.abandon(ctx, batch)
		return err
	}
	errs := p.dst.Publish(ctx, publications)
	for i, err := range errs {
		if unavailable(err) {
			// Some may have their names, durably or not. The intent stays, and
			// the next pass finds out.
			return fmt.Errorf("deliver %s: %w", batch[i].e.Name, err)
		}
	}
	var committed []filesync.Delivery
	var whole []*finished
	var took []time.Duration
	for i, f := range batch {
		if errs[i] == nil {
			if s, ok := f.pending.(filesync.Standing); ok {
				if now, told := s.Stands(); told {
					deliveries[i].Target = now
					if now.Size >= 0 && now.Size != f.e.Size { // it is not what was sent
						deliveries[i].After = filesync.AfterUnverified
					}
				}
			}
			committed = append(committed, deliveries[i])
			whole = append(whole, f)
			took = append(took, deliveries[i].At.Sub(f.started))
		}
	}
	ids, err := p.ledger.Commit(ctx, intent, committed)
	if err != nil {
		return err // the intent stays: the next pass finds out what was published
	}
	p.settledInPlace(ctx, whole...)
	if err := p.delivered(ctx, ids, committed, took); err != nil {
		return err
	}
	_, err = p.winnow(ctx, batch, errs)
	return err
}

// winnow takes out the files that could not be done. Its error ends the pass. What
// stands of one whose name was refused is not taken for ours by a later pass, also
// where it cannot be removed: by size and time it would be whole.
func (p *Pass) winnow(ctx context.Context, batch []*finished, errs []error) ([]*finished, error) {
	var good, bad, refused []*finished
	var ended error
	for i, f := range batch {
		err := errs[i]
		switch {
		case err == nil:
			good = append(good, f)
			continue
		case errors.Is(err, filesync.ErrConflict):
			if cerr := p.clash(ctx, f.e, err); cerr != nil {
				ended = cerr
			}
			refused = append(refused, f)
		case unavailable(err):
			ended = fmt.Errorf("deliver %s: %w", f.e.Name, err)
		default:
			p.fail(ctx, f.e, err)
			refused = append(refused, f)
		}
		bad = append(bad, f)
	}
	p.abandon(ctx, bad)
	p.settledInPlace(ctx, refused...)
	if ended != nil {
		p.abandon(ctx, good)
	}
	return good, ended
}

// abandon removes pending files.
func (p *Pass) abandon(ctx context.Context, batch []*finished) {
	for _, f := range batch {
		p.claims.release(f.claim, f.e.Name, p)
		if err := f.pending.Abort(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.littered.Store(true)
			p.o.Log.Warn("pending file not removed", "file", f.e.Name, "error", err)
			continue
		}
		p.settledInPlace(ctx, f)
	}
}

// delivered does what follows a commit: counts, events, and the originals.
// took is nil for adopted files.
func (p *Pass) delivered(ctx context.Context, ids []int64, batch []filesync.Delivery, took []time.Duration) error {
	p.rows.AddRows(ids)
	var owed []filesync.Record
	for i, d := range batch {
		p.looks.forget(d.Source.Name)
		event := filesync.Delivered{Delivery: d}
		if !d.Adopted {
			event.Took = took[i]
			p.copied.Add(1)
			if d.After == filesync.AfterUnverified {
				p.unverified.Add(1)
			}
			p.bytes.Add(d.Source.Size)
			claim := d.Key
			if claim == "" {
				claim = d.Target.Name
			}
			p.claims.release(claim, d.Source.Name, p)
		}
		if p.o.OnDelivered != nil {
			p.o.OnDelivered(event)
		}
		if d.After != filesync.AfterNone && d.After != filesync.AfterUnverified {
			owed = append(owed, filesync.Record{ID: ids[i], Delivery: d, After: d.After})
		}
	}
	return p.sendAfter(ctx, owed)
}
