package sshd

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"sftpconnector/space/authdelay"
)

// writeTimeout is how long the network may take to accept a packet.
const writeTimeout = time.Minute

// visitor is the network side of one client, from its first byte on. Until it
// is logged in, one deadline stands over all that it does; after stay, each
// read and each write has its own.
type client struct {
	net.Conn
	address     string // its IP, for people
	source      netip.Prefix
	readTimeout atomic.Int64 // after stay: the longest; before it 0
	dropped     atomic.Bool  // it had to make room
	ack         func()       // acknowledges what has come; nil: the kernel does as it likes

	// For the gate, under its lock.
	wrongPassword bool          // it has given a wrong password
	admittedAt    time.Time     // when it was let in
	admitted      chan struct{} // closed then

	// ctx ends when the client hangs up or is cut, so that nobody waits for it
	// any longer; before it is logged in also when the server stops.
	ctx     context.Context
	cancel  context.CancelFunc
	unwatch func() bool // unties the connection from the server
}

func newClient(ctx context.Context, conn net.Conn, handshake time.Duration) *client {
	c := &client{Conn: conn, address: conn.RemoteAddr().String(), ack: quickAcks(conn), admitted: make(chan struct{})}
	if ap, err := netip.ParseAddrPort(c.address); err == nil {
		c.address, c.source = ap.Addr().Unmap().String(), authdelay.PrefixOf(ap.Addr())
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.unwatch = context.AfterFunc(ctx, c.hangUp)
	_ = conn.SetDeadline(time.Now().Add(handshake)) // it fails on a closed connection, whose use fails too
	return c
}

// hangUp ends the connection and all that waits for it.
func (c *client) hangUp() {
	c.cancel()
	c.Conn.Close()
}

// hadTurn reports whether it was inside long enough to log in.
func (c *client) hadLoginTime(now time.Time) bool { return now.Sub(c.admittedAt) >= loginTime }

// drop hangs up to make room for others.
func (c *client) drop() {
	c.dropped.Store(true)
	c.hangUp()
}

// leave lets go of what newVisitor took.
func (c *client) release() {
	c.unwatch()
	c.hangUp()
}

// stay is called after the login: the connection may now go on for as long as
// something comes from it each silence, and no longer ends at once with the server.
func (c *client) loggedIn(silence time.Duration) {
	c.unwatch()
	c.readTimeout.Store(int64(silence))
	// A read is under way: this is its deadline too.
	_ = c.Conn.SetReadDeadline(time.Now().Add(silence))
}

func (c *client) Read(p []byte) (int, error) {
	if d := c.readTimeout.Load(); d > 0 {
		_ = c.Conn.SetReadDeadline(time.Now().Add(time.Duration(d)))
	}
	n, err := c.Conn.Read(p)
	if c.ack != nil {
		c.ack()
	}
	if err != nil {
		c.cancel()
	}
	return n, err
}

func (c *client) Write(p []byte) (int, error) {
	if c.readTimeout.Load() > 0 {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	return c.Conn.Write(p)
}

// printable makes a text of the other side fit for a log: bounded, on one line.
func printable(s string) string {
	const limit = 100
	short := s[:min(len(s), limit)]
	short = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '\uFFFD' {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(short, "."))
	if len(s) > limit {
		short += "…"
	}
	return short
}
