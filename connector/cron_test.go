package connector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ticks gives the times of an expression behind a time, as the clock of the zone
// shows them.
func ticks(s schedule, from time.Time, n int) (all []string) {
	for t := from; len(all) < n; {
		if t = s.next(t); t.IsZero() {
			return append(all, "never")
		}
		all = append(all, t.Format("Jan _2 15:04 -0700"))
	}
	return all
}

// Where the clock jumps forward a fixed time in the gap comes once, right after
// it, and where it goes back a fixed time comes once, the first time. All else
// goes by what the clock shows.
func TestCronOverChangesOfTheClock(t *testing.T) {
	const (
		brussels, santiago, lord = "Europe/Brussels", "America/Santiago", "Australia/Lord_Howe"
		spring, autumn           = "2027-03-28T00:45:00+01:00", "2027-10-31T01:10:00+02:00"
	)
	for _, c := range []struct {
		cron, zone, from string
		want             []string
	}{
		{"30 2 * * *", brussels, spring, []string{"Mar 28 03:00 +0200", "Mar 29 02:30 +0200"}},
		{"30 2 28 3 *", brussels, spring, []string{"Mar 28 03:00 +0200", "Mar 28 02:30 +0200"}}, // and in 2028
		{"0 2 * * *", brussels, spring, []string{"Mar 28 03:00 +0200", "Mar 29 02:00 +0200"}},
		{"0,30 1-3 * * *", brussels, spring, []string{"Mar 28 01:00 +0100", "Mar 28 01:30 +0100", "Mar 28 03:00 +0200", "Mar 28 03:30 +0200", "Mar 29 01:00 +0200"}},
		{"59 1 * * *", brussels, spring, []string{"Mar 28 01:59 +0100", "Mar 29 01:59 +0200"}},
		{"0 3 * * *", brussels, spring, []string{"Mar 28 03:00 +0200", "Mar 29 03:00 +0200"}},
		{"@hourly", brussels, spring, []string{"Mar 28 01:00 +0100", "Mar 28 03:00 +0200", "Mar 28 04:00 +0200"}},
		{"*/30 * * * *", brussels, spring, []string{"Mar 28 01:00 +0100", "Mar 28 01:30 +0100", "Mar 28 03:00 +0200", "Mar 28 03:30 +0200"}},
		{"*/15 2 * * *", brussels, spring, []string{"Mar 29 02:00 +0200", "Mar 29 02:15 +0200"}},
		{"0 */2 * * *", brussels, spring, []string{"Mar 28 04:00 +0200", "Mar 28 06:00 +0200"}},

		{"30 2 * * *", brussels, autumn, []string{"Oct 31 02:30 +0200", "Nov  1 02:30 +0100"}},
		{"30 2 31 10 *", brussels, autumn, []string{"Oct 31 02:30 +0200", "Oct 31 02:30 +0100"}}, // and in 2028
		{"0 3 * * *", brussels, autumn, []string{"Oct 31 03:00 +0100", "Nov  1 03:00 +0100"}},
		{"10,50 2 * * *", brussels, autumn, []string{"Oct 31 02:10 +0200", "Oct 31 02:50 +0200", "Nov  1 02:10 +0100"}},
		{"30 2 * * *", brussels, "2027-10-31T02:10:00+01:00", []string{"Nov  1 02:30 +0100"}}, // in the second of the two hours
		{"@hourly", brussels, autumn, []string{"Oct 31 02:00 +0200", "Oct 31 02:00 +0100", "Oct 31 03:00 +0100"}},
		{"*/30 2 * * *", brussels, autumn, []string{"Oct 31 02:00 +0200", "Oct 31 02:30 +0200", "Oct 31 02:00 +0100", "Oct 31 02:30 +0100", "Nov  1 02:00 +0100"}},

		// At midnight.
		{"0 0 * * *", santiago, "2026-09-05T12:00:00-04:00", []string{"Sep  6 01:00 -0300", "Sep  7 00:00 -0300"}},
		{"0 0 6 9 *", santiago, "2026-09-05T12:00:00-04:00", []string{"Sep  6 01:00 -0300", "Sep  6 00:00 -0300"}},
		{"@midnight", santiago, "2026-09-05T12:00:00-04:00", []string{"Sep  6 01:00 -0300", "Sep  7 00:00 -0300"}},
		{"30 23 * * *", santiago, "2026-04-04T12:00:00-03:00", []string{"Apr  4 23:30 -0300", "Apr  5 23:30 -0400"}},
		{"0 0 * * *", santiago, "2026-04-04T12:00:00-03:00", []string{"Apr  5 00:00 -0400", "Apr  6 00:00 -0400"}},
		{"@hourly", santiago, "2026-04-04T22:30:00-03:00", []string{"Apr  4 23:00 -0300", "Apr  4 23:00 -0400", "Apr  5 00:00 -0400"}},

		// By half an hour.
		{"15 2 * * *", lord, "2026-10-03T20:00:00+10:30", []string{"Oct  4 02:30 +1100", "Oct  5 02:15 +1100"}},
		{"0 3 * * *", lord, "2026-10-03T20:00:00+10:30", []string{"Oct  4 03:00 +1100", "Oct  5 03:00 +1100"}},
		{"*/20 * * * *", lord, "2026-10-04T01:30:00+10:30", []string{"Oct  4 01:40 +1030", "Oct  4 02:40 +1100", "Oct  4 03:00 +1100"}},
		{"45 1 * * *", lord, "2026-04-04T20:00:00+11:00", []string{"Apr  5 01:45 +1100", "Apr  6 01:45 +1030"}},
		{"*/30 * * * *", lord, "2026-04-05T01:15:00+11:00", []string{"Apr  5 01:30 +1100", "Apr  5 01:30 +1030", "Apr  5 02:00 +1030"}},

		{"30 2 * * *", "UTC", spring, []string{"Mar 28 02:30 +0000", "Mar 29 02:30 +0000"}},
		{"0 0 29 2 *", "UTC", spring, []string{"Feb 29 00:00 +0000"}},
		{"0 0 29 2 *", brussels, spring, []string{"Feb 29 00:00 +0100"}},
	} {
		s := compiled(t, "a", c.cron, zone(t, c.zone))
		if got := ticks(s, at(c.from), len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s in %s: %v\nwant %v", c.cron, c.zone, got, c.want)
		}
	}
}

