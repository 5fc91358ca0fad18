package sshd

import "sync"

// openFiles counts the files and directories that clients have open, so that no
// connection, and no Space, takes the descriptors of the whole process.
type openFiles struct {
	perConnection, perSpace, total int // the most of each

	mu     sync.Mutex
	all    int
	spaces map[string]int
}

// take counts one in, or reports that there is no room for it.
func (o *openFiles) acquire(s *session) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.openFiles >= o.perConnection || o.spaces[s.space] >= o.perSpace || o.all >= o.total {
		return false
	}
	s.openFiles++
	o.spaces[s.space]++
	o.all++
	return true
}

// release counts one out again.
func (o *openFiles) release(s *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.openFiles--
	o.all--
	if o.spaces[s.space]--; o.spaces[s.space] == 0 {
		delete(o.spaces, s.space)
	}
}
