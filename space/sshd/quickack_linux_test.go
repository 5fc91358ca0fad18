package sshd

import (
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quickAck reads or sets the option of a TCP connection.
func quickAck(t *testing.T, c net.Conn, do func(fd int) error) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

// The kernel forgets that it is to acknowledge at once: each read reminds it.
func TestQuickAcks(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t.Context(), accepted, time.Minute)
	defer c.release()
	for round := range 3 {
		quickAck(t, accepted, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0) })
		if _, err := client.Write([]byte("data")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		on := 0
		quickAck(t, accepted, func(fd int) (err error) {
			on, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK)
			return err
		})
		if on != 1 {
			t.Errorf("round %d: acknowledgements are delayed after a read", round)
		}
	}
}
