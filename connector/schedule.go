package connector

import (
	"hash/fnv"
	"time"

	"github.com/robfig/cron/v3"

	"sftpconnector/config"
)

// firstSpread is the time over which elements that are due at the start of the
// program are spread.
const firstSpread = 5 * time.Second

// schedule says when an element's automatic passes start.
type schedule struct {
	interval time.Duration // of an interval
	cron     cron.Schedule // of a cron expression, in its zone
	zone     *time.Location
	phase    uint64 // tells elements apart, so that they do not start together
}

// newSchedule compiles what config has validated.
func newSchedule(name string, s config.Schedule, zone *time.Location) (schedule, error) {
	h := fnv.New64a()
	h.Write([]byte(name))
	if zone == nil {
		zone = time.UTC
	}
	out := schedule{interval: s.Interval, zone: zone, phase: h.Sum64()}
	if s.Cron == "" {
		return out, nil
	}
	parsed, err := cron.ParseStandard(s.Cron)
	out.cron = parsed
	return out, err
}

// first is the first pass after the program has started, when the last one of
// an earlier run started at last (zero: never). An interval that has passed is
// due at once; a missed time of a cron expression is not made up. Zero: never.
func (s schedule) first(now, last time.Time) time.Time {
	switch {
	case s.cron != nil:
		return s.next(now)
	case s.interval == 0:
		return time.Time{}
	}
	if due := last.Add(s.interval); !last.IsZero() && due.After(now) {
		// A clock that was set back must not put the pass off for long.
		return earlier(due, now.Add(s.interval))
	}
	return now.Add(s.offset(min(s.interval/2, firstSpread)))
}

// next is the pass after the one that was due at tick. Intervals settle on a
// grid of their own, so that elements which once started together do not go on
// doing so: the first step is half an interval to one and a half.
func (s schedule) next(tick time.Time) time.Time {
	switch {
	case s.cron != nil:
		return s.cron.Next(tick.In(s.zone))
	case s.interval == 0:
		return time.Time{}
	}
	earliest := tick.Add(s.interval / 2)
	grid := earliest.Truncate(s.interval).Add(s.offset(s.interval))
	if grid.Before(earliest) {
		grid = grid.Add(s.interval)
	}
	return grid
}

// offset is the element's own part of a span.
func (s schedule) offset(span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	return time.Duration(s.phase % uint64(span))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
