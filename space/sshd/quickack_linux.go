package sshd

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// quickAcks gives a function that makes the kernel acknowledge received and following
// packets at once. Clients that write a packet in pieces, with Nagle's algorithm on,
// wait for an acknowledgement before they send the last piece: a delayed one costs them
// 40 ms a packet. The kernel goes back to delaying on its own (tcp(7)), so that the
// function is called after each read. It is nil for what is no TCP connection.
func quickAcks(c net.Conn) func() {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	ask := func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // without it the connection is slow, and works
	}
	return func() { _ = raw.Control(ask) } // it fails on a closed connection, whose use fails too
}
