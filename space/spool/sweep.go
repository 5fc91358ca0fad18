package spool

import (
	"context"
	"time"
)

// Directories that hold nothing cost no quota, and no import takes them away. They go
// once no client has asked for them, or for something in them, and nothing of them was
// imported, for emptyFor.
const (
	emptyFor   = 24 * time.Hour
	sweepEvery = time.Hour
)

// sweepNowAndThen removes directories that hold nothing until ctx ends.
func (s *Spool) sweepNowAndThen(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		s.sweep(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep removes the directories that nobody uses, with those above that hold nothing
// else and are not used either. The index need not have it at once: what comes back is
// removed again.
func (s *Spool) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*directory // what is in a directory comes after it
	for c := range s.tree.top.below() {
		if c.directory != nil {
			all = append(all, c.directory)
		}
	}
	swept := false
	for i := len(all) - 1; i >= 0; i-- {
		if d := all[i]; len(d.children) == 0 && now.Sub(d.used) >= emptyFor {
			s.tree.dropDirectory(d)
			swept = true
		}
	}
	if swept {
		s.commits.start()
	}
}
