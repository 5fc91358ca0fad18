package connector

import (
	"context"
	"time"
)

// Timers go by a clock that nobody sets, and that stands still while the machine
// sleeps. Schedules go by the wall clock.
const (
	clockLook = 10 * time.Second // how often the two clocks are compared
	minStep   = 2 * time.Second  // by how much they may go apart unnoticed
)

// now is the wall clock. It has no monotonic reading: times that are to be
// compared with it may come from the ledger, or from a clock of a test.
func (p Parts) now() time.Time {
	if p.Now != nil {
		return p.Now().Round(0)
	}
	return time.Now().Round(0)
}

// watchClock tells the elements when the wall clock was set or the machine
// slept, until ctx ends. One goroutine does it for all of them, so that idle
// ones cost nothing.
func (s *Set) watchClock(ctx context.Context) {
	look := time.NewTicker(clockLook)
	defer look.Stop()
	began, shown := time.Now(), s.parts.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now := s.parts.now()
		step := now.Sub(shown) - time.Since(began)
		if step.Abs() < minStep {
			continue
		}
		began, shown = time.Now(), now
		if s.parts.Log != nil {
			s.parts.Log.Info("the clock was set or the machine slept", "step", step.Round(time.Second))
		}
		for _, e := range s.All() {
			e.clockStepped(now)
		}
	}
}

// clockStepped plans the next pass anew, as the wall clock shows now.
func (e *Element) clockStepped(now time.Time) {
	e.mu.Lock()
	e.next = e.schedule.stepped(now, e.next, e.ran)
	e.mu.Unlock()
	e.wake()
}
