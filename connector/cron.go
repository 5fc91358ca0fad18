package connector

import (
	"time"

	"github.com/robfig/cron/v3"
)

// farthest is how far ahead the next time of a cron expression is looked for.
const farthest = 10 // years

// cronTimes are the times of a cron expression in a zone. A fixed expression
// comes once where the zone's clock jumps over its time, right after the gap,
// and once where the clock shows its time twice, the first time. Any other
// comes whenever the clock shows its time.
//
// package cron only compares fields here, on a clock without zone: its own
// handling of zones leaves out times in a gap, and some behind one of half an hour.
type cronTimes struct {
	spec  cron.Schedule
	zone  *time.Location
	fixed bool
}

// span is a time in which a zone keeps its offset from UTC. A zero start or end
// is open.
type span struct {
	start, end time.Time
	offset     time.Duration
}

func spanAt(t time.Time, zone *time.Location) span {
	t = t.In(zone)
	start, end := t.ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		// Where a zone has no table any more but a rule, Go ends its times with each
		// year after 365 days, in UTC: on the last day of a leap year that is past.
		end = t.Truncate(24 * time.Hour).Add(24 * time.Hour)
	}
	_, offset := t.Zone()
	return span{start, end, time.Duration(offset) * time.Second}
}

// next is the first time after a time; zero: there is none.
func (c cronTimes) next(after time.Time) time.Time {
	s := spanAt(after, c.zone)
	passed := c.passed(after, s)
	for limit := after.AddDate(farthest, 0, 0); ; {
		shown := c.spec.Next(passed)
		if shown.IsZero() {
			return time.Time{}
		}
		at := shown.Add(-s.offset)
		if at.Before(s.start) {
			at = s.start // the clock jumped over it
		}
		if s.end.IsZero() || at.Before(s.end) {
			return at.In(c.zone)
		}
		if s.end.After(limit) {
			return time.Time{}
		}
		next := spanAt(s.end, c.zone)
		if c.fixed {
			passed = s.shows(s.end) // the clock goes on as if it had not been changed
		} else {
			passed = next.shows(s.end)
		}
		passed, s = passed.Add(-1), next
	}
}

// passed is up to where the clock's times are done with at a time in a span. Of
// a fixed expression this includes what the clock showed before the span.
func (c cronTimes) passed(t time.Time, s span) time.Time {
	shown := s.shows(t)
	if !c.fixed || s.start.IsZero() {
		return shown
	}
	before := spanAt(s.start.Add(-1), c.zone).shows(s.start).Add(-1)
	if before.After(shown) {
		return before
	}
	return shown
}

// shows is what the clock shows at a time of the span, as a time of UTC.
func (s span) shows(t time.Time) time.Time { return t.UTC().Add(s.offset) }
