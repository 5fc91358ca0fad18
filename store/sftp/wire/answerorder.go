package wire

import "time"

// answerOrder finds the request that is to be answered next, of those that somebody
// waits for, on a server that answers in order. A server that does not may answer
// others first. An answer to a later request, such as that of the keepalive, is no sign
// that an earlier answer will come. The session's mutex guards it.
type answerOrder struct {
	behind   uint32    // the id of the last request that was answered or given up
	moved    time.Time // when it was answered
	coming   *Call     // a part of its answer has come; nil: none
	comingID uint32
}

// Unanswered is a request without an answer.
type Unanswered struct {
	What string // the request: "READ", or the name of an extension
	// Since is when it was sent, or when the request before it was answered, whichever
	// was later.
	Since time.Time
	// Coming means that a part of the answer has come.
	Coming bool
}

// Unanswered gives the request that is to be answered next; ok is false when there is
// none. Requests whose callers are gone do not count.
func (s *Session) Unanswered() (u Unanswered, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current()
	if c == nil {
		return Unanswered{}, false
	}
	u = Unanswered{What: c.what(), Since: c.sent, Coming: c == s.order.coming}
	if s.order.moved.After(u.Since) {
		u.Since = s.order.moved
	}
	return u, true
}

// Waiting is the number of calls in flight.
func (s *Session) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// current finds the request that is to be answered next; nil: there is none. The caller
// holds s.mu.
func (s *Session) current() *Call {
	for t := &s.order; t.behind != s.nextID; t.behind++ {
		id := t.behind + 1
		c := s.calls[id]
		if t.coming != nil && t.comingID == id {
			c = t.coming
		}
		if c != nil && !c.left.Load() {
			return c
		}
	}
	return nil
}

// came notes that the answer has come as a whole.
func (s *Session) came() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		return
	}
	if s.current() == s.order.coming {
		s.order.moved = time.Now()
	}
	s.order.coming = nil
}

// what names the request.
func (c *Call) what() string {
	names := map[byte]string{
		typeOpen: "OPEN", typeClose: "CLOSE", typeRead: "READ", typeWrite: "WRITE", typeLstat: "LSTAT", typeFstat: "FSTAT",
		typeSetstat: "SETSTAT", typeFsetstat: "FSETSTAT", typeOpendir: "OPENDIR", typeReaddir: "READDIR", typeRemove: "REMOVE",
		typeMkdir: "MKDIR", typeRealpath: "REALPATH", typeStat: "STAT", typeRename: "RENAME", typeReadlink: "READLINK",
		typeExtended: c.extension,
	}
	return names[c.typ]
}
