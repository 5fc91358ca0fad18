package sshclient

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"sftpconnector/status"

	"golang.org/x/crypto/ssh"
)

// Connection is a login on a server. Its methods may be called concurrently.
type Connection struct {
	client   *ssh.Client
	t        *transport
	addr     string
	timeouts Timeouts
	done     chan struct{}
	once     sync.Once
	mu       sync.Mutex
	cause    error                       // the first reason that was given for the end
	err      error                       // settled before done is closed
	question func(context.Context) error // what keepAlive asks; nil: nothing yet
}

// newConnection watches over a client that has logged in.
func newConnection(client *ssh.Client, t *transport, cfg Config) *Connection {
	c := &Connection{client: client, t: t, addr: cfg.Addr(), timeouts: cfg.Timeouts, done: make(chan struct{})}
	go func() {
		c.ended(client.Wait())
	}()
	go c.keepAlive()
	return c
}

// ended sets why the connection is gone.
func (c *Connection) ended(err error) {
	c.once.Do(func() {
		// The SSH layer closes the stream before it gives the reason.
		if cut := c.t.abortCause(); cut != nil && !errors.Is(cut, net.ErrClosed) {
			err = cut
		}
		c.t.Close()
		c.mu.Lock()
		if c.cause != nil {
			err = c.cause
		}
		c.err = lostError(c.addr, err)
		c.mu.Unlock()
		close(c.done)
	})
}

// Abort cuts the connection at once. Err then gives err, unless there was another
// reason before. It does not block.
func (c *Connection) Abort(err error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = err
	}
	c.mu.Unlock()
	c.t.abort(err)
}

// Close cuts the connection and all its channels at once. It does not block.
func (c *Connection) Close() error {
	c.Abort(ErrClosed)
	return nil
}

// ErrClosed is the reason of a connection that Close has ended.
var ErrClosed = errors.New("it was closed on our side")

// Done is closed when the connection is gone, for whatever reason.
func (c *Connection) Done() <-chan struct{} { return c.done }

// Err is why the connection is gone, or is about to go after Abort or Close: a
// *status.Error. It is nil while the connection lasts.
func (c *Connection) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.cause != nil {
		return lostError(c.addr, c.cause)
	}
	return c.err
}

// ServerVersion is the server's version string, as in "SSH-2.0-OpenSSH_9.2p1
// Debian-2+deb12u3".
func (c *Connection) ServerVersion() string { return string(c.client.ServerVersion()) }

// Unanswered is the *status.Error of a server that has not answered within
// Timeouts.Operation. what names the answer, as in "no answer to READ".
func (c *Connection) Unanswered(what string) error {
	return &status.Error{Word: status.ConnectionLost, Op: "connection to", Target: c.addr,
		Err:  &timeoutError{c.timeouts.Operation, what},
		Hint: "The server answers nothing: check the network between here and there, and whether the server is overloaded; the next pass tries again."}
}

// endGrace is how long the end of a connection may take to become known after an
// operation on it has failed.
const endGrace = 200 * time.Millisecond

// endsSoon is the reason of the connection's end, if it ends within endGrace.
func (c *Connection) endsSoon() error {
	select {
	case <-c.done:
		return c.err
	case <-time.After(endGrace):
		return nil
	}
}

// lostBy is the reason of the connection's end, or err while that is not known.
func (c *Connection) lostBy(err error) error {
	if gone := c.endsSoon(); gone != nil {
		return gone
	}
	return lostError(c.addr, err)
}
