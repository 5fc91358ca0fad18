package server

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits bound the connections of a Listener.
type Limits struct {
	All     int
	Address int // of one address; a trusted proxy or this machine may have All
}

// DefaultLimits are those of a daemon that has descriptors enough.
func DefaultLimits() Limits { return Limits{All: 512, Address: 128} }

// Listener bounds the connections to a server, in all and by address, so that nobody's
// open connections keep others out or use up the process's descriptors, which Spaces'
// logins need, too. Where there are too many, the connection that has been without a
// request for longest makes room, of the same address if that has too many; if all are
// busy, the new one is closed. It may be used concurrently.
type Listener struct {
	net.Listener
	limits    Limits
	unbounded func(netip.Addr) bool

	mu      sync.Mutex
	waiting *list.List // of *boundedConn without a request, the oldest first
	all     int
	by      map[netip.Addr]int
}

// Bound makes a Listener over l for h, whose ConnContext and ConnState it sets.
func (s *Server) Bound(l net.Listener, h *http.Server, limits Limits) *Listener {
	b := &Listener{Listener: l, limits: limits, waiting: list.New(), by: map[netip.Addr]int{}}
	b.unbounded = func(a netip.Addr) bool { return a.IsLoopback() || s.access.Load().trusts(a) }
	h.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, bounded(c))
	}
	h.ConnState = b.state
	return b
}

// connKey is the context's key of a request's connection.
type connKey struct{}

// bounded gives the connection that is counted, below TLS.
func bounded(c net.Conn) *boundedConn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	n, _ := c.(*boundedConn)
	return n
}

// boundedConn is a connection that counts until it is closed.
type boundedConn struct {
	net.Conn
	l       *Listener
	address netip.Addr
	waits   *list.Element // in l.waiting; nil while it is busy or gone
	gone    bool          // it counts no more
}

// acceptPause is how long Accept rests when a connection found no room.
const acceptPause = 5 * time.Millisecond

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		n := &boundedConn{Conn: c, l: l, address: addressOf(c)}
		victim, ok := l.admit(n)
		if victim != nil {
			victim.Close()
		}
		if ok {
			return n, nil
		}
		c.Close()
		time.Sleep(acceptPause)
	}
}

// admit counts a new connection. Where there are too many it takes one that waits out,
// which is to be closed.
func (l *Listener) admit(n *boundedConn) (victim *boundedConn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.by[n.address] >= l.limits.Address && !l.unbounded(n.address)
	if own || l.all >= l.limits.All {
		if victim = l.oldest(n.address, own); victim == nil {
			return nil, false
		}
		l.drop(victim)
	}
	l.all++
	l.by[n.address]++
	n.waits = l.waiting.PushBack(n)
	return victim, true
}

// oldest gives the connection that waits for longest: of one address, or of the one that
// has most of those that wait. The caller holds l.mu.
func (l *Listener) oldest(of netip.Addr, own bool) *boundedConn {
	if !own {
		most := 0
		for e := l.waiting.Front(); e != nil; e = e.Next() {
			if n := l.by[e.Value.(*boundedConn).address]; n > most {
				most, of = n, e.Value.(*boundedConn).address
			}
		}
	}
	for e := l.waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*boundedConn); c.address == of {
			return c
		}
	}
	return nil
}

// drop takes a connection out of the counts, once. The caller holds l.mu.
func (l *Listener) drop(c *boundedConn) {
	if c.gone {
		return
	}
	c.gone = true
	l.all--
	if l.by[c.address]--; l.by[c.address] == 0 {
		delete(l.by, c.address)
	}
	l.busy(c)
}

// busy takes a connection from those that wait. The caller holds l.mu.
func (l *Listener) busy(c *boundedConn) {
	if c.waits != nil {
		l.waiting.Remove(c.waits)
		c.waits = nil
	}
}

// Close closes the connection, which counts no more.
func (c *boundedConn) Close() error {
	c.l.mu.Lock()
	c.l.drop(c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// known notes that the caller of a request is known: its connection makes no room until
// it is answered. Half requests, and what anybody may ask for, keep nobody out.
func known(r *http.Request) {
	if c, _ := r.Context().Value(connKey{}).(*boundedConn); c != nil {
		c.l.serving(c)
	}
}

func (l *Listener) serving(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy(c)
}

// state hears when a connection has answered.
func (l *Listener) state(c net.Conn, state http.ConnState) {
	if n := bounded(c); n != nil && state == http.StateIdle {
		l.idle(n)
	}
}

// idle lets a connection make room from now on.
func (l *Listener) idle(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.waits == nil && !c.gone {
		c.waits = l.waiting.PushBack(c)
	}
}

// idly does something in the midst of an answer that waits for the client, or lets it
// wait: the connection may make room meanwhile.
func idly(r *http.Request, do func()) {
	if c, _ := r.Context().Value(connKey{}).(*boundedConn); c != nil {
		c.l.idle(c)
	}
	do()
}

func addressOf(c net.Conn) netip.Addr {
	at, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(at.IP)
	return a.Unmap()
}
