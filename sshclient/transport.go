package sshclient

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// transport is the byte stream under an SSH connection. It notes when the peer last
// sent something, ends a write that the peer does not read, and checks the first line,
// so that a server of another protocol is recognised. Its deadlines are timers that cut
// the stream, as a stream through a jump host has no deadlines of its own.
type transport struct {
	net.Conn
	cut          func() error // closes the socket at the bottom; never blocks
	addr         string       // the socket's far end, for people
	heard        atomic.Int64 // monotonic time of the last byte read, since start
	over         atomic.Bool  // nothing more can be read
	start        time.Time
	writeTimeout time.Duration
	writing      *time.Timer
	greeting     greeting
	ahead        []byte // read, and not yet given to x/crypto
	closeOnce    sync.Once
	mu           sync.Mutex
	cause        error
}

// newTransport wraps a stream. A write that takes longer than writeTimeout cuts it.
func newTransport(conn net.Conn, addr string, cut func() error, writeTimeout time.Duration) *transport {
	t := &transport{Conn: conn, cut: cut, addr: addr, start: time.Now(), writeTimeout: writeTimeout}
	t.writing = time.AfterFunc(time.Hour, func() {
		t.abort(&timeoutError{writeTimeout, "the peer takes no data"})
	})
	t.writing.Stop()
	return t
}

// Read gives the version line first. x/crypto does not call it concurrently.
func (t *transport) Read(p []byte) (int, error) {
	if !t.greeting.done {
		if err := t.readGreeting(); err != nil {
			return 0, err
		}
	}
	if len(t.ahead) > 0 {
		n := copy(p, t.ahead)
		t.ahead = t.ahead[n:]
		return n, nil
	}
	return t.read(p)
}

// read notes that the peer is alive.
func (t *transport) read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if err != nil {
		t.over.Store(true)
	}
	if n > 0 {
		t.heard.Store(int64(time.Since(t.start)))
	}
	return n, err
}

// readGreeting reads up to the version line, and keeps that and what follows for Read,
// as x/crypto accepts no long lines before it.
func (t *transport) readGreeting() error {
	buf := make([]byte, 512)
	var suspicion *time.Timer
	for !t.greeting.done {
		n, err := t.read(buf)
		rest, foreign := t.greeting.add(buf[:n])
		switch {
		case foreign != nil:
			t.abort(foreign)
			return foreign
		case t.greeting.done:
			t.ahead = append([]byte(t.greeting.version+"\n"), rest...)
		case err != nil:
			return err
		case t.greeting.suspect && suspicion == nil:
			cause := &notSSHError{t.greeting.said()}
			suspicion = time.AfterFunc(otherProtocol, func() { t.abort(cause) })
			defer suspicion.Stop()
		}
	}
	return nil
}

// Write ends after writeTimeout. x/crypto does not call it concurrently.
func (t *transport) Write(p []byte) (int, error) {
	t.writing.Reset(t.writeTimeout)
	n, err := t.Conn.Write(p)
	t.writing.Stop()
	return n, err
}

// Close cuts the stream without sending anything.
func (t *transport) Close() error {
	t.abort(net.ErrClosed)
	return nil
}

// abort cuts the stream. The first cause stays.
func (t *transport) abort(cause error) {
	t.closeOnce.Do(func() {
		t.mu.Lock()
		t.cause = cause
		t.mu.Unlock()
		t.writing.Stop()
		t.cut()
	})
}

// abortCause is why our side cut the stream, or nil.
func (t *transport) abortCause() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}

// lastHeard is when the last byte came.
func (t *transport) lastHeard() time.Time {
	return t.start.Add(time.Duration(t.heard.Load()))
}

// timeoutError is the error of a peer that did not answer in time.
type timeoutError struct {
	limit time.Duration
	what  string
}

func (s *timeoutError) Error() string { return fmt.Sprintf("%s for %v", s.what, s.limit) }

// Timeout makes it a timeout, as those of package net are.
func (s *timeoutError) Timeout() bool { return true }

// Is makes errors.Is find the expired deadline that it stands for.
func (s *timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
