package connector

import (
	"context"
	"sync"
	"time"

	"sftpconnector/config"
)

// planner knows when the next automatic pass of a connector is due. Its methods may be
// called concurrently.
type planner struct {
	now     func() time.Time
	changed chan struct{} // has room for one: the plan may have changed

	mu       sync.Mutex
	inForce  config.Schedule // the file's schedule, or what was set over it
	schedule schedule
	next     time.Time // of the next automatic pass; zero: none
	ran      time.Time // when the last automatic pass was due; zero: there was none
	paused   bool      // none is due
}

// newPlanner plans by the schedule of the file, or by over if that is not "". last is when
// the last pass of an earlier run of the program started; zero: never.
func newPlanner(cfg *config.Connector, over string, last time.Time, now func() time.Time) (*planner, error) {
	p := &planner{now: now, changed: make(chan struct{}, 1), inForce: cfg.Sync, ran: last}
	if over != "" {
		if s, err := config.ParseSchedule(over); err == nil {
			p.inForce = s
		}
	}
	var err error
	if p.schedule, err = newSchedule(cfg.Name, p.inForce, cfg.TimeZone.Location); err != nil {
		return nil, err
	}
	p.next = p.schedule.first(now(), last)
	return p, nil
}

// await waits until a pass is due, and plans the next one. It is false when ctx has ended.
func (p *planner) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		left, due := p.take()
		if due {
			return true
		}
		p.wait(ctx, left)
	}
	return false
}

// take takes the pass that is due, and plans the next one. Else it gives how long it is
// until one is due; 0: none is planned.
func (p *planner) take() (left time.Duration, due bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.IsZero() || p.paused {
		return 0, false
	}
	now := p.now()
	if left := p.next.Sub(now); left > 0 {
		return left, false
	}
	p.ran = p.next
	// A machine that slept wakes up late: what it missed is not made up.
	if p.next = p.schedule.next(p.ran); !p.next.IsZero() && p.next.Before(now) {
		p.next = p.schedule.next(now)
	}
	return 0, true
}

// wait waits so long by the time that timers go by, or until something has changed. 0 is
// for ever.
func (p *planner) wait(ctx context.Context, left time.Duration) {
	var due <-chan time.Time
	if left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-p.changed:
	case <-due:
	}
}

// set goes over to another schedule, which was compiled from s.
func (p *planner) set(s config.Schedule, compiled schedule) {
	p.mu.Lock()
	p.inForce, p.schedule = s, compiled
	p.next = compiled.next(p.now())
	p.mu.Unlock()
	p.wake()
}

// pause has no pass be due until it is ended. Then the next one is planned as after a
// start of the program: an interval that has passed is due at once.
func (p *planner) pause(paused bool) {
	p.mu.Lock()
	if p.paused && !paused {
		p.next = p.schedule.first(p.now(), p.ran)
	}
	p.paused = paused
	p.mu.Unlock()
	p.wake()
}

// stepped plans the next pass anew, as the wall clock shows now.
func (p *planner) stepped(now time.Time) {
	p.mu.Lock()
	p.next = p.schedule.stepped(now, p.next, p.ran)
	p.mu.Unlock()
	p.wake()
}

// wake has await look again when the next pass is due.
func (p *planner) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// plan gives the schedule, and when the next pass is due by it; zero: none is planned, or
// the connector is paused.
func (p *planner) plan() (inForce config.Schedule, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused {
		return p.inForce, time.Time{}
	}
	return p.inForce, p.next
}

// upcoming gives the next runs, at most n of them, in the connector's time zone: those of
// the schedule in force, or of another one, if it went over to that now. A pause is not
// taken into account.
func (p *planner) upcoming(other *schedule, n int) []time.Time {
	p.mu.Lock()
	s, next := p.schedule, p.next
	p.mu.Unlock()
	if other != nil {
		s, next = *other, other.next(p.now())
	}
	return s.runs(next, n)
}

// interval is the time between two passes; 0: they come by a cron expression, or never.
func (p *planner) interval() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.schedule.interval
}

// comesWithin reports whether the next pass is due within d.
func (p *planner) comesWithin(d time.Duration) bool {
	_, next := p.plan()
	return !next.IsZero() && time.Until(next) <= d
}
