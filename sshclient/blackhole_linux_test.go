package sshclient

import (
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"sftpconnector/status"
)

// blackhole is an address that answers no SYN, as behind a firewall that
// drops: a listener whose queue is full.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return addr // the queue is full
		}
		t.Cleanup(func() { c.Close() })
	}
}

func TestConnectTimesOut(t *testing.T) {
	noLeaks(t)
	cfg := at(t, blackhole(t))
	cfg.Timeouts.Dial = 300 * time.Millisecond
	expectFailure(t, cfg, status.ConnectionTimedOut, status.StageConnect, "no answer for 300ms")
}
