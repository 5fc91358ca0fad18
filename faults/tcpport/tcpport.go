// Package tcpport reserves a TCP port for a server that goes away and comes back.
//
// While the server is away, connecting to the port is refused, and the system gives the
// port to nobody else. Without that, a port of loopback is soon the source port of some
// connection, and a client that tries it often enough even connects to itself.
package tcpport

import (
	"context"
	"fmt"
	"net"
)

// Port is a port that is reserved. Its methods may be called concurrently.
type Port struct {
	addr    string
	release func() error
}

// Reserve reserves the port of addr, host:port; port 0 reserves a free one. Nobody
// listens there until Listen.
func Reserve(addr string) (*Port, error) {
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("hold %s: %w", addr, err)
	}
	taken, release, err := bind(at)
	if err != nil {
		return nil, fmt.Errorf("hold %s: %w", addr, err)
	}
	return &Port{addr: taken.String(), release: release}, nil
}

// Addr is the address with its port.
func (p *Port) Addr() string { return p.addr }

// Listen listens at the port. Closing the listener does not free the port.
func (p *Port) Listen(ctx context.Context) (net.Listener, error) {
	return listenConfig().Listen(ctx, "tcp", p.addr)
}

// Close frees the port.
func (p *Port) Close() error { return p.release() }
