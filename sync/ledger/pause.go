package ledger

import (
	"context"
	"fmt"
	"time"
)

// Pause is a connector that does nothing until it is resumed. Times are in whole
// milliseconds.
type Pause struct {
	Since      time.Time // zero: it is not paused
	By, Reason string
}

// Pause keeps that the connector is paused. Of one that is paused already, the last
// reason counts, and who gave it; it is paused since the first.
func (c *Connector) Pause(ctx context.Context, at time.Time, by, reason string) error {
	return c.exec(ctx, "pause", "UPDATE connectors SET paused_at = CASE paused_at WHEN 0 THEN ? ELSE paused_at END, paused_by = ?, pause_reason = ? WHERE id = ?",
		at.UnixMilli(), by, reason, c.id)
}

// Resume ends a pause, if there is one.
func (c *Connector) Resume(ctx context.Context) error {
	return c.exec(ctx, "resume", "UPDATE connectors SET paused_at = 0, paused_by = '', pause_reason = '' WHERE id = ?", c.id)
}

// Paused gives the pause that the ledger has. Its Since is zero when there is none.
func (c *Connector) Paused(ctx context.Context) (Pause, error) {
	var p Pause
	var at int64
	err := c.ledger.read.QueryRowContext(ctx, "SELECT paused_at, paused_by, pause_reason FROM connectors WHERE id = ?", c.id).Scan(&at, &p.By, &p.Reason)
	if err != nil {
		return Pause{}, fmt.Errorf("ledger: paused: %w", err)
	}
	p.Since = millis(at)
	return p, nil
}
