package connector

import (
	"hash/fnv"
	"time"

	"github.com/robfig/cron/v3"

	"sftpconnector/config"
)

// firstSpread is the time over which connectors that are due at the start of the
// program are spread.
const firstSpread = 5 * time.Second

// maxRepeat is how far a clock may be set back for a cron expression not to come
// again where it came already. One that was set back further was wrong before.
const maxRepeat = 3 * time.Hour

// schedule says when a connector's automatic passes start. All its times are of
// the wall clock.
type schedule struct {
	interval time.Duration // of an interval
	cron     *cronTimes    // of a cron expression
	phase    uint64        // tells connectors apart, so that they do not start together
	zone     *time.Location
}

// newSchedule compiles what config has validated.
func newSchedule(name string, s config.Schedule, zone *time.Location) (schedule, error) {
	h := fnv.New64a()
	h.Write([]byte(name))
	if zone == nil {
		zone = time.UTC
	}
	out := schedule{interval: s.Interval, phase: h.Sum64(), zone: zone}
	if s.Cron == "" {
		return out, nil
	}
	spec, err := cron.ParseStandard(s.Cron)
	out.cron = &cronTimes{spec: spec, zone: zone, fixed: s.FixedTime()}
	return out, err
}

// first is the first pass after the program has started, when the last one of
// an earlier run started at last (zero: never). An interval that has passed is
// due at once; a missed time of a cron expression is not made up. Zero: never.
func (s schedule) first(now, last time.Time) time.Time {
	switch {
	case s.cron != nil:
		return s.cron.next(s.done(now, last))
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
// grid of their own, so that connectors which once started together do not go on
// doing so: the first step is half an interval to one and a half.
func (s schedule) next(tick time.Time) time.Time {
	switch {
	case s.cron != nil:
		return s.cron.next(tick)
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

// runs gives at most n runs from the first of them on, in the connector's time zone.
func (s schedule) runs(first time.Time, n int) []time.Time {
	var all []time.Time
	for at := first; !at.IsZero() && len(all) < n; at = s.next(at) {
		all = append(all, at.In(s.zone))
	}
	return all
}

// stepped is the next pass after the clock was set or the machine slept, when
// next was planned and the last one was due at ran (zero: there was none). What
// is due now stays due, once. An interval is not put off for long; a cron
// expression follows the clock.
func (s schedule) stepped(now, next, ran time.Time) time.Time {
	switch {
	case next.IsZero() || !next.After(now):
		return next
	case s.cron != nil:
		return s.cron.next(s.done(now, ran))
	}
	return earlier(next, now.Add(s.interval))
}

// done is up to where the times of a cron expression are done with, when the
// last pass was due at ran. That is now, or ran, if the clock was set back since
// by so little that the same times would come twice: for a fixed expression by
// up to maxRepeat, for any other by less than it takes from one to the next.
func (s schedule) done(now, ran time.Time) time.Time {
	if !ran.After(now) {
		return now
	}
	most := maxRepeat
	if !s.cron.fixed {
		most = min(most, s.cron.next(ran).Sub(ran))
	}
	if ran.Sub(now) > most {
		return now
	}
	return ran
}

// offset is the connector's own part of a span.
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
