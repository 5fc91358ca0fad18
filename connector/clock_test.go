package connector

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/config"
)

func TestScheduleAfterTheClockWasSet(t *testing.T) {
	brussels := zone(t, "Europe/Brussels")
	for _, test := range []struct {
		name, schedule       string
		ran, next, now, want string // ran: of the last pass; now: after the step
	}{
		{"what is due stays due", "0 6 * * *", "2026-01-01T05:00:00Z", "2026-01-02T05:00:00Z", "2026-01-02T13:00:00Z", "2026-01-02T05:00:00Z"},
		{"an interval that is due stays due", "1h", "2026-01-02T04:00:00Z", "2026-01-02T05:00:00Z", "2030-01-02T13:00:00Z", "2026-01-02T05:00:00Z"},
		{"forward, and not due", "0 6 * * *", "2026-01-01T05:00:00Z", "2026-01-02T05:00:00Z", "2026-01-02T04:00:00Z", "2026-01-02T05:00:00Z"},

		{"a fixed time does not come again", "0 6 * * *", "2026-01-02T05:00:00Z", "2026-01-03T05:00:00Z", "2026-01-02T03:30:00Z", "2026-01-03T05:00:00Z"},
		{"unless the clock was wrong before", "0 6 * * *", "2026-01-02T05:00:00Z", "2026-01-03T05:00:00Z", "2026-01-01T23:30:00Z", "2026-01-02T05:00:00Z"},
		{"back by years", "0 6 * * *", "2031-01-02T05:00:00Z", "2031-01-03T05:00:00Z", "2026-01-01T12:00:00Z", "2026-01-02T05:00:00Z"},
		{"back to where nothing ran", "0 6 * * *", "2026-01-01T05:00:00Z", "2026-01-02T05:00:00Z", "2026-01-01T09:00:00Z", "2026-01-02T05:00:00Z"},

		{"a step that is corrected does not bring the same time again", "*/15 * * * *", "2026-01-02T05:00:00Z", "2026-01-02T05:15:00Z", "2026-01-02T04:59:58Z", "2026-01-02T05:15:00Z"},
		{"nor one of minutes", "*/15 * * * *", "2026-01-02T05:00:00Z", "2026-01-02T05:15:00Z", "2026-01-02T04:45:01Z", "2026-01-02T05:15:00Z"},
		{"every quarter goes on at once when the clock is set back further", "*/15 * * * *", "2026-01-02T05:00:00Z", "2026-01-02T05:15:00Z", "2026-01-02T03:20:00Z", "2026-01-02T03:30:00Z"},
		{"by day only", "*/15 6-22 * * 1-5", "2026-01-02T21:45:00Z", "2026-01-05T05:00:00Z", "2026-01-02T19:50:00Z", "2026-01-05T05:00:00Z"},

		{"an interval is not put off", "1h", "2026-01-02T05:00:00Z", "2026-01-02T06:00:00Z", "2026-01-01T05:30:00Z", "2026-01-01T06:30:00Z"},
		{"an interval that comes soon enough", "1h", "2026-01-02T05:00:00Z", "2026-01-02T06:00:00Z", "2026-01-02T05:05:00Z", "2026-01-02T06:00:00Z"},
	} {
		s := compiled(t, "a", test.schedule, brussels)
		if got := s.stepped(at(test.now), at(test.next), at(test.ran)); !got.Equal(at(test.want)) {
			t.Errorf("%s: %s, ran %s, planned %s: at %s it is %v, want %s", test.name, test.schedule, test.ran, test.next, test.now, got.UTC(), test.want)
		}
	}
	if got := compiled(t, "a", "N/A", brussels).stepped(at("2026-01-01T00:00:00Z"), time.Time{}, time.Time{}); !got.IsZero() {
		t.Error(got)
	}
}

// The program may have been started again since.
func TestStartAfterTheClockWasSetBack(t *testing.T) {
	s := compiled(t, "a", "0 6 * * *", time.UTC)
	if got := s.first(at("2026-01-02T05:59:59Z"), at("2026-01-02T06:00:01Z")); !got.Equal(at("2026-01-03T06:00:00Z")) {
		t.Errorf("a pass that ran comes again at %v", got)
	}
	if got := s.first(at("2026-01-02T05:59:59Z"), at("2031-01-02T06:00:01Z")); !got.Equal(at("2026-01-02T06:00:00Z")) {
		t.Errorf("a pass of a wrong clock puts the next one off until %v", got)
	}
}

// setClock is a wall clock that is set, in a world where no other one is.
type setClock struct{ by atomic.Int64 }

func (test *setClock) now() time.Time                      { return time.Now().Add(time.Duration(test.by.Load())) }
func (test *setClock) step(by time.Duration)               { test.by.Add(int64(by)) }
func (test *setClock) until(t time.Time) (d time.Duration) { return t.Sub(test.now().Round(0)) }

// startAt starts a connector on a clock that shows a time.
func (w *world) startAt(now, schedule, where string) (*Connector, *setClock) {
	w.t.Helper()
	clock := &setClock{}
	clock.step(time.Until(at(now)))
	w.clock = clock.now
	cfg := w.connectorNamed("a", schedule)
	cfg.TimeZone = config.TimeZone{Location: zone(w.t, where)}
	return w.start(cfg), clock
}

