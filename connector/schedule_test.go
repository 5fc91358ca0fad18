package connector

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sftpconnector/config"
)

func compiled(t interface {
	Helper()
	Fatal(...any)
}, name, text string, zone *time.Location) schedule {
	t.Helper()
	parsed, err := config.ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSchedule(name, parsed, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// at is a time of the tests.
func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestNoSchedule(t *testing.T) {
	s := compiled(t, "a", "N/A", time.UTC)
	now := at("2026-01-01T00:00:00Z")
	if f, n := s.first(now, now.Add(-time.Hour)), s.next(now); !f.IsZero() || !n.IsZero() {
		t.Errorf("first %v, next %v, want never", f, n)
	}
}

// The first step is from half an interval to one and a half, each later one
// exactly an interval.
func TestIntervalSettlesOnItsGrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(1, 400*24*3600).Draw(t, "seconds")) * time.Second
		s := schedule{interval: interval, phase: rapid.Uint64().Draw(t, "phase")}
		tick := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "now"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).UTC()
		next := s.next(tick)
		if gap := next.Sub(tick); gap < interval/2 || gap > interval*3/2 {
			t.Fatalf("the first gap is %v of %v", gap, interval)
		}
		for range 5 {
			after := s.next(next)
			if gap := after.Sub(next); gap != interval {
				t.Fatalf("a gap is %v, not %v", gap, interval)
			}
			next = after
		}
	})
}

func TestIntervalsAreSpread(t *testing.T) {
	const names, buckets = 1000, 10
	now := at("2026-01-01T00:00:00Z")
	var first, next [buckets]int
	for i := range names {
		s := compiled(t, fmt.Sprintf("connector-%d", i), "15m", time.UTC)
		f := s.first(now, time.Time{})
		if f.Before(now) || f.Sub(now) >= firstSpread {
			t.Fatalf("the first pass is %v after the start", f.Sub(now))
		}
		first[f.Sub(now)*buckets/firstSpread]++
		n := s.next(f)
		next[n.Sub(n.Truncate(15*time.Minute))*buckets/(15*time.Minute)]++
	}
	for i := range buckets {
		// 100 are expected in each; 10 is the standard deviation.
		if first[i] < 60 || first[i] > 140 || next[i] < 60 || next[i] > 140 {
			t.Fatalf("not spread evenly: first %v, later %v", first, next)
		}
	}
}

func TestFirstAfterRestart(t *testing.T) {
	now := at("2026-01-01T12:00:00Z")
	s := compiled(t, "a", "1h", time.UTC)
	for _, c := range []struct {
		name     string
		last     time.Time
		from, to time.Duration // after now
	}{
		{"never ran", time.Time{}, 0, firstSpread},
		{"ran a while ago", now.Add(-20 * time.Minute), 40 * time.Minute, 40 * time.Minute},
		{"is due", now.Add(-time.Hour), 0, firstSpread},
		{"is overdue", now.Add(-100 * time.Hour), 0, firstSpread},
		{"ran in the future, as the clock was set back", now.Add(50 * time.Hour), time.Hour, time.Hour},
	} {
		if got := s.first(now, c.last).Sub(now); got < c.from || got > c.to {
			t.Errorf("%s: after %v, want %v to %v", c.name, got, c.from, c.to)
		}
	}
	if got := compiled(t, "a", "0 * * * *", time.UTC).first(now, now.Add(-100*time.Hour)); !got.Equal(at("2026-01-01T13:00:00Z")) {
		t.Errorf("a missed cron tick is made up at %v", got)
	}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCronInItsZone(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone, now string
		want                  []string
	}{
		{"in UTC", "30 6 * * *", "UTC", "2026-01-01T00:00:00Z", []string{"2026-01-01T06:30:00Z", "2026-01-02T06:30:00Z"}},
		{"in another zone", "30 6 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", []string{"2026-01-01T01:00:00Z", "2026-01-02T01:00:00Z"}},
		{"on workdays", "0 9 * * 1-5", "UTC", "2026-01-02T10:00:00Z", []string{"2026-01-05T09:00:00Z"}},
		{"summer time begins", "30 6 * * *", "Europe/Brussels", "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T05:30:00Z", "2026-03-29T04:30:00Z", "2026-03-30T04:30:00Z"}},
		{"summer time ends", "30 6 * * *", "Europe/Brussels", "2026-10-24T00:00:00Z",
			[]string{"2026-10-24T04:30:00Z", "2026-10-25T05:30:00Z"}},
		{"in the hour that is left out", "30 2 * * *", "Europe/Brussels", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		{"every quarter over the change", "*/15 * * * *", "Europe/Brussels", "2026-03-29T00:50:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"}},
	} {
		s := compiled(t, "a", c.cron, zone(t, c.zone))
		tick := at(c.now)
		for i, want := range c.want {
			next := s.next
			if i == 0 {
				next = func(now time.Time) time.Time { return s.first(now, time.Time{}) }
			}
			if tick = next(tick); !tick.Equal(at(want)) {
				t.Errorf("%s: tick %d at %v, want %s", c.name, i+1, tick.UTC(), want)
			}
		}
	}
}
