package connector

import (
	"fmt"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/sync/ledger"
)

func TestRetentionGoesByASteadyClock(t *testing.T) {
	const (
		hour  = time.Hour
		days  = 24 * hour
		years = 365 * days
	)
	type look struct {
		shows, elapsed time.Duration // what the clock shows more than before, and how much time that took
		steady         bool
	}
	hours := func(n int, steady bool) (all []look) {
		for range n {
			all = append(all, look{hour, hour, steady})
		}
		return all
	}
	join := func(parts ...[]look) (all []look) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	old := hours(24, false)[:23] // up to where the next hour makes it a day
	for _, c := range []struct {
		name      string
		retention time.Duration
		looks     []look
	}{
		{"a day after the first start", 90 * days, join(old, hours(10, true))},
		{"a restart", 90 * days, join(old, hours(1, true), []look{{hour, 0, true}, {10 * hour, 0, true}, {7 * days, 0, true}})},
		{"apply once a day, by cron", 90 * days, []look{{24 * hour, 0, true}, {25 * hour, 0, true}}},
		{"apply once a week", 90 * days, []look{{7 * days, 0, true}}},
		{"off for a month", 90 * days, join(old, hours(1, true), []look{{30 * days, 0, false}}, old, hours(2, true))},
		{"set forward by years while it runs", 90 * days, join(old, hours(1, true), []look{{5 * years, hour, false}}, old, hours(1, true))},
		{"set forward by years and back", 90 * days, join(old, hours(1, true), []look{{5 * years, hour, false}}, hours(5, false), []look{{-5 * years, hour, false}}, old, hours(1, true))},
		{"starts in another year, and is put right", 90 * days, join(old, hours(1, true), []look{{-50 * years, 0, false}, {50 * years, hour, false}}, old, hours(1, true))},
		{"again and again", 90 * days, []look{{years, 0, false}, {years, 0, false}, {-years, 0, false}, {years, hour, false}}},
		{"a short retention, apply once a day", 2 * days, []look{{25 * hour, 0, true}, {24 * hour, 0, true}}},
		{"a short retention, a jump of days", hour, join(old, hours(1, true), []look{{3 * days, hour, false}})},
		{"a short retention, a late pass", hour, join(old, hours(1, true), []look{{3 * hour, 3 * hour, true}})},
		{"corrected by seconds", 90 * days, join(old, hours(1, true), []look{{hour - 20*time.Second, hour, true}, {-30 * time.Second, 0, true}})},
	} {
		now := at("2026-01-01T00:00:00Z")
		clock := observe(ledger.Clock{}, now, 0, c.retention)
		if steady(clock) {
			t.Errorf("%s: steady when it is seen first", c.name)
		}
		for i, l := range c.looks {
			now = now.Add(l.shows)
			if clock = observe(clock, now, l.elapsed, c.retention); steady(clock) != l.steady {
				t.Errorf("%s: look %d: steady %v", c.name, i, steady(clock))
			}
		}
	}
}

// copies lets each pass copy a file, so that the ledger keeps all of them.
func (w *world) copies(c *Connector, n int) {
	w.t.Helper()
	for range n {
		w.src.Put(fmt.Sprint("f", w.files), "text", at("2020-01-01T00:00:00Z"))
		w.files++
		w.pass(time.Hour)
	}
	if w.connector(c.Name()) != c {
		w.t.Fatal("it was replaced")
	}
}

func (w *world) remembered(c *Connector) int {
	w.t.Helper()
	passes, err := c.Ledger().Passes(w.t.Context(), 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(passes)
}

// What happened lately is still known after the clock went ahead by years and
// back, with restarts on the way; what is old goes when the clock is steady.
func TestNothingRecentIsForgottenWhenTheClockJumps(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const years = 5 * 365 * 24 * time.Hour
		clock := &setClock{}
		w.clock = clock.now
		cfg := w.connectorNamed("a", "1h")
		cfg.Retention = config.Duration(100 * time.Hour)
		c := w.start(cfg)
		w.copies(c, 30) // retention goes by the clock by now
		clock.step(years)
		w.copies(c, 10)
		w.end()
		c = w.start(cfg)
		w.copies(c, 5)
		clock.step(-years)
		w.copies(c, 5)
		w.end()
		c = w.start(cfg)
		w.copies(c, 30)
		before := w.remembered(c)
		if before < 75 {
			t.Errorf("%d passes are known, of 80", before)
		}
		w.pass(100 * time.Hour)
		w.copies(c, 2)
		if n := w.remembered(c); n > 10 {
			t.Errorf("%d passes are known after the retention", n)
		}
	})
}

// A retention that takes long does not hold up passes.
func TestPassesGoOnBesideTheRetention(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.start(w.connectorNamed("a", "1h"))
		w.copies(c, 26)
		c.pruner.mu.Lock()
		c.pruner.busy = true // as if it had not ended
		c.pruner.mu.Unlock()
		w.copies(c, 2)
		if n := len(w.passes()); n < 28 {
			t.Errorf("%d passes beside a long retention", n)
		}
	})
}
