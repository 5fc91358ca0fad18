package wire

import (
	"errors"
	"slices"
)

// ErrHandleReused is the error of what was asked under a handle that the server
// has given out once more while it was open: nothing that is read or written under
// it can be told from what belongs to the other file.
var ErrHandleReused = errors.New("the server gave out one handle for two things that are open")

// handles are those that are open on a session: from the answer that gives one
// out until the answer of its CLOSE, whatever that says. Only the receiver of
// answers uses it, so that the order of the answers is the order of what it sees.
type handles struct {
	open    map[Handle]int      // by how many owners
	spoiled map[Handle]struct{} // those that have had more than one since they were free
}

func newHandles() handles {
	return handles{open: make(map[Handle]int), spoiled: make(map[Handle]struct{})}
}

// give notes an owner more, and reports whether it is the only one. Else the
// handle is spoiled for all of them until each has let go of it: as long as the
// server may still close it for one, it is nobody's.
func (h *handles) give(handle Handle) bool {
	h.open[handle]++
	if h.open[handle] == 1 {
		return true
	}
	h.spoiled[handle] = struct{}{}
	return false
}

// letGo notes an owner less.
func (h *handles) letGo(handle Handle) {
	h.open[handle]--
	if h.open[handle] <= 0 {
		delete(h.open, handle)
		delete(h.spoiled, handle)
	}
}

// worthless reports whether an answer under that handle is.
func (h *handles) worthless(handle Handle) bool {
	if len(h.spoiled) == 0 {
		return false
	}
	_, spoiled := h.spoiled[handle]
	return spoiled
}

// settle finishes a call that is answered, with what its answer means for the
// handles of the session.
func (s *Session) settle(c *Call) {
	if c.on != "" && s.handles.worthless(c.on) {
		c.Err = ErrHandleReused
	}
	switch {
	case c.kind == kindHandle && c.Err == nil:
		if !s.handles.give(c.Handle) {
			s.refuse(c)
			return
		}
		s.opened()
	case c.kind == kindHandle:
		s.freed(0)
	case c.kind == kindClose:
		s.handles.letGo(c.on)
		s.freed(1)
	}
	c.finish(c.Err)
}

// refuse gives a handle back that was open already, and lets the call fail that it
// was given to. That comes back once the server has closed the handle, so that its
// caller may count on that. From here on the session has one handle at a time.
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

// slots are the handles that may be open at a time. The session's mutex guards them.
type slots struct {
	limit   int // 0: any number
	used    int // by handles that are open, being opened, or being closed
	open    int // those of them that are not being opened
	waiting []opening
}

// opening is an OPEN or OPENDIR that waits, unsent, for a slot.
type opening struct {
	call *Call
	typ  byte
	path string
	tail []byte
}

// LimitHandles has no more than n handles open at a time from now on: an OPEN or
// OPENDIR waits, unsent, until the server has closed another one. A limit is never
// raised again.
func (s *Session) LimitHandles(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots.limit == 0 || n < s.slots.limit {
		s.slots.limit = n
	}
}

// InUse is how many handles are open or being closed, and how many are being opened
// beside those; or were when the session ended.
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

// take takes a slot, or lets the request wait for one.
func (sl *slots) take(c *Call, typ byte, path string, tail []byte) bool {
	if sl.limit > 0 && sl.used >= sl.limit {
		sl.waiting = append(sl.waiting, opening{c, typ, path, slices.Clone(tail)})
		return false
	}
	sl.used++
	return true
}

// freed gives a slot back, of so many open handles, and sends what waits for it.
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
