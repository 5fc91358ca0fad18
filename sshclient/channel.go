package sshclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// ErrNoChannel means that the server opens no further channel on this connection.
var ErrNoChannel = errors.New("the server refuses another channel")

// ErrNoSubsystem means that the server does not start the subsystem for this user.
var ErrNoSubsystem = errors.New("the server refuses the subsystem")

// OpenSubsystem opens a channel and starts a subsystem on it, within
// Timeouts.Operation. The error is ErrNoChannel if the server refuses the channel,
// ErrNoSubsystem if it does not start the subsystem, and a *status.Error if the
// connection is lost. The end of ctx leaves the connection as it is.
func (c *Connection) OpenSubsystem(ctx context.Context, name string) (*Channel, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeouts.Operation, c.Unanswered("no answer to the opening of a channel"))
	defer cancel()
	type result struct {
		ch  *Channel
		err error
	}
	opened := make(chan result)
	go func() {
		ch, err := c.startSubsystem(name)
		select {
		case opened <- result{ch, err}:
		case <-ctx.Done():
			if ch != nil {
				_ = ch.Close()
			}
		}
	}()
	select {
	case r := <-opened:
		return r.ch, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.done:
		return nil, c.err
	}
}

// startSubsystem waits for the server without a timeout.
func (c *Connection) startSubsystem(name string) (*Channel, error) {
	stream, requests, err := c.client.OpenChannel("session", nil)
	if err != nil {
		if refused, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
			return nil, fmt.Errorf("%w: %s", ErrNoChannel, Printable([]byte(refused.Message)))
		}
		return nil, c.lostBy(err)
	}
	ch := newChannel(stream, requests)
	ok, err := stream.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{name}))
	if err == nil && ok {
		return ch, nil
	}
	_ = ch.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, c.lostBy(err)
	}
	if err != nil { // the channel was closed, or the whole connection
		if gone := c.endsSoon(); gone != nil {
			return nil, gone
		}
	}
	return nil, fmt.Errorf("%w %s", ErrNoSubsystem, name)
}

const (
	// maxStderr bounds the bytes of standard error that are kept.
	maxStderr = 512
	// noCommand is the exit status of a shell that does not find its command.
	noCommand = 127
)

// Channel is a byte stream to a subsystem of the server. It may be read and written
// concurrently.
type Channel struct {
	stream ssh.Channel
	close  sync.Once

	mu     sync.Mutex
	stderr []byte // the beginning of it
	status string // how the subsystem ended

	stderrEnd   chan struct{} // closed at the end of standard error
	requestsEnd chan struct{} // closed when no further request can come
}

// newChannel reads standard error and the server's requests until the channel ends, as
// unread output would fill the channel's window.
func newChannel(stream ssh.Channel, requests <-chan *ssh.Request) *Channel {
	c := &Channel{stream: stream, stderrEnd: make(chan struct{}), requestsEnd: make(chan struct{})}
	go func() {
		defer close(c.stderrEnd)
		_, _ = io.Copy((*stderrWriter)(c), stream.Stderr())
	}()
	go func() {
		defer close(c.requestsEnd)
		for r := range requests {
			c.request(r)
		}
	}()
	return c
}

// Read implements io.Reader.
func (c *Channel) Read(p []byte) (int, error) { return c.stream.Read(p) }

// Write implements io.Writer.
func (c *Channel) Write(p []byte) (int, error) { return c.stream.Write(p) }

// Close ends the stream. It always gives nil. It does not wait for the server: its
// message may queue behind writes that a frozen server does not read.
func (c *Channel) Close() error {
	c.close.Do(func() { go c.stream.Close() })
	return nil
}

// Exit tells how the subsystem ended, as in " with status 1", and the beginning of
// what it wrote to standard error, in one printable line. It waits until both are
// known, for no longer than limit; what is not known by then is "".
func (c *Channel) Exit(limit time.Duration) (status, stderr string) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
wait:
	for _, end := range []chan struct{}{c.stderrEnd, c.requestsEnd} {
		select {
		case <-end:
		case <-timer.C:
			break wait
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, Printable([]byte(strings.Join(strings.Fields(string(c.stderr)), " ")))
}

// stderrWriter keeps the beginning of standard error.
type stderrWriter Channel

func (w *stderrWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stderr = append(w.stderr, p[:min(len(p), maxStderr-len(w.stderr))]...)
	return len(p), nil
}

// request notes how the subsystem ended (RFC 4254, section 6.10).
func (c *Channel) request(r *ssh.Request) {
	var exit struct{ Status uint32 }
	var signal struct {
		Name string
		Rest []byte `ssh:"rest"`
	}
	c.mu.Lock()
	switch {
	case r.Type == "exit-status" && ssh.Unmarshal(r.Payload, &exit) == nil:
		c.status = fmt.Sprintf(" with status %d", exit.Status)
		if exit.Status == noCommand {
			c.status += " (no such command)"
		}
	case r.Type == "exit-signal" && ssh.Unmarshal(r.Payload, &signal) == nil:
		c.status = fmt.Sprintf(" by signal %s", Printable([]byte(signal.Name)))
	}
	c.mu.Unlock()
	if r.WantReply {
		_ = r.Reply(false, nil)
	}
}
