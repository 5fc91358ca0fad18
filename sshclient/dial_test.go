package sshclient

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"sftpconnector/status"
)

// A host with several addresses is reached when one of them answers.
func TestDialAny(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	good, refusing := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.9")
	for name, addrs := range map[string][]netip.Addr{
		"first":              {good, refusing},
		"second":             {refusing, good},
		"third":              {refusing, refusing, good},
		"all of them answer": {good, good, good},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := dialAny(t.Context(), addrs, port, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
	}
	if _, err := dialAny(t.Context(), []netip.Addr{refusing, refusing}, port, 5*time.Second); !isRefused(err) {
		t.Errorf("all refuse: %v", err)
	}
}

func TestConnectErrors(t *testing.T) {
	dial := func(e error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: e} }
	for want, errs := range map[status.Word][]error{
		status.ConnectionRefused:  {dial(syscall.ECONNREFUSED), dial(wsaRefused), dial(syscall.EACCES)},
		status.ConnectionTimedOut: {dial(syscall.EHOSTUNREACH), dial(wsaHostUnreach), dial(syscall.ENETUNREACH), dial(wsaNetUnreach), dial(syscall.ETIMEDOUT)},
	} {
		for _, e := range errs {
			if got := connectError("h:22", e, time.Second); !status.Is(got, want) {
				t.Errorf("%v is %q, want %q", e, status.Of(got), want)
			}
		}
	}
}
