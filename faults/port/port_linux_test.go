package port_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"sftpconnector/faults/port"
)

func TestAPortIsKeptWhileNobodyListens(t *testing.T) {
	t.Parallel()
	p, err := port.Hold(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if c, err := net.DialTimeout("tcp", p.Addr(), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial gave %v, %v; want refused", c, err)
		}
		if l, err := net.Listen("tcp", p.Addr()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("another listener got %v, %v; want address in use", l, err)
		}
		l, err := p.Listen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.DialTimeout("tcp", p.Addr(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", p.Addr())
	if err != nil {
		t.Fatalf("the port was not given back: %v", err)
	}
	l.Close()
}
