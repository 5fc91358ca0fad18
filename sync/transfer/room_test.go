package transfer

import (
	"testing"
	"testing/synctest"
	"time"
)

// A size that found no room is tried again soon enough for a connector whose interval
// is short, and else as rarely as a file that failed.
func TestHoldOfASizeThatFoundNoRoom(t *testing.T) {
	for name, test := range map[string]struct {
		longest     time.Duration
		first, late time.Duration // the hold after one try, and after five
	}{
		"as a file that failed": {0, time.Minute, 16 * time.Minute},
		"no longer than":        {20 * time.Second, 20 * time.Second, 20 * time.Second},
		"longer than that":      {5 * time.Minute, time.Minute, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m room
				small, large := &reservation{dir: "d", size: 9}, &reservation{dir: "d", size: 10}
				m.noteFull(large, test.longest)
				if !m.heldUntil(small, false, test.longest).IsZero() || !m.heldUntil(large, true, test.longest).IsZero() {
					t.Error("a smaller file is held, or one that somebody asks for")
				}
				want := test.first
				for try := range 5 {
					until := m.heldUntil(large, false, test.longest)
					if got := time.Until(until); try == 0 && got != want || try == 4 && got != test.late {
						t.Errorf("after try %d it is held for %s", try+1, got)
					}
					time.Sleep(time.Until(until))
					if !m.heldUntil(large, false, test.longest).IsZero() { // it is tried
						t.Errorf("try %d is not let through", try+2)
					}
				}
			})
		})
	}
}
