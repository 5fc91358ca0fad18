package sshd

import "sync"

// openFiles counts the files and directories that clients have open, so that no
// connection and no Space uses up the file descriptors of the process.
type openFiles struct {
	perConnection, perSpace, total int // the limit of each

	mu     sync.Mutex
	all    int
	spaces map[string]int
}

// acquire counts one in, or reports that a limit is reached.
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

// release counts one out.
func (o *openFiles) release(s *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.openFiles--
	o.all--
	if o.spaces[s.space]--; o.spaces[s.space] == 0 {
		delete(o.spaces, s.space)
	}
}
