package sftpd

import "time"

// Change is what a client changed.
type Change struct {
	// Op is Open for a file that was created or cut off; Close for one that was
	// open for that, or was written to; else Remove, Rename, Mkdir, Rmdir, Setstat
	// or Fsetstat.
	Op Op
	// Path, and To of a Rename, begin at the top of what is served: "/in/a".
	Path, To string
	// Size and ModTime are the file's: of a Remove, Rmdir or Rename just before it,
	// of a Close, Setstat or Fsetstat just after it.
	Size    int64
	ModTime time.Time
	// At is when the server told it.
	At time.Time
}

// OnChange has each change told that clients make from now on: after it was made
// and before it is answered. Sessions call f side by side, and wait for it.
func (s *Server) OnChange(f func(Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = f
}

func (s *session) changed(c Change) {
	s.server.mu.Lock()
	f := s.server.onChange
	s.server.mu.Unlock()
	if f != nil {
		c.At = time.Now()
		f(c)
	}
}

// look adds to a change what the file is now.
func (s *session) look(c Change) Change {
	if info, err := s.root.Stat(local(c.Path)); err == nil {
		c.Size, c.ModTime = info.Size(), info.ModTime()
	}
	return c
}
