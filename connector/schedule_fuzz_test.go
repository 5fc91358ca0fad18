package connector

import (
	"testing"
	"time"

	"sftpconnector/config"
)

// FuzzScheduleTimes: whatever is scheduled in whatever zone, from whatever moment:
// the next pass lies behind that moment and is found at once, those that follow
// come one after the other, and a step of the clock puts none into the past.
func FuzzScheduleTimes(f *testing.F) {
	zones := []*time.Location{time.UTC}
	for _, name := range []string{"Europe/Brussels", "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia", "Antarctica/Troll", "America/Sao_Paulo"} {
		where, err := time.LoadLocation(name)
		if err != nil {
			f.Fatal(err)
		}
		zones = append(zones, where)
	}
	const second = int64(time.Second)
	for i, text := range []string{
		"*/15 6-22 * * 1-5", "30 2 * * *", "0 0 29 2 *", "@hourly", "*/30 2 * * *", "0 0 30 12 *", "15m", "366d", "1s", "59 23 31 12 0", "0 0 29 2 1", "? 1 * * *",
	} {
		f.Add(text, uint8(i), int64(1_700_000_000+i*7_000_000)*second, int64(i-6)*3600*second)
		f.Add(text, uint8(i+1), int64(2_240_000_000+i*86_400)*second, -second) // the end of 2040
	}
	f.Fuzz(func(t *testing.T, text string, where uint8, from, step int64) {
		parsed, err := config.ParseSchedule(text)
		if err != nil {
			return
		}
		zone := zones[int(where)%len(zones)]
		s, err := newSchedule("a", parsed, zone)
		if err != nil {
			t.Fatalf("%q was taken by the configuration: %v", text, err)
		}
		began := time.Now()
		now := time.Unix(0, from)
		tick := now
		for range 4 {
			next := s.next(tick)
			if next.IsZero() {
				break
			}
			if !next.After(tick) {
				t.Fatalf("%q in %s: %v comes after %v", text, zone, next, tick)
			}
			if s.cron != nil && next.Second() != 0 {
				t.Errorf("%q in %s: %v is within a minute", text, zone, next)
			}
			tick = next
		}
		ran, next := tick, s.next(tick)
		later := now.Add(time.Duration(step))
		for what, got := range map[string]time.Time{
			"first": s.first(later, ran), "stepped": s.stepped(later, next, ran), "first ever": s.first(later, time.Time{}),
		} {
			if got.Before(later) && !got.IsZero() && !(what == "stepped" && got.Equal(next)) {
				t.Errorf("%q in %s, ran at %v, at %v: %s is %v, which is past", text, zone, ran, later, what, got)
			}
			if s.interval > 0 && got.Sub(later) > s.interval {
				t.Errorf("%q at %v: %s is %v, which is further than an interval", text, later, what, got)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%q in %s from %v takes %v", text, zone, now, took)
		}
	})
}
