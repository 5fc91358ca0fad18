package spool

import "time"

// touch starts the wait for an upload to be left alone. The caller holds s.mu.
func (s *Spool) touch(f *file, o *object) {
	o.touched = time.Now()
	s.await(f, s.o.Quiet)
}

// await has somebody look at a file in a while. The caller holds s.mu.
func (s *Spool) await(f *file, d time.Duration) {
	s.soon[f] = true
	if s.timer == nil && !s.closed {
		s.timer = time.AfterFunc(d, s.wake)
	}
}

// wakeSoon has the look come at once, but for others that come along. The caller
// holds s.mu.
func (s *Spool) wakeSoon(f *file) {
	const soon = 10 * time.Millisecond
	if s.timer != nil && s.timer.Stop() { // else it has ended, and wake is about to look
		s.timer.Reset(soon)
	}
	s.await(f, soon)
}

// wake looks which files have become ready, and tells of it.
func (s *Spool) wake() {
	s.mu.Lock()
	s.timer = nil
	ready := false
	next := s.o.Quiet
	now := time.Now()
	for f := range s.soon {
		if len(f.received) > 0 {
			if left := s.o.Quiet - now.Sub(f.received[0].touched); left > 0 {
				next = min(next, left)
				continue
			}
		}
		delete(s.soon, f)
		ready = ready || f.ready(now, s.o.Quiet) != nil
	}
	if len(s.soon) > 0 && !s.closed {
		s.timer = time.AfterFunc(max(next, 10*time.Millisecond), s.wake) // a little later, for more at a time
	}
	ready = ready && !s.closed
	s.mu.Unlock()
	if ready && s.o.OnChange != nil {
		s.o.OnChange()
	}
}

// state says what becomes of an upload that was received. The caller holds s.mu.
func (f *file) state(o *object, now time.Time, quiet time.Duration) (State, time.Time) {
	switch {
	case f.temporary:
		return Temporary, o.touched
	case isUnsafe(f.path()):
		return Unsafe, o.touched
	case now.Sub(o.touched) < quiet:
		return Waiting, o.touched
	}
	return Ready, o.touched.Add(quiet)
}

// ready gives the upload of a file that may be imported; nil for none. One of a name
// that no destination takes may, too: the import says so. The caller holds s.mu.
func (f *file) ready(now time.Time, quiet time.Duration) *object {
	if len(f.received) == 0 || f.held() || f.temporary || f.received[0].moving || now.Sub(f.received[0].touched) < quiet {
		return nil
	}
	return f.received[0]
}

// writerGone notes that nobody writes a file any more. What was received of it was held
// back meanwhile. The caller holds s.mu.
func (s *Spool) writerGone(f *file) {
	f.writer = nil
	if len(f.received) > 0 {
		s.touch(f, f.received[0])
	}
	s.tree.tidy(f)
}
