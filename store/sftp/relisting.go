package sftp

import (
	"context"
	"sync"

	filesync "sftpconnector/sync"
)

// relisting lists directories again to tell how some of their files are listed now. One
// listing serves all calls that came before it began. A later call waits for the next
// listing, as this one may have passed its files already. It may be used concurrently.
type relisting struct {
	mu   sync.Mutex
	dirs map[string]*relistedDirectory // that are being listed
}

// relistedDirectory is a directory that is being listed, or about to be.
type relistedDirectory struct {
	next *relist // the listing that has not begun; nil: nobody waits for one
}

// relist is one listing, for the calls that wait for it.
type relist struct {
	wanted map[string]bool
	found  map[string]filesync.Entry
	err    error
	done   chan struct{}
}

// find lists a directory again and gives the entries of the names that it holds.
func (r *relisting) find(ctx context.Context, s *session, dir string, names []string) (map[string]filesync.Entry, error) {
	l := r.join(s, dir, names)
	select {
	case <-l.done:
		return l.found, l.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// join adds names to the next listing of a directory.
func (r *relisting) join(s *session, dir string, names []string) *relist {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.dirs[dir]
	if d == nil {
		if r.dirs == nil {
			r.dirs = map[string]*relistedDirectory{}
		}
		d = &relistedDirectory{}
		r.dirs[dir] = d
		go r.run(s, dir, d)
	}
	if d.next == nil {
		d.next = &relist{wanted: map[string]bool{}, found: map[string]filesync.Entry{}, done: make(chan struct{})}
	}
	for _, name := range names {
		d.next.wanted[name] = true
	}
	return d.next
}

// run lists a directory until nobody waits for that. It ends with the session.
func (r *relisting) run(s *session, dir string, d *relistedDirectory) {
	for {
		r.mu.Lock()
		l := d.next
		d.next = nil
		if l == nil {
			delete(r.dirs, dir)
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		l.err = s.listBatches(s.ctx, dir, func(batch []item) bool {
			for _, it := range batch {
				if e := s.entryOf(it); l.wanted[e.Name] {
					l.found[e.Name] = e
				}
			}
			return len(l.found) < len(l.wanted)
		})
		if l.err != nil && s.ctx.Err() != nil {
			l.err = s.lost(l.err) // lost gives the reason
		}
		close(l.done)
	}
}
