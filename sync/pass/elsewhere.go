package pass

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	filesync "sftpconnector/sync"
)

// elsewhere are the files that another pass is copying.
type elsewhere struct {
	waits    atomic.Bool  // the pass has reason to wait
	underWay atomic.Int64 // jobs that have not ended: one may turn out to be elsewhere

	mu      sync.Mutex
	entries []filesync.Entry
	until   []<-chan struct{}
	wake    chan struct{} // has room for one: look again
}

// maxRounds is how often a pass waits for others. Those that come anew all the
// time, and deliver nothing, would hold it for good.
const maxRounds = 16

// add puts a file aside until done is closed; nil: it is already.
func (o *elsewhere) add(e filesync.Entry, done <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries = append(o.entries, e)
	if done != nil {
		o.until = append(o.until, done)
	}
}

// ended notes that a copier is through with a job, or has put it here.
func (o *elsewhere) ended() {
	if o.underWay.Add(-1) == 0 {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// idle waits until the copiers have nothing to do.
func (o *elsewhere) idle(ctx context.Context) error {
	for o.underWay.Load() > 0 {
		select {
		case <-o.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (o *elsewhere) take() (entries []filesync.Entry, until []<-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	entries, until = o.entries, o.until
	o.entries, o.until = nil, nil
	return entries, until
}

// awaitOthers waits until the files that other passes are copying are done, and
// decides about them then: a pass that failed leaves them to this one. While it
// waits, it has no file under way and holds no name that another pass could wait
// for: no two passes wait for each other.
func (p *Pass) awaitOthers(ctx context.Context) error {
	for round := 1; ; round++ {
		if err := p.tryAside(ctx); err != nil {
			return err
		}
		entries, until := p.elsewhere.take()
		if len(entries) == 0 {
			return nil
		}
		if round > maxRounds {
			for _, e := range entries {
				p.wait(e, "other passes were copying it, one after the other, and did not deliver it")
			}
			return nil
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