// A pass comes when the wall clock shows its time, whatever happened to that
// clock, and what the API tells of the next one is when it comes.
func TestPassesFollowTheWallClock(t *testing.T) {
	for _, test := range []struct {
		name, schedule, zone, from string
		wait                       time.Duration // before the step
		step                       time.Duration
		told                       string // the next pass, soon after the step
		ran                        int    // passes by then
	}{
		{"set forward, not so far", "0 6 * * *", "UTC", "2026-01-01T00:00:00Z", time.Hour, 3 * time.Hour, "2026-01-01T06:00:00Z", 0},
		{"set forward past one pass", "0 6 * * *", "UTC", "2026-01-01T00:00:00Z", time.Hour, 8 * time.Hour, "2026-01-02T06:00:00Z", 1},
		{"set forward past many passes", "*/5 * * * *", "UTC", "2026-01-01T00:01:00Z", time.Minute, 1000 * time.Hour, "2026-02-11T16:05:00Z", 1},
		{"set forward past many intervals", "5m", "UTC", "2026-01-01T00:01:00Z", time.Minute, 1000 * time.Hour, "", 2},
		{"set back before the pass", "0 6 * * *", "UTC", "2026-01-01T05:00:00Z", 30 * time.Minute, -4 * time.Hour, "2026-01-01T06:00:00Z", 0},
		{"set back after the pass", "0 6 * * *", "UTC", "2026-01-01T05:00:00Z", 90 * time.Minute, -time.Hour, "2026-01-02T06:00:00Z", 1},
		{"set back by years", "0 6 * * *", "UTC", "2031-01-01T05:00:00Z", 2 * time.Hour, -5 * 365 * 24 * time.Hour, "2026-01-03T06:00:00Z", 1},
		{"an interval, set back by years", "1h", "UTC", "2031-01-01T05:00:00Z", 10 * time.Minute, -5 * 365 * 24 * time.Hour, "", 1},
		{"asleep over the gap of summer time", "30 2 * * *", "Europe/Brussels", "2027-03-28T00:30:00Z", time.Minute, 10 * time.Hour, "2027-03-29T00:30:00Z", 1},
		{"the gap of summer time", "30 2 * * *", "Europe/Brussels", "2027-03-28T00:30:00Z", time.Hour, 0, "2027-03-29T00:30:00Z", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				c, clock := w.startAt(test.from, test.schedule, test.zone)
				w.pass(test.wait)
				clock.step(test.step)
				w.pass(clockInterval + minStep)
				next := c.Report().Next
				if test.told != "" && !next.Equal(at(test.told)) {
					t.Errorf("the next pass is told for %v, want %s", next, test.told)
				}
				if n := len(w.passes()); n != test.ran {
					t.Errorf("%d passes after the step, want %d", n, test.ran)
				}
				left := clock.until(next)
				if most := c.planner.interval(); most != 0 && left > most*3/2 {
					t.Errorf("the next pass is %v away", left)
				}
				w.pass(left - time.Second)
				if n := len(w.passes()); n != test.ran {
					t.Fatalf("%d passes before the one that was told of, want %d", n, test.ran)
				}
				w.pass(2 * time.Second)
				if n := len(w.passes()); n != test.ran+1 {
					t.Errorf("%d passes after the one that was told of, want %d", n, test.ran+1)
				}
			})
		})
	}
}

// A clock that runs wild starts no storm, and a pass is never due in the past.
func TestClockThatIsSetAgainAndAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c, clock := w.startAt("2026-01-01T00:00:30Z", "* * * * *", "UTC")
		for _, by := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -25 * time.Hour, time.Second, -time.Second} {
			clock.step(by)
			w.pass(5 * time.Minute)
			if left := clock.until(c.Report().Next); left <= 0 || left > time.Minute {
				t.Errorf("after a step by %v the next pass is %v away", by, left)
			}
		}
		var gaps []time.Duration
		for i, p := range w.passes()[1:] {
			gaps = append(gaps, p.Result.Started.Sub(w.passes()[i].Result.Started))
		}
		if n := len(gaps); n < 27 || n > 33 {
			t.Errorf("%d passes in 30 minutes", n+1)
		}
		if longest := slices.Max(gaps); longest > 3*time.Minute {
			t.Errorf("no pass for %v", longest)
		}
	})
}

// A clock that is set back by an hour between the making of a connector and its start, as
// happens at boot, does not put its first pass off by that hour.
func TestClockIsSetWhileTheProgramStarts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var reads atomic.Int64
		w.clock = func() time.Time {
			if reads.Add(1) == 1 { // as the connector is made
				return time.Now()
			}
			return time.Now().Add(-time.Hour)
		}
		w.start(w.connectorNamed("a", "1m"))
		w.pass(2 * time.Minute)
		if n := len(w.passes()); n == 0 {
			t.Errorf("no pass; the next one is at %v", w.connector("a").Report().Next)
		}
	})
}
