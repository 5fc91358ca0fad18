package wire

import "time"

// turn knows which request is the next to be answered, of those that somebody waits
// for, where a server takes them in turn. One that does not may answer others first;
// what is sent behind a request is no sign that its answer will come, and a question
// that keeps the connection alive is one of these. The session's mutex guards it.
type turn struct {
	behind   uint32    // the id of the last one that was that request, and is no more
	moved    time.Time // when it was answered
	coming   *Call     // its answer has come in part; nil: none has
	comingID uint32
}

// Unanswered is a request that waits for its answer.
type Unanswered struct {
	What string // the request: "READ", or the name of an extension
	// Since is when it was sent, or when the one before it was answered, whichever was
	// later.
	Since time.Time
	// Coming: a part of the answer has come.
	Coming bool
}

// Unanswered gives the request whose turn it is to be answered. ok is false when there
// is none. Requests whose callers have gone do not count.
func (s *Session) Unanswered() (u Unanswered, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current()
	if c == nil {
		return Unanswered{}, false
	}
	u = Unanswered{What: c.what(), Since: c.sent, Coming: c == s.turn.coming}
	if s.turn.moved.After(u.Since) {
		u.Since = s.turn.moved
	}
	return u, true
}

// Waiting is the number of calls under way.
func (s *Session) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// current goes on to the request whose turn it is; nil: there is none. The caller
// holds s.mu.
func (s *Session) current() *Call {
	for t := &s.turn; t.behind != s.nextID; t.behind++ {
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

// came notes that the answer that was coming is there.
func (s *Session) came() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		return
	}
	if s.current() == s.turn.coming {
		s.turn.moved = time.Now()
	}
	s.turn.coming = nil
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
