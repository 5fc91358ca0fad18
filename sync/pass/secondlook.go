package pass

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	filesync "sftpconnector/sync"
)

// A pass that meets files which have to stand still a little longer looks at all
// of them a second time, once. Those that it can keep in mind it asks for by name;
// more than that are found by listing the source again, of which nothing is kept.

// maxWaiting bounds the files that are kept for the second look, in bytes.
const maxWaiting = 8 << 20

// waiting are the files that are looked at a second time, all at once.
type waiting struct {
	asleep atomic.Bool // the pass has reason to wait

	mu      sync.Mutex
	entries []filesync.Entry // none when there are too many
	files   int64
	bytes   int
	max     int // bytes; 0: maxWaiting
	until   time.Time
}

// entrySize is what an entry takes in memory beside its name.
const entrySize = 96

func (w *waiting) add(e filesync.Entry, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := w.max
	if limit == 0 {
		limit = maxWaiting
	}
	w.files++
	w.bytes += len(e.Name) + entrySize
	if w.bytes <= limit {
		w.entries = append(w.entries, e)
	} else {
		w.entries = nil
	}
	if t := time.Now().Add(wait); t.After(w.until) {
		w.until = t
	}
}

// take gives how many files wait, these themselves if they are not too many, and
// how long they have to be left alone from now.
func (w *waiting) take() (files int64, entries []filesync.Entry, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files, entries = w.files, w.entries
	w.files, w.bytes, w.entries = 0, 0, nil
	return files, entries, max(0, time.Until(w.until))
}

// secondLook waits until the files of this pass had time to stand still, looks
// at all of them again, and takes those that did.
func (p *Pass) secondLook(ctx context.Context) error {
	files, entries, wait := p.second.take()
	if files == 0 {
		return nil
	}
	p.at(fmt.Sprintf("waiting %s for %d files to stand still", wait.Round(time.Millisecond), files))
	p.second.asleep.Store(true)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(min(wait, p.o.Settle+timeStep)):
	}
	p.second.asleep.Store(false)
	if entries == nil {
		return p.listAgain(ctx, files)
	}
	return p.lookAgain(ctx, entries)
}

// listAgain takes the second look at many files by listing the source once more.
func (p *Pass) listAgain(ctx context.Context, files int64) error {
	p.relisting.Store(true)
	defer p.relisting.Store(false)
	p.chunks = make(chan []filesync.Entry, cap(p.chunks))
	err := p.listAndCompare(ctx, false)
	if gone := files - p.relisted.Load(); err == nil && gone > 0 {
		p.excluded.Add(gone) // they went away meanwhile
	}
	return err
}

// wantsAgain reports whether a file of the second listing waits for that.
func (l *lister) wantsAgain(e filesync.Entry) bool {
	if !l.observations.awaited(e.Name) {
		return false
	}
	l.relisted.Add(1)
	return true
}

// lookAgain decides about files that were listed a while ago, as they are now.
func (dc *decider) lookAgain(ctx context.Context, entries []filesync.Entry) error {
	for len(entries) > 0 {
		n := min(chunkSize, len(entries))
		batch := entries[:n]
		entries = entries[n:]
		dc.at("looking again at " + batch[0].Name)
		stats, err := dc.src.Relist(ctx, batch)
		if err != nil {
			return fmt.Errorf("look again: %w", err)
		}
		again := make([]filesync.Entry, 0, n)
		for i, k := range stats {
			name := batch[i].Name
			switch {
			case k.Err == nil:
				k.Entry.Name = name
				again = append(again, k.Entry)
			case errors.Is(k.Err, fs.ErrNotExist):
				dc.observations.forget(name)
				dc.miss(batch[i])
			default:
				dc.fail(ctx, batch[i], k.Err)
			}
		}
		if err := dc.compare(ctx, again, false); err != nil {
			return err
		}
	}
	return nil
}
