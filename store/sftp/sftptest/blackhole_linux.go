package sftptest

import (
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Blackhole gives an address of loopback at which a connection is neither
// accepted nor refused, as behind a firewall that drops: a listener whose queue
// is full. It works on Linux alone.
func Blackhole(tb testing.TB) (addr string) {
	tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(tb, err)
	tb.Cleanup(func() { syscall.Close(fd) })
	must(tb, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(tb, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	must(tb, err)
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for range 16 {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if os.IsTimeout(err) {
			return addr // the queue is full
		}
		must(tb, err)
		tb.Cleanup(func() { c.Close() })
	}
	tb.Fatal("sftptest: this kernel accepts any number of connections")
	return ""
}
