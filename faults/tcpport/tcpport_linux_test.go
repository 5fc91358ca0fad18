package tcpport_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"sftpconnector/faults/tcpport"
)

func TestAPortIsKeptWhileNobodyListens(t *testing.T) {
	t.Parallel()
	p, err := tcpport.Reserve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if c, err := net.DialTimeout("tcp", p.Addr(), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial gave %v, %v; want refused", c, err)
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

// The system gives the port to nobody else that asks for one.
func TestAHeldPortIsNotGivenAway(t *testing.T) {
	t.Parallel()
	p, err := tcpport.Reserve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if l.Addr().String() == p.Addr() {
			t.Fatal("another listener got it")
		}
	}
}
