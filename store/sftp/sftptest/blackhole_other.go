//go:build !linux

package sftptest

import "testing"

// Blackhole gives an address of loopback at which a connection is neither
// accepted nor refused. It works on Linux alone.
func Blackhole(tb testing.TB) (addr string) {
	tb.Helper()
	tb.Fatal("sftptest: Blackhole needs Linux")
	return ""
}
