package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A connection holds what is under way: up to maxPieces pieces each way. Beyond
// that a sender waits.
const (
	pieceSize = 16 << 10
	maxPieces = 256
)

// link is one connection of a client with the server.
type link struct {
	ctx    context.Context
	cancel context.CancelFunc
	held   atomic.Bool // stalled by StallAfter
	lost   atomic.Bool // half-open by HalfOpenAfter

	mu    sync.Mutex
	conns []*net.TCPConn
	ended bool

	reset, stalled bool // counted as such; the relay's mu guards them
}

// piece is what one read gave.
type piece struct {
	data []byte
	due  time.Time // when it arrives
	then event     // what happens behind it
	end  error     // what the reading ended with
}

func newLink(ctx context.Context, client *net.TCPConn) *link {
	l := &link{conns: []*net.TCPConn{client}}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// add makes conn end with the link, and says whether the link goes on.
func (l *link) add(conn *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		conn.Close()
		return false
	}
	l.conns = append(l.conns, conn)
	return true
}

// abort ends both connections with RST.
func (l *link) abort() {
	l.end(func(c *net.TCPConn) { c.SetLinger(0) })
}

func (l *link) end(before func(*net.TCPConn)) {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	for _, c := range l.conns {
		before(c)
		c.Close()
	}
}

// serve relays one connection until both of its directions have ended. A server
// that cannot be reached resets the client.
func (r *Relay) serve(l *link, target string) {
	defer r.leave(l)
	client := l.conns[0]
	if target == "" {
		io.Copy(io.Discard, client)
		l.end(func(*net.TCPConn) {})
		return
	}
	conn, err := (&net.Dialer{}).DialContext(l.ctx, "tcp", target)
	if err != nil {
		l.abort()
		return
	}
	server := conn.(*net.TCPConn)
	if !l.add(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { r.forward(l, Up, client, server) })
	both.Go(func() { r.forward(l, Down, server, client) })
	both.Wait()
	l.end(func(*net.TCPConn) {})
}

// forward relays one direction until it ends.
func (r *Relay) forward(l *link, d Direction, from, to *net.TCPConn) {
	pieces := make(chan piece, maxPieces)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(pieces)
		r.read(l, d, from, pieces)
	})
	defer reading.Wait()
	lost := false
	for p := range pieces {
		if !l.sleep(time.Until(p.due), nil) {
			continue // the reader ends, too
		}
		line, ok := r.flowing(l, d)
		if !ok {
			continue
		}
		lost = lost || line.Blackhole || l.lost.Load()
		if !lost && !l.hand(to, p) {
			l.abort()
			continue
		}
		r.happen(l, p.then)
	}
}

// hand gives a piece to its receiver, and says whether the connection is whole.
func (l *link) hand(to *net.TCPConn, p piece) bool {
	if _, err := to.Write(p.data); err != nil {
		return false
	}
	if p.end == nil {
		return true
	}
	return errors.Is(p.end, io.EOF) && to.CloseWrite() == nil
}

// happen does to the connection what was planned for this byte.
func (r *Relay) happen(l *link, what event) {
	switch what {
	case nothing:
	case resetting:
		r.reset(l)
	case losing:
		l.lost.Store(true)
	case stalling:
		l.held.Store(true)
	}
	if what == losing || what == stalling {
		r.mu.Lock()
		r.countStall(l, true)
		r.mu.Unlock()
	}
}

// read reads what comes in one direction, as the line allows, until it ends.
func (r *Relay) read(l *link, d Direction, from *net.TCPConn, pieces chan<- piece) {
	buf := make([]byte, pieceSize)
	for {
		line, ok := r.flowing(l, d)
		if !ok {
			return
		}
		n, err := from.Read(buf[:line.most()])
		line, changed := r.state()
		line = line.of(d)
		due := time.Now().Add(line.Delay)
		for rest := bytes.Clone(buf[:n]); len(rest) > 0; {
			passing, then := len(rest), nothing
			if d == Down {
				passing, then = r.pass(len(rest))
			}
			if !l.queue(pieces, piece{data: rest[:passing], due: due, then: then}) || then == resetting {
				return
			}
			rest = rest[passing:]
		}
		if err != nil {
			l.queue(pieces, piece{due: due, end: err})
			return
		}
		if !l.sleep(line.pause(n), changed) {
			return
		}
	}
}

func (l *link) queue(pieces chan<- piece, p piece) bool {
	select {
	case pieces <- p:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// flowing waits until the line does not stall and gives it as this direction
// meets it, or false when the connection has ended.
func (r *Relay) flowing(l *link, d Direction) (Line, bool) {
	for {
		line, changed := r.state()
		line = line.of(d)
		if !line.Stall && !l.held.Load() {
			return line, l.ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
			return line, false
		}
	}
}

// sleep waits, until over is closed at the most, and says whether the connection
// is still open.
func (l *link) sleep(d time.Duration, over <-chan struct{}) bool {
	if d <= 0 {
		return l.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-over:
		return l.ctx.Err() == nil
	case <-l.ctx.Done():
		return false
	}
}
