package sync

import (
	"context"
	"sync"
	"sync/atomic"
)

// Files that are written side by side take the room of a full destination from
// each other, until all of them give it up. Those that found none while others
// were under way are put aside, and tried one by one once the others are done.

// squeezed are the files that were put aside.
type squeezed struct {
	writing atomic.Int64 // files that are being written
	begun   atomic.Int64 // that ever were

	mu   sync.Mutex
	jobs []job
}

// enter notes that a file is about to be written. What it gives is called when
// that has ended, and reports whether another one was written meanwhile.
func (s *squeezed) enter() (leave func() (beside bool)) {
	beside, nth := s.writing.Add(1) > 1, s.begun.Add(1)
	return func() bool {
		s.writing.Add(-1)
		return beside || s.begun.Load() != nth
	}
}

// putAside keeps a file for later, unless there are many.
func (s *squeezed) putAside(j job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) >= maxMisfits {
		return false
	}
	s.jobs = append(s.jobs, j)
	return true
}

// copySqueezed tries the files that were put aside, alone. Their names are still claimed.
func (p *Pass) copySqueezed(ctx context.Context) error {
	for _, j := range p.squeezed.jobs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := p.copyClaimed(ctx, j, true); err != nil {
			return err
		}
	}
	return nil
}
