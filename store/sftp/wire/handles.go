package wire

import "errors"

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
	opened := c.kind == kindHandle && c.Err == nil
	switch {
	case opened && !s.handles.give(c.Handle):
		s.refuse(c)
		return
	case c.on != "" && s.handles.worthless(c.on):
		c.Err = ErrHandleReused
	}
	if c.kind == kindClose {
		s.handles.letGo(c.on)
	}
	if opened || c.kind == kindClose {
		s.inUse.Store(int32(len(s.handles.open)))
	}
	c.finish(c.Err)
}

// refuse gives a handle back that was open already, and lets the call fail that it
// was given to. That comes back once the server has closed the handle, so that its
// caller may count on that.
func (s *Session) refuse(c *Call) {
	s.CloseFile(&Call{Then: func(shut *Call) {
		err := ErrHandleReused
		if end := s.Err(); end != nil {
			err = end
		}
		c.finish(err)
	}}, c.Handle)
}

// InUse is how many handles were open, or being opened, when the session ended, or
// are now.
func (s *Session) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.inUseAtEnd
	}
	return s.countInUse()
}

// countInUse counts the handles that are open or being opened. The caller holds s.mu.
func (s *Session) countInUse() int {
	n := int(s.inUse.Load())
	for _, c := range s.calls {
		if c.kind == kindHandle {
			n++
		}
	}
	return n
}
