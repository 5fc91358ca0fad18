package pass

import (
	"context"
	"sync"
	"sync/atomic"

	filesync "sftpconnector/sync"
)

// Files that are written side by side take the room of a full destination from
// each other, until all of them give it up. Those that found none while others
// were under way are put aside, and tried one by one once the others are done.
// Their names are free meanwhile: whoever waits for one waits for no waiting pass.

// maxAside bounds the files that are put aside in one pass.
const maxAside = 256

// aside are the files that were put aside.
type aside struct {
	writing atomic.Int64 // files that are being written
	begun   atomic.Int64 // that ever were

	mu      sync.Mutex
	entries []filesync.Entry
	once    map[string]bool // names that were put aside: that happens once
}

// enter notes that a file is about to be written. What it gives is called when
// that has ended, and reports whether another one was written meanwhile.
func (a *aside) enter() (leave func() (beside bool)) {
	beside, nth := a.writing.Add(1) > 1, a.begun.Add(1)
	return func() bool {
		a.writing.Add(-1)
		return beside || a.begun.Load() != nth
	}
}

// put keeps a file for later, once, unless there are limit already.
func (a *aside) put(e filesync.Entry, limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.once[e.Name] || len(a.once) >= limit {
		return false
	}
	if a.once == nil {
		a.once = map[string]bool{}
	}
	a.once[e.Name] = true
	a.entries = append(a.entries, e)
	return true
}

func (a *aside) take() []filesync.Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	entries := a.entries
	a.entries = nil
	return entries
}

// tryAside tries the files that were put aside, each alone, and comes back when
// nothing is under way.
func (p *Pass) tryAside(ctx context.Context) error {
	for {
		if err := p.elsewhere.idle(ctx); err != nil {
			return err
		}
		entries := p.aside.take()
		if len(entries) == 0 {
			return nil
		}
		for _, e := range entries {
			if err := p.tryAlone(ctx, e); err != nil {
				return err
			}
		}
	}
}

// tryAlone decides about a file once more, as another pass may have come by it,
// and waits until that is copied.
func (p *Pass) tryAlone(ctx context.Context, e filesync.Entry) error {
	released := p.claims.byOthers(p)
	recs, err := p.ledger.Find(ctx, []string{e.Name})
	if err != nil {
		return err
	}
	p.rows.Add(recs[0])
	c := p.candidate(e, recs[0])
	c.Stillness = stoodStill
	if err := p.aim(ctx, []candidate{*c}, released); err != nil {
		return err
	}
	return p.elsewhere.idle(ctx)
}

// notBegun takes a file out of what is to be copied: it is not this pass's, or
// not now. Its name is free.
func (p *Pass) notBegun(j job) {
	p.filesFound.Add(-1)
	p.bytesFound.Add(-j.e.Size)
	p.claims.release(j.claim, j.e.Name, p)
}
