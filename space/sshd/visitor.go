package sshd

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"sftpconnector/space/guessing"
)

// writeTimeout is how long the network may take to accept a packet.
const writeTimeout = time.Minute

// visitor is the network side of one client, from its first byte on. Until it
// is logged in, one deadline stands over all that it does; after stay, each
// read and each write has its own.
type visitor struct {
	net.Conn
	address string // its IP, for people
	source  netip.Prefix
	silence atomic.Int64 // after stay: the longest; before it 0
	dropped atomic.Bool  // it had to make room
	ack     func()       // acknowledges what has come; nil: the kernel does as it likes

	// For the gate, under its lock.
	failed   bool          // it has given a wrong password
	since    time.Time     // when it was let in
	admitted chan struct{} // closed then

	// ctx ends when the client hangs up or is cut, so that nobody waits for it
	// any longer; before it is logged in also when the server stops.
	ctx    context.Context
	cancel context.CancelFunc
	stop   func() bool // unties the connection from the server
}

func newVisitor(ctx context.Context, c net.Conn, handshake time.Duration) *visitor {
	v := &visitor{Conn: c, address: c.RemoteAddr().String(), ack: quickAcks(c), admitted: make(chan struct{})}
	if ap, err := netip.ParseAddrPort(v.address); err == nil {
		v.address, v.source = ap.Addr().Unmap().String(), guessing.SourceOf(ap.Addr())
	}
	v.ctx, v.cancel = context.WithCancel(context.WithoutCancel(ctx))
	v.stop = context.AfterFunc(ctx, v.hangUp)
	_ = c.SetDeadline(time.Now().Add(handshake)) // it fails on a closed connection, whose use fails too
	return v
}

// hangUp ends the connection and all that waits for it.
func (v *visitor) hangUp() {
	v.cancel()
	v.Conn.Close()
}

// hadTurn reports whether it was inside long enough to log in.
func (v *visitor) hadTurn(now time.Time) bool { return now.Sub(v.since) >= turn }

// drop hangs up to make room for others.
func (v *visitor) drop() {
	v.dropped.Store(true)
	v.hangUp()
}

// leave lets go of what newVisitor took.
func (v *visitor) leave() {
	v.stop()
	v.hangUp()
}

// stay is called after the login: the connection may now go on for as long as
// something comes from it each silence, and no longer ends at once with the server.
func (v *visitor) stay(silence time.Duration) {
	v.stop()
	v.silence.Store(int64(silence))
	// A read is under way: this is its deadline too.
	_ = v.Conn.SetReadDeadline(time.Now().Add(silence))
}

func (v *visitor) Read(p []byte) (int, error) {
	if d := v.silence.Load(); d > 0 {
		_ = v.Conn.SetReadDeadline(time.Now().Add(time.Duration(d)))
	}
	n, err := v.Conn.Read(p)
	if v.ack != nil {
		v.ack()
	}
	if err != nil {
		v.cancel()
	}
	return n, err
}

func (v *visitor) Write(p []byte) (int, error) {
	if v.silence.Load() > 0 {
		_ = v.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	return v.Conn.Write(p)
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
