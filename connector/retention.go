package connector

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sftpconnector/sync/ledger"
)

const (
	// forgetEvery is how often the retention is applied.
	forgetEvery = time.Hour
	// forgetWait is how long a pass waits for that. The rest goes on without it.
	forgetWait = 5 * time.Second
	// steadyFor is how long a clock must have been steady for the retention to
	// go by it.
	steadyFor = 24 * time.Hour
	// maxJump is how much further than expected a clock may be that is still
	// taken for steady: the program was not running. For a shorter retention it is
	// a quarter of that, but not less than minJump: a program that is run once a
	// day has to come to forget, too.
	maxJump = 8 * 24 * time.Hour
	minJump = 2 * 24 * time.Hour
	// maxBack is how far a steady clock may be set back, to correct it.
	maxBack = time.Minute
)

// observe takes into account that the clock shows now, when so much time went by
// since it was seen before (zero: that is not known). A clock that jumped is
// steady only from here on.
func observe(k ledger.Clock, now time.Time, elapsed, retention time.Duration) ledger.Clock {
	jump := now.Sub(k.Seen) - elapsed
	if k.Seen.IsZero() || jump < -maxBack || jump > min(max(retention/4, minJump), maxJump) {
		return ledger.Clock{Since: now, Seen: now}
	}
	return ledger.Clock{Since: k.Since, Seen: now}
}

// steady reports whether the clock may be gone by. One that a machine starts
// with, or that is set wrong for a while, makes everything look expired.
func steady(k ledger.Clock) bool { return k.Seen.Sub(k.Since) >= steadyFor }

// pruner applies the retention of a connector, now and then.
type pruner struct {
	ledger    *ledger.Connector
	retention time.Duration
	now       func() time.Time
	log       *slog.Logger
	ctx       context.Context // until the connector is stopped
	tasks     sync.WaitGroup

	mu   sync.Mutex
	last time.Time // when the retention was last applied; zero: not yet
	busy bool      // it is being applied
}

// forget applies the retention, if it is time. It goes on when it takes longer than a pass
// should wait, until the connector is stopped.
func (p *pruner) forget() {
	p.mu.Lock()
	elapsed := time.Since(p.last)
	if p.last.IsZero() {
		elapsed = 0
	}
	due := !p.busy && p.ctx.Err() == nil && (p.last.IsZero() || elapsed >= forgetEvery)
	if due {
		p.last, p.busy = time.Now(), true
	}
	p.mu.Unlock()
	if !due {
		return
	}
	done := make(chan struct{})
	p.tasks.Go(func() {
		defer close(done)
		if err := p.forgetOld(p.ctx, elapsed); err != nil && p.ctx.Err() == nil {
			p.log.Error("retention not applied", "error", err)
		}
		p.mu.Lock()
		p.busy = false
		p.mu.Unlock()
	})
	wait := time.NewTimer(forgetWait)
	defer wait.Stop()
	select {
	case <-done:
	case <-wait.C:
	}
}

// forgetOld removes what is older than the retention, if the clock can be gone by.
func (p *pruner) forgetOld(ctx context.Context, elapsed time.Duration) error {
	now, retention := p.now(), p.retention
	known, err := p.ledger.Clock(ctx)
	if err != nil {
		return err
	}
	clock := observe(known, now, elapsed, retention)
	if err := p.ledger.SetClock(ctx, clock); err != nil {
		return err
	}
	if !steady(clock) {
		if !known.Seen.IsZero() && !clock.Since.Equal(known.Since) {
			p.log.Info("the clock jumped, or the program did not run for long: nothing is removed for its age before a day has passed", "from", known.Seen, "to", now)
		}
		return nil
	}
	if err := p.ledger.Forget(ctx, now.Add(-retention)); err != nil {
		return fmt.Errorf("remove what is older than %v: %w", retention, err)
	}
	return nil
}
