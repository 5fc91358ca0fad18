package backoff_test

import (
	"math"
	"testing"
	"time"

	"sftpconnector/backoff"
)

const (
	ms = time.Millisecond
	s  = time.Second
	m  = time.Minute
)

func TestWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy  backoff.Policy
		waits   []time.Duration // after the first failure and those that follow
		longest time.Duration
	}{
		"file":         {backoff.File, []time.Duration{m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, 60 * m}, time.Hour},
		"login":        {backoff.Login, []time.Duration{m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, 60 * m}, time.Hour},
		"connection":   {backoff.Connection, []time.Duration{s, 2 * s, 4 * s}, 4 * s},
		"import":       {backoff.Import, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, m}, m},
		"unconfigured": {backoff.Unconfigured, []time.Duration{5 * m}, 5 * m},
		"connector":    {backoff.Connector, []time.Duration{s}, s},
		"ledger":       {backoff.Ledger, []time.Duration{5 * s}, 5 * s},
		"handle":       {backoff.Handle, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, s}, s},
		"size":         {backoff.Size, []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 2 * s}, 2 * s},
		"listen":       {backoff.Listen, []time.Duration{5 * ms, 10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, s}, s},
		"sweep":        {backoff.Sweep, []time.Duration{m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, 60 * m}, time.Hour},
		"guess":        {backoff.Guess, []time.Duration{250 * ms, 500 * ms, s, 2 * s, 4 * s}, 4 * s},
	} {
		for i, want := range c.waits {
			if got := c.policy.Wait(i + 1); got != want {
				t.Errorf("%s: %v after %d failures, want %v", name, got, i+1, want)
			}
		}
		for n, want := range map[int]time.Duration{math.MinInt: c.waits[0], 0: c.waits[0], len(c.waits) + 1: c.longest, math.MaxInt: c.longest} {
			if got := c.policy.Wait(n); got != want {
				t.Errorf("%s: %v after %d failures, want %v", name, got, n, want)
			}
		}
		if got := c.policy.Longest(); got != c.longest {
			t.Errorf("%s: the longest is %v, want %v", name, got, c.longest)
		}
	}
}

// A posting waits from half to all of its time, whose length differs each time.
func TestJitter(t *testing.T) {
	t.Parallel()
	for n, full := range map[int]time.Duration{0: s, 1: s, 2: 2 * s, 3: 4 * s, 9: 256 * s, 10: 5 * m, 100: 5 * m, math.MaxInt: 5 * m} {
		least, most := full, time.Duration(0)
		for range 1000 {
			d := backoff.Posting.Wait(n)
			if least, most = min(least, d), max(most, d); d < full/2 || d > full {
				t.Fatalf("after %d failures %v, want %v to %v", n, d, full/2, full)
			}
		}
		if most-least < full*2/5 {
			t.Errorf("after %d failures from %v to %v in 1,000 draws: no jitter", n, least, most)
		}
	}
}