// From some year on a zone is a rule, and Go takes each of its years for one of 365
// days: the last day of a leap year is a day like others.
func TestCronOnTheLastDayOfALeapYear(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"Europe/Brussels", "America/Santiago", "Australia/Lord_Howe"} {
		for _, expression := range []string{"30 2 * * *", "*/30 * * * *", "0 0 1 1 *", "0 0 29 2 *"} {
			s := compiled(t, "a", expression, zone(t, where))
			done := make(chan time.Time, 1)
			go func() { done <- s.next(at("2040-12-30T12:00:00Z")) }()
			select {
			case next := <-done:
				if shown := next.Format("15:04"); shown != "02:30" && shown != "00:00" && expression != "*/30 * * * *" || next.Before(at("2040-12-30T12:00:00Z")) {
					t.Errorf("%s in %s: %v", expression, where, next)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s in %s: no next time is found", expression, where)
			}
		}
	}
}

// naive gives the times at which a clock shows an expression's fields, minute by minute.
func naive(s schedule, from, to time.Time) (all []time.Time) {
	plain := s.cron.spec
	for t := from.Truncate(time.Minute).Add(time.Minute); t.Before(to); t = t.Add(time.Minute) {
		shown := spanAt(t, s.cron.zone).shows(t)
		if plain.Next(shown.Add(-time.Second)).Equal(shown) {
			all = append(all, t)
		}
	}
	return all
}

// An expression that is not fixed comes exactly when the clock shows it, and a
// fixed one of a single time once for every day, in their order.
func TestCronMissesNothing(t *testing.T) {
	zones := []string{"Europe/Brussels", "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca", "UTC"}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(1_700_000_000, 2_000_000_000).Draw(t, "from"), 0)
		where, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		// The days around a change are the interesting ones.
		if _, end := at.In(where).ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(t, "at a change") {
			at = end.Add(-time.Duration(rapid.IntRange(0, 3000).Draw(t, "minutes before")) * time.Minute)
		}
		minute, hour := rapid.IntRange(0, 59).Draw(t, "minute"), rapid.IntRange(0, 23).Draw(t, "hour")
		end := at.Add(4 * 24 * time.Hour)
		free := compiled(t, "a", fmt.Sprintf("%d */%d * * *", minute, hour/6+1), where)
		var got []time.Time
		for at := free.next(at); at.Before(end); at = free.next(at) {
			got = append(got, at)
		}
		if want := naive(free, at, end); !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%v\nwant %v", got, want)
		}
		fixed := compiled(t, "a", fmt.Sprintf("%d %d * * *", minute, hour), where)
		last := fixed.next(at)
		for last.Before(end) {
			next := fixed.next(last)
			if days := next.Sub(last).Hours() / 24; days < 0.9 || days > 1.1 {
				t.Fatalf("%v after %v", next, last)
			}
			for _, between := range []time.Duration{time.Second, time.Hour, next.Sub(last) - time.Second} {
				if again := fixed.next(last.Add(between)); !again.Equal(next) {
					t.Fatalf("%v, and %v from %v after it", next, again, between)
				}
			}
			last = next
		}
	})
}
