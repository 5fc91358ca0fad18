package sshd

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeListener hands out connections in memory, for tests in a bubble of
// testing/synctest, where time is not real.
type pipeListener struct {
	arriving chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{arriving: make(chan net.Conn), closed: make(chan struct{})}
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arriving:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// dial gives the client's side.
func (l *pipeListener) dial() *pipeConn {
	up, down := newPipeBuffer(), newPipeBuffer()
	l.arriving <- &pipeConn{in: up, out: down}
	return &pipeConn{in: down, out: up}
}

// pipeConn is one side of a connection that takes what is written without
// waiting for the reader, up to a bound, as TCP does.
type pipeConn struct{ in, out *pipeBuffer }

func (c *pipeConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *pipeConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *pipeConn) LocalAddr() net.Addr         { return pipeAddr{} }
func (c *pipeConn) RemoteAddr() net.Addr        { return pipeAddr{} }
func (c *pipeConn) Close() error {
	c.in.close()
	c.out.close()
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}
func (c *pipeConn) SetReadDeadline(t time.Time) error  { c.in.deadline(&c.in.readBy, t); return nil }
func (c *pipeConn) SetWriteDeadline(t time.Time) error { c.out.deadline(&c.out.writeBy, t); return nil }

// pipeBuffer is one direction.
type pipeBuffer struct {
	mu              sync.Mutex
	change          sync.Cond
	data            []byte
	closed          bool
	readBy, writeBy time.Time
}

const pipeCapacity = 64 << 10

func newPipeBuffer() *pipeBuffer {
	b := &pipeBuffer{}
	b.change.L = &b.mu
	return b
}

func (b *pipeBuffer) deadline(which *time.Time, t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*which = t
	b.change.Broadcast()
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), b.change.Broadcast)
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (b *pipeBuffer) read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.data) == 0 {
		switch {
		case b.closed:
			return 0, io.EOF
		case passed(b.readBy):
			return 0, os.ErrDeadlineExceeded
		}
		b.change.Wait()
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	b.change.Broadcast()
	return n, nil
}

func (b *pipeBuffer) write(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n < len(p) {
		switch {
		case b.closed:
			return n, io.ErrClosedPipe
		case passed(b.writeBy):
			return n, os.ErrDeadlineExceeded
		}
		room := min(pipeCapacity-len(b.data), len(p)-n)
		if room == 0 {
			b.change.Wait()
			continue
		}
		b.data = append(b.data, p[n:n+room]...)
		n += room
		b.change.Broadcast()
	}
	return n, nil
}

func (b *pipeBuffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.change.Broadcast()
}
