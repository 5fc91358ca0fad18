package sync

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// elsewhere are the files that another pass is copying.
type elsewhere struct {
	waits  atomic.Bool  // the pass has reason to wait
	queued atomic.Int64 // jobs that no copier has begun: one may turn out to be elsewhere

	mu      sync.Mutex
	entries []Entry
	until   []<-chan struct{}
	wake    chan struct{} // has room for one: look again
}

// add puts a file aside until done is closed; nil: it is already.
func (o *elsewhere) add(e Entry, done <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries = append(o.entries, e)
	if done != nil {
		o.until = append(o.until, done)
	}
}

// started notes that a copier has begun a job, or put it here.
func (o *elsewhere) started() {
	if o.queued.Add(-1) == 0 {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

func (o *elsewhere) take() (entries []Entry, until []<-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	entries, until = o.entries, o.until
	o.entries, o.until = nil, nil
	return entries, until
}

// awaitOthers waits until the files that other passes are copying are done, and
// decides about them then: a pass that failed leaves them to this one.
func (p *Pass) awaitOthers(ctx context.Context) error {
	for {
		queued := p.elsewhere.queued.Load()
		entries, until := p.elsewhere.take()
		switch {
		case len(entries) == 0 && queued == 0:
			return nil
		case len(entries) == 0:
			select {
			case <-p.elsewhere.wake:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			continue
		}
		p.at(fmt.Sprintf("waiting for %d files that another pass is copying", len(entries)))
		p.elsewhere.waits.Store(true)
		for _, done := range until {
			select {
			case <-done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		p.elsewhere.waits.Store(false)
		if err := p.lookAgain(ctx, entries); err != nil {
			return err
		}
	}
}
