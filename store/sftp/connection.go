package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"sftpconnector/status"

	"golang.org/x/crypto/ssh"
)

// ErrNoChannel: the server takes no further channel on this connection.
var ErrNoChannel = errors.New("the server refuses another channel")

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

// Channel is a byte stream to the server's SFTP subsystem. Close does not wait
// for the server.
type Channel interface {
	io.Reader
	io.WriteCloser
}

// newConnection watches over a client that has logged in.
func newConnection(client *ssh.Client, t *transport, cfg Config) *Connection {
	c := &Connection{client: client, t: t, addr: cfg.addr(), timeouts: cfg.Timeouts, done: make(chan struct{})}
	go func() {
		c.ended(client.Wait())
	}()
	go c.keepAlive()
	return c
}

// ended settles why the connection is gone.
func (c *Connection) ended(err error) {
	c.once.Do(func() {
		// The SSH layer closes the stream before it says why.
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

// Abort cuts the connection at once; Err then gives err, if no other reason
// came first. It does not block.
func (c *Connection) Abort(err error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = err
	}
	c.mu.Unlock()
	c.t.abort(err)
}

// Close cuts the connection at once, and with it all channels. It does not block.
func (c *Connection) Close() error {
	c.Abort(errClosed)
	return nil
}

var errClosed = errors.New("it was closed on our side")

// Done is closed when the connection is gone, for whatever reason.
func (c *Connection) Done() <-chan struct{} { return c.done }

// Err is why the connection is gone, or about to go as Abort or Close was called, a
// *status.Error; nil while it stands.
func (c *Connection) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.cause != nil {
		return lostError(c.addr, c.cause)
	}
	return c.err
}

// ServerVersion is how the server introduced itself, as in
// "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3".
func (c *Connection) ServerVersion() string { return string(c.client.ServerVersion()) }

// silent is the loss of a server that does not answer.
func (c *Connection) silent(what string) error {
	return &status.Error{Word: status.ConnectionLost, Op: "connection to", Target: c.addr,
		Err:  &silence{c.timeouts.Operation, what},
		Hint: "The server answers nothing: check the network between here and there, and whether the server is overloaded; the next pass tries again."}
}

// OpenSFTP opens a channel and starts the SFTP subsystem on it, within
// Timeouts.Operation. A server that refuses one more channel gives ErrNoChannel;
// one that has no SFTP for this user a *status.Error with SFTPUnavailable. A ctx
// that ends leaves the connection as it is.
func (c *Connection) OpenSFTP(ctx context.Context) (Channel, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeouts.Operation, c.silent("no answer to the opening of a channel"))
	defer cancel()
	type result struct {
		ch  *channel
		err error
	}
	opened := make(chan result)
	go func() {
		ch, err := c.openSFTP()
		select {
		case opened <- result{ch, err}:
		case <-ctx.Done():
			if ch != nil {
				ch.Close()
			}
		}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, r.err
		}
		return r.ch, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.done:
		return nil, c.err
	}
}

func (c *Connection) openSFTP() (*channel, error) {
	ch, requests, err := c.client.OpenChannel("session", nil)
	if err != nil {
		if refused, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
			return nil, fmt.Errorf("%w: %s", ErrNoChannel, printable([]byte(refused.Message)))
		}
		return nil, c.lostBy(err)
	}
	beside := listen(ch, requests)
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	if err == nil && ok {
		return &channel{Channel: ch, opening: &opening{ch: ch, aside: beside}}, nil
	}
	(&channel{Channel: ch}).Close()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, c.lostBy(err)
	}
	if err != nil { // the channel was closed, or the whole connection
		if gone := c.goneSoon(); gone != nil {
			return nil, gone
		}
	}
	return nil, &status.Error{Word: status.SFTPUnavailable, Op: "start SFTP on", Target: c.addr,
		Err: errors.New("the server refuses the subsystem sftp")}
}

// goneGrace is how long the end of a connection may take to be settled after
// an operation on it has failed.
const goneGrace = 200 * time.Millisecond

// goneSoon is the end of the connection, if it has ended.
func (c *Connection) goneSoon() error {
	select {
	case <-c.done:
		return c.err
	case <-time.After(goneGrace):
		return nil
	}
}

// lostBy is the end of the connection, or err where it is not settled yet.
func (c *Connection) lostBy(err error) error {
	if gone := c.goneSoon(); gone != nil {
		return gone
	}
	return lostError(c.addr, err)
}

// channel is an SSH channel whose Close does not wait: the message for it may
// have to queue behind writes that a frozen server does not take.
type channel struct {
	ssh.Channel
	opening *opening
	once    sync.Once
}

// Read gives what the server sends, once that has begun as SFTP does.
func (ch *channel) Read(p []byte) (int, error) { return ch.opening.Read(p) }

// Write gives the reason where the server ended before it was asked anything.
func (ch *channel) Write(p []byte) (int, error) {
	n, err := ch.Channel.Write(p)
	if err != nil {
		if why := ch.opening.failure(); why != nil {
			err = why
		}
	}
	return n, err
}

// Close ends the stream. It always gives nil.
func (ch *channel) Close() error {
	ch.once.Do(func() { go ch.Channel.Close() })
	return nil
}
