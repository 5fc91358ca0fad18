package connector

import (
	"context"
	"time"
)

// Timers go by a clock that nobody sets, and that stands still while the machine
// sleeps. Schedules go by the wall clock.
const (
	clockInterval = 10 * time.Second // how often the two clocks are compared
	minStep       = 2 * time.Second  // by how much they may go apart unnoticed
)

// now is the wall clock. It has no monotonic reading: times that are to be
// compared with it may come from the ledger, or from a clock of a test.
func (p Parts) now() time.Time {
	if p.Now != nil {
		return p.Now().Round(0)
	}
	return time.Now().Round(0)
}

// clocks is what the two of them showed at one moment.
type clocks struct{ monotonic, wall time.Time }

func (s *Set) readClocks() clocks { return clocks{time.Now(), s.parts.now()} }

// watchClock tells the connectors when the wall clock was set or the machine
// slept since it was read, until ctx ends. One goroutine does it for all of them, so that
// idle ones cost nothing.
func (s *Set) watchClock(ctx context.Context, since clocks) {
	look := time.NewTicker(clockInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now := s.readClocks()
		step := now.wall.Sub(since.wall) - now.monotonic.Sub(since.monotonic)
		if step.Abs() < minStep {
			continue
		}
		since = now
		if s.parts.Log != nil {
			s.parts.Log.Info("the clock was set or the machine slept", "step", step.Round(time.Second))
		}
		for _, c := range s.All() {
			c.planner.stepped(now.wall)
		}
	}
}
