package spool

import "sync"

// group runs one function for all who ask for it at about the same time: one run at
// a time, and whoever asks while one is under way shares the next. It is how changes
// of many uploads become one transaction, and their names one flush of a directory.
type group struct {
	do func() error

	mu      sync.Mutex
	next    *run
	running bool
}

type run struct {
	done chan struct{}
	err  error
}

// join waits for a run that begins after the call, and gives its error. What the
// caller did before is in that run.
func (g *group) join() error {
	r := g.start()
	<-r.done
	return r.err
}

// start asks for a run, and does not wait for it.
func (g *group) start() *run {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = &run{done: make(chan struct{})}
	}
	if !g.running {
		g.running = true
		go g.runAll()
	}
	return g.next
}

func (g *group) runAll() {
	for {
		g.mu.Lock()
		r := g.next
		g.next = nil
		if r == nil {
			g.running = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		r.err = g.do()
		close(r.done)
	}
}
