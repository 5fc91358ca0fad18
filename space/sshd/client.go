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

// client is the connection of one client, from its first byte on. Until it is logged
// in, it has one deadline for everything. After loggedIn, each read and each write has
// its own.
type client struct {
	net.Conn
	address     string // its IP, for people
	source      netip.Prefix
	readTimeout atomic.Int64 // of each read, after loggedIn; before it 0
	dropped     atomic.Bool  // it had to make room for others
	ack         func()       // acknowledges received packets at once; nil: the kernel decides when

	// For the loginQueue, under its lock.
	wrongPassword bool          // it has given a wrong password
	admittedAt    time.Time     // when it was admitted
	admitted      chan struct{} // closed when it is admitted

	// ctx ends when the client disconnects or is disconnected. Before the login it also
	// ends with the server.
	ctx     context.Context
	cancel  context.CancelFunc
	unwatch func() bool // keeps the connection when the server stops
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

// hangUp ends the connection and everything that waits for it.
func (c *client) hangUp() {
	c.cancel()
	c.Conn.Close()
}

// hadLoginTime reports whether it was admitted long enough ago to log in.
func (c *client) hadLoginTime(now time.Time) bool { return now.Sub(c.admittedAt) >= loginTime }

// drop disconnects the client to make room for others.
func (c *client) drop() {
	c.dropped.Store(true)
	c.hangUp()
}

// release frees what newClient took.
func (c *client) release() {
	c.unwatch()
	c.hangUp()
}

// loggedIn is called after the login. From then on each read may take readTimeout, and
// the connection no longer ends at once with the server.
func (c *client) loggedIn(silence time.Duration) {
	c.unwatch()
	c.readTimeout.Store(int64(silence))
	// A read is in progress, and this is its deadline too.
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

// printable makes a text of the client fit for a log: bounded, on one line.
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
