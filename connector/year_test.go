package connector

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// onClock is a time of the clock on the wall, without a zone.
type onClock struct {
	year         int
	month        time.Month
	day, hh, min int
}

func shownAt(t time.Time) onClock {
	y, m, d := t.Date()
	return onClock{y, m, d, t.Hour(), t.Minute()}
}

// yearly is an expression, and the same in Go.
type yearly struct {
	cron  string
	fixed bool // comes once for each time that the clock should have shown
	when  func(test onClock, day time.Weekday) bool
}

func expressions() []yearly {
	return []yearly{
		{"30 2 * * *", true, func(test onClock, _ time.Weekday) bool { return test.hh == 2 && test.min == 30 }},
		{"0 0 * * *", true, func(test onClock, _ time.Weekday) bool { return test.hh == 0 && test.min == 0 }},
		{"@daily", true, func(test onClock, _ time.Weekday) bool { return test.hh == 0 && test.min == 0 }},
		{"0,30 1-3 * * *", true, func(test onClock, _ time.Weekday) bool { return test.hh >= 1 && test.hh <= 3 && test.min%30 == 0 }},
		{"15 9 * * 1-5", true, func(test onClock, d time.Weekday) bool {
			return test.hh == 9 && test.min == 15 && d >= time.Monday && d <= time.Friday
		}},
		{"59 23 31 12 *", true, func(test onClock, _ time.Weekday) bool {
			return test.month == 12 && test.day == 31 && test.hh == 23 && test.min == 59
		}},
		{"@hourly", false, func(test onClock, _ time.Weekday) bool { return test.min == 0 }},
		{"*/20 * * * *", false, func(test onClock, _ time.Weekday) bool { return test.min%20 == 0 }},
		{"15 */3 1,15 * *", false, func(test onClock, _ time.Weekday) bool {
			return test.hh%3 == 0 && test.min == 15 && (test.day == 1 || test.day == 15)
		}},
	}
}

// calendars give the times of a year in a zone at which each expression comes, by
// looking at the clock each minute. One that is fixed comes at the first of two
// equal times, and after a gap once if anything of it lies in that.
func calendars(year int, zone *time.Location, es []yearly) [][]time.Time {
	all := make([][]time.Time, len(es))
	first, last := time.Date(year, 1, 1, 0, 0, 0, 0, zone), time.Date(year+1, 1, 1, 0, 0, 0, 0, zone)
	_, was := first.Add(-time.Minute).Zone()
	var latest time.Time // that the clock has shown, as one of UTC
	for t := first; t.Before(last); t = t.Add(time.Minute) {
		_, is := t.Zone()
		shown := t.UTC().Add(time.Duration(is) * time.Second)
		for i, e := range es {
			comes := e.when(shownAt(shown), shown.Weekday()) && !(e.fixed && !shown.After(latest))
			for left := is - was; e.fixed && left > 0; left -= 60 { // what the clock jumped over
				gap := shown.Add(-time.Duration(left) * time.Second)
				comes = comes || e.when(shownAt(gap), gap.Weekday())
			}
			if comes {
				all[i] = append(all[i], t)
			}
		}
		if was = is; shown.After(latest) {
			latest = shown
		}
	}
	return all
}

// The times of whole years are those of a calendar: no time twice, none left out, over
// all changes of the clock.
func TestYearsOfCron(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Europe/Brussels", "America/Santiago", "Australia/Lord_Howe"} {
		where := zone(t, name)
		for _, year := range []int{2028, 2040} {
			calendar := calendars(year, where, expressions())
			for i, e := range expressions() {
				s := compiled(t, "a", e.cron, where)
				end := time.Date(year+1, 1, 1, 0, 0, 0, 0, where)
				var got []time.Time
				for at := s.next(time.Date(year, 1, 1, 0, 0, 0, 0, where).Add(-1)); at.Before(end); at = s.next(at) {
					got = append(got, at)
				}
				want := calendar[i]
				if slices.EqualFunc(got, want, time.Time.Equal) {
					continue
				}
				i = 0
				for i < min(len(got), len(want)) && got[i].Equal(want[i]) {
					i++
				}
				t.Errorf("%s in %s, %d: %d times, want %d; from %v on, want %v", e.cron, name, year, len(got), len(want), got[i:min(i+2, len(got))], want[i:min(i+2, len(want))])
			}
		}
	}
}

