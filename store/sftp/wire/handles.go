package wire

import (
	"errors"
	"slices"
)

// ErrHandleReused is the error of a request under a handle that the server has given
// out again while it was open. What is read or written under it may belong to the other
// file.
var ErrHandleReused = errors.New("the server gave out one handle for two things that are open")

// handles are the open handles of a session: from the answer that gives one out until
// the answer of its CLOSE, whatever that is. Only the receiver of answers uses it, so
// that it sees them in their order.
type handles struct {
	open   map[Handle]int      // number of owners
	reused map[Handle]struct{} // the open handles that have had more than one owner
}

func newHandles() handles {
	return handles{open: make(map[Handle]int), reused: make(map[Handle]struct{})}
}

// add notes one more owner, and reports whether it is the only one. If not, the handle
// counts as reused for all of them until each has closed it, as the server may still
// close it for one of them.
func (h *handles) add(handle Handle) bool {
	h.open[handle]++
	if h.open[handle] == 1 {
		return true
	}
	h.reused[handle] = struct{}{}
	return false
}

// remove notes one owner less.
func (h *handles) remove(handle Handle) {
	h.open[handle]--
	if h.open[handle] <= 0 {
		delete(h.open, handle)
		delete(h.reused, handle)
	}
}

// isReused reports whether a handle was given out again while it was open.
func (h *handles) isReused(handle Handle) bool {
	if len(h.reused) == 0 {
		return false
	}
	_, spoiled := h.reused[handle]
	return spoiled
}

// settle finishes an answered call, and notes what its answer means for the handles of
// the session.
func (s *Session) settle(c *Call) {
	if c.on != "" && s.handles.isReused(c.on) {
		c.Err = ErrHandleReused
	}
	switch {
	case c.kind == kindHandle && c.Err == nil:
		if !s.handles.add(c.Handle) {
			s.refuse(c)
			return
		}
		s.opened()
	case c.kind == kindHandle:
		s.freed(0)
	case c.kind == kindClose:
		s.handles.remove(c.on)
		s.freed(1)
	}
	c.finish(c.Err)
}

// refuse closes a handle that was open already, and fails the call that it was given
// to. The call returns once the server has closed the handle, so that its caller may
// rely on that. From here on the session has one handle at a time.
func (s *Session) refuse(c *Call) {
	s.LimitHandles(1)
	s.CloseFile(&Call{Then: func(*Call) {
		err := s.Err()
		if err == nil {
			err = ErrHandleReused
		}
		c.finish(err)
	}}, c.Handle)
}

// slots bounds the handles that may be open at a time. The session's mutex guards it.
type slots struct {
	limit   int // 0: any number
	used    int // by handles that are open, being opened, or being closed
	open    int // of these, the ones that are not being opened
	waiting []queuedOpen
}

// queuedOpen is an OPEN or OPENDIR that is not sent yet and waits for a slot.
type queuedOpen struct {
	call *Call
	typ  byte
	path string
	tail []byte
}

// LimitHandles lets no more than n handles be open at a time from now on. A further
// OPEN or OPENDIR is sent when the server has closed another handle. A limit is never
// raised again.
func (s *Session) LimitHandles(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots.limit == 0 || n < s.slots.limit {
		s.slots.limit = n
	}
}

// InUse is how many handles are open or being closed, and how many others are being
// opened; or were when the session ended.
func (s *Session) InUse() (open, opening int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slots.open, s.slots.used - s.slots.open
}

func (s *Session) opened() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots.open++
}

// acquire takes a slot, or queues the request for one.
func (sl *slots) acquire(c *Call, typ byte, path string, tail []byte) bool {
	if sl.limit > 0 && sl.used >= sl.limit {
		sl.waiting = append(sl.waiting, queuedOpen{c, typ, path, slices.Clone(tail)})
		return false
	}
	sl.used++
	return true
}

// freed frees a slot that had so many open handles, and sends a request that waits.
func (s *Session) freed(open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		return
	}
	sl := &s.slots
	sl.used--
	sl.open = max(0, sl.open-open)
	for len(sl.waiting) > 0 && (sl.limit == 0 || sl.used < sl.limit) {
		next := sl.waiting[0]
		sl.waiting = slices.Delete(sl.waiting, 0, 1)
		sl.used++
		s.enqueue(next.call, next.typ, next.path, next.tail, nil)
		s.wakeUp()
	}
}
