package connector

import (
	"context"
	"fmt"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/status"
	"sftpconnector/sync/ledger"
)

// PausedError says that a connector does nothing until it is resumed.
type PausedError struct {
	Connector string
	interapp.Pause
}

func (e *PausedError) Error() string {
	return fmt.Sprintf("connector %s is %s (since %s)", e.Connector, causeOf(e.Pause), e.Since.UTC().Format(time.RFC3339))
}

// causeOf says who has paused a connector, and why.
func causeOf(p interapp.Pause) string {
	if p.Reason == "" {
		return "paused by " + p.By
	}
	return fmt.Sprintf("paused by %s: %s", p.By, p.Reason)
}

// Pause keeps the connector from doing anything until Resume, also after a restart of
// the program. A pass under way ends first; an Apply that waits for it is not begun.
func (c *Connector) Pause(ctx context.Context, by, reason string) error {
	return c.changePause(ctx, func() error { return c.ledger.Pause(ctx, c.parts.now(), by, reason) })
}

// Resume ends a pause, if there is one. What is due by then comes at once.
func (c *Connector) Resume(ctx context.Context) error {
	return c.changePause(ctx, func() error { return c.ledger.Resume(ctx) })
}

// changePause changes the pause in the ledger, and goes by what it has then. One change
// comes after the other; stop waits for it.
func (c *Connector) changePause(ctx context.Context, change func() error) error {
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		return ErrStopped
	}
	c.passes.Add(1)
	c.mu.Unlock()
	defer c.passes.Done()
	select {
	case c.pausing <- struct{}{}:
		defer func() { <-c.pausing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := change(); err != nil {
		return err
	}
	p, err := c.ledger.Paused(ctx)
	if err != nil {
		return err
	}
	unbegun := c.setPause(p)
	now := c.Paused()
	if unbegun != nil {
		unbegun.finish(PassReport{}, &PausedError{c.Name(), *now})
	}
	c.health.pause(healthOf(now))
	return nil
}

// setPause goes by a pause that the ledger has, and gives the Apply that is not begun.
func (c *Connector) setPause(p ledger.Pause) (unbegun *Run) {
	c.mu.Lock()
	c.paused = nil
	if !p.Since.IsZero() {
		c.paused = &interapp.Pause{Since: p.Since.UTC(), By: p.By, Reason: p.Reason}
		unbegun, c.waiting = c.waiting, nil
	}
	paused := c.paused != nil
	c.mu.Unlock()
	c.planner.pause(paused)
	return unbegun
}

// Paused gives the pause; nil: the connector is not paused.
func (c *Connector) Paused() *interapp.Pause {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused
}

// refusePaused gives a *PausedError if the connector is paused. The caller holds c.mu.
func (c *Connector) refusePaused() error {
	if c.paused == nil {
		return nil
	}
	return &PausedError{c.Name(), *c.paused}
}

// Refused gives why a request is not taken now: a *PausedError, or nil.
func (c *Connector) Refused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusePaused()
}

// inherit takes over what the connector knew in whose place c comes, which has stopped.
// c is not in use yet.
func (c *Connector) inherit(old *Connector) {
	c.last, c.left = old.last, old.left
	c.paused = old.paused
	c.planner.pause(c.paused != nil)
	c.health.paused = healthOf(c.paused)
}

// healthOf is what a pause is shown as; nil for none.
func healthOf(p *interapp.Pause) *Health {
	if p == nil {
		return nil
	}
	return &Health{Status: status.Paused, Since: p.Since, Hint: status.Paused.Hint(), Error: causeOf(*p)}
}