// wallTimes are when passes began by the clock on the wall, which was set.
func (test *recordedClock) wallTimes(passes []PassReport) (all []time.Time) {
	for _, p := range passes {
		by := test.steps[0].by
		for _, s := range test.steps {
			if !p.Result.Started.Before(s.at) {
				by = s.by
			}
		}
		all = append(all, p.Result.Started.Round(0).Add(by))
	}
	return all
}

// recordedClock is a wall clock that remembers how it was set.
type recordedClock struct {
	*setClock
	steps []step
}

// step is from when on a clock was wrong by so much.
type step struct {
	at time.Time
	by time.Duration
}

func (test *recordedClock) step(by time.Duration) {
	test.setClock.step(by)
	test.steps = append(test.steps, step{time.Now(), time.Duration(test.by.Load())})
}

// A year of passes on a clock that nobody touches: one for each time of the calendar,
// within the second, and an interval that keeps its step through summer and winter.
func TestYearOfPasses(t *testing.T) {
	for _, test := range []struct{ cron, zone string }{{"30 2 * * *", "Europe/Brussels"}, {"12h", "Europe/Brussels"}} {
		t.Run(test.cron, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				where := zone(t, test.zone)
				c, set := w.startAt("2027-12-31T12:30:00Z", test.cron, test.zone)
				clock := &recordedClock{set, []step{{time.Now(), time.Duration(set.by.Load())}}}
				w.pass(366*24*time.Hour + 36*time.Hour)
				got := clock.wallTimes(w.passes())
				got = slices.DeleteFunc(got, func(at time.Time) bool { return at.In(where).Year() != 2028 })
				if c.planner.interval() > 0 {
					for i := range got[1:] {
						if gap := got[i+1].Sub(got[i]); gap.Round(time.Second) != c.planner.interval() {
							t.Errorf("%v after %v", got[i+1], got[i])
						}
					}
					if len(got) != 732 {
						t.Errorf("%d passes in 366 days", len(got))
					}
					return
				}
				wantPasses(t, got, calendars(2028, where, expressions()[:1])[0], time.Second)
			})
		})
	}
}

// wantPasses wants a pass for each time, not before it, and no later than within.
func wantPasses(t *testing.T, got, want []time.Time, within time.Duration) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d passes, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if late := got[i].Sub(want[i]); late < 0 || late > within {
			t.Fatalf("pass %d at %v, which is %v after %v", i+1, got[i], late, want[i])
		}
	}
}

// A year of a clock that is set by hours every few days, and of a machine that sleeps:
// each day has its pass, once. One that was slept through comes when the machine wakes up.
func TestYearOfAClockThatIsSet(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		where := zone(t, "Europe/Brussels")
		_, set := w.startAt("2027-12-31T12:30:00Z", "30 2 * * *", "Europe/Brussels")
		clock := &recordedClock{set, []step{{time.Now(), time.Duration(set.by.Load())}}}
		random := rand.New(rand.NewPCG(12, 7))
		end := time.Date(2029, 1, 1, 12, 0, 0, 0, where)
		const longest = 9 * time.Hour
		for clock.now().Before(end) {
			w.pass(time.Duration(random.IntN(5*24*60)) * time.Minute)
			if random.IntN(2) == 0 {
				clock.step(-time.Duration(random.Int64N(int64(maxRepeat - time.Minute))))
			} else {
				clock.step(time.Duration(random.Int64N(int64(longest))))
			}
			w.pass(12 * time.Hour) // so that no two of them come together
		}
		got := slices.DeleteFunc(clock.wallTimes(w.passes()), func(at time.Time) bool { return at.In(where).Year() != 2028 })
		wantPasses(t, got, calendars(2028, where, expressions()[:1])[0], longest+clockInterval+minStep)
		if len(clock.steps) < 80 {
			t.Errorf("the clock was set %d times only", len(clock.steps))
		}
	})
}
