// Package relay stands between a client and a TCP server on loopback, and does
// to their connections what bad lines do: it refuses, resets, stalls, slows,
// delays and loses.
package relay

import (
	"context"
	"net"
	"sync"

	"sftpconnector/faults/tcpport"
)

// Relay forwards connections to one target. Its methods may be called from any
// goroutine.
type Relay struct {
	port    *tcpport.Port
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	opening  sync.Mutex // held while the listener is opened or closed; never with mu
	listener net.Listener

	mu                          sync.Mutex
	target                      string
	line                        Line
	changed                     chan struct{} // closed at each change of line
	links                       map[*link]bool
	plans                       plans
	connections, resets, stalls int
}

// Start begins to relay to target, host:port, from a free port of loopback. The
// relay ends with Close.
func Start(target string) (*Relay, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p, err := tcpport.Reserve("127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, err
	}
	r := &Relay{port: p, ctx: ctx, cancel: cancel, target: target, changed: make(chan struct{}), links: map[*link]bool{}}
	if err := r.listen(true); err != nil {
		cancel()
		p.Close()
		return nil, err
	}
	return r, nil
}

// Addr is where clients connect instead of to the target: host:port.
func (r *Relay) Addr() string { return r.port.Addr() }

// SetTarget sets where connections to come are relayed to.
func (r *Relay) SetTarget(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = addr
}

// Set says how the line is from now on, for connections that are open and for
// those to come. It also ends the stalls of StallAfter. The error is one of
// listening again after Refuse.
func (r *Relay) Set(line Line) error {
	r.mu.Lock()
	r.line = line
	for l := range r.links {
		l.held.Store(false)
		r.countStall(l, line.Stall || line.Blackhole)
	}
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	return r.listen(!line.Refuse)
}

// Reset ends all open connections at once with RST.
func (r *Relay) Reset() {
	r.mu.Lock()
	links := make([]*link, 0, len(r.links))
	for l := range r.links {
		links = append(links, l)
	}
	r.mu.Unlock()
	for _, l := range links {
		r.reset(l)
	}
}

// Counts gives how many connections were accepted, how many of them Reset and
// ResetAfter ended, and how many a stall or a black hole took hold of.
func (r *Relay) Counts() (connections, resets, stalls int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connections, r.resets, r.stalls
}

// Close resets all connections, gives the port back and waits until all has ended.
func (r *Relay) Close() error {
	r.cancel()
	r.listen(false)
	r.mu.Lock()
	for l := range r.links {
		l.abort()
	}
	r.mu.Unlock()
	r.running.Wait()
	return r.port.Close()
}

// listen opens the listener, or closes it.
func (r *Relay) listen(open bool) error {
	r.opening.Lock()
	defer r.opening.Unlock()
	if !open {
		if r.listener != nil {
			r.listener.Close()
			r.listener = nil
		}
		return nil
	}
	if r.listener != nil || r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	l, err := r.port.Listen(r.ctx)
	if err != nil {
		return err
	}
	r.listener = l
	r.running.Go(func() { r.accept(l) })
	return nil
}

func (r *Relay) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		l := newLink(r.ctx, client.(*net.TCPConn))
		if target, ok := r.enter(l); ok {
			r.running.Go(func() { r.serve(l, target) })
		}
	}
}

// enter counts a connection and gives where it goes to; "" is a black hole.
func (r *Relay) enter(l *link) (target string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		l.abort()
		return "", false
	}
	r.links[l] = true
	r.connections++
	r.countStall(l, r.line.Stall || r.line.Blackhole)
	if r.line.Blackhole && r.line.Only == Both {
		return "", true
	}
	return r.target, true
}

func (r *Relay) leave(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.links, l)
}

// reset ends a connection with RST and counts that, once.
func (r *Relay) reset(l *link) {
	r.mu.Lock()
	if r.links[l] && !l.reset {
		l.reset = true
		r.resets++
	}
	r.mu.Unlock()
	l.abort()
}

// countStall counts a connection that is stalled, once until it is not. It is
// called with mu held.
func (r *Relay) countStall(l *link, stalled bool) {
	if stalled && !l.stalled {
		r.stalls++
	}
	l.stalled = stalled
}

// state is how the line is, and what is closed when that changes.
func (r *Relay) state() (Line, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.line, r.changed
}
