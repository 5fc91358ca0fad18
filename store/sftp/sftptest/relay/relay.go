// Package relay puts distance between a client and a server on one machine: a
// TCP relay that delays all bytes, each way, without limiting their rate. It can
// also freeze, as a network does that loses everything, and cut.
//
// Setting up a TCP connection takes no round trip through it: the relay itself
// answers at once. All that comes after does.
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

// The relay holds what is under way: rate times delay. Beyond maxPieces pieces
// each way for a connection, a sender waits; at 200 ms that is above 1 GB/s.
const (
	pieceSize = 64 << 10
	maxPieces = 4096
)

// Relay listens on loopback and forwards to one target. Its methods may be
// called from any goroutine.
type Relay struct {
	// Addr is where clients connect instead of to the target.
	Addr string

	target   string
	delay    time.Duration
	listener net.Listener
	toServer atomic.Int64
	toClient atomic.Int64
	running  sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc

	mu     sync.Mutex
	conns  map[net.Conn]bool
	frozen chan struct{} // closed by Thaw; nil when not frozen
}

// Start begins to relay to target, a host and port, on a free port of loopback.
// Each byte arrives oneWay later than it was sent. The relay ends with ctx or Close.
func Start(ctx context.Context, target string, oneWay time.Duration) (*Relay, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{Addr: l.Addr().String(), target: target, delay: oneWay, listener: l, conns: map[net.Conn]bool{}}
	r.ctx, r.cancel = context.WithCancel(ctx)
	context.AfterFunc(r.ctx, func() { // no connection enters the set after this: see register
		l.Close()
		r.Cut()
	})
	r.running.Go(r.accept)
	return r, nil
}

// Close cuts all connections, ends the relay and waits until it has ended.
func (r *Relay) Close() error {
	r.cancel()
	r.running.Wait()
	return nil
}

// Freeze stops forwarding, both ways, on all connections, present and to come;
// they stay open. What was sent meanwhile arrives after Thaw.
func (r *Relay) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen == nil {
		r.frozen = make(chan struct{})
	}
}

// Thaw ends a Freeze.
func (r *Relay) Thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen != nil {
		close(r.frozen)
		r.frozen = nil
	}
}

// Cut closes all connections; new ones are accepted.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

// Bytes is how much was forwarded so far, over all connections.
func (r *Relay) Bytes() (toServer, toClient int64) {
	return r.toServer.Load(), r.toClient.Load()
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.serve(client) })
	}
}

// serve relays one connection until both of its directions have ended.
func (r *Relay) serve(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(r.ctx, "tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !r.register(client, server) {
		return
	}
	defer r.forget(client, server)
	var both sync.WaitGroup
	both.Go(func() { r.forward(r.ctx, server, client, &r.toServer) })
	both.Go(func() { r.forward(r.ctx, client, server, &r.toClient) })
	both.Wait()
}

func (r *Relay) register(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return false
	}
	for _, c := range conns {
		r.conns[c] = true
	}
	return true
}

func (r *Relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// piece is what one read gave, and when it is due on the other side.
type piece struct {
	data []byte
	due  time.Time
	err  error // the end of this direction
}

// forward carries one direction. Its end, too, is delayed: a half-closed
// connection stays open the other way, a broken one is closed.
func (r *Relay) forward(ctx context.Context, to, from net.Conn, count *atomic.Int64) {
	ctx, cancel := context.WithCancel(ctx)
	pieces := make(chan piece, maxPieces)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	reader.Go(func() { r.read(ctx, from, pieces) })
	for {
		var p piece
		select {
		case p = <-pieces:
		case <-ctx.Done():
			p.err = ctx.Err()
		}
		if err := r.wait(ctx, p.due); err != nil {
			p.err = err
		} else if len(p.data) > 0 {
			n, err := to.Write(p.data)
			count.Add(int64(n))
			if err != nil {
				p.err = err
			}
		}
		switch {
		case p.err == nil:
		case errors.Is(p.err, io.EOF):
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			return
		default:
			to.Close()
			from.Close()
			return
		}
	}
}

// read hands over what comes, the end included.
func (r *Relay) read(ctx context.Context, from net.Conn, pieces chan<- piece) {
	buf := make([]byte, pieceSize)
	for {
		n, err := from.Read(buf)
		select {
		case pieces <- piece{data: bytes.Clone(buf[:n]), due: time.Now().Add(r.delay), err: err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// wait returns when due has come and nothing is frozen, or with ctx's error.
func (r *Relay) wait(ctx context.Context, due time.Time) error {
	if d := time.Until(due); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		r.mu.Lock()
		frozen := r.frozen
		r.mu.Unlock()
		if frozen == nil {
			return nil
		}
		select {
		case <-frozen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
