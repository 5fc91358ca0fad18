package sftptest

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest/relay"
)

// StartRelay puts a relay in front of target until the test ends.
func StartRelay(tb testing.TB, target string, oneWay time.Duration) *relay.Relay {
	tb.Helper()
	r, err := relay.Start(context.Background(), target, oneWay)
	must(tb, err)
	tb.Cleanup(func() { r.Close() })
	return r
}

// Via gives the same endpoint as clients see it through another address, such
// as a relay's, with a KnownHosts file for that.
func (e Endpoint) Via(tb testing.TB, addr string) Endpoint {
	tb.Helper()
	host, port, err := net.SplitHostPort(addr)
	must(tb, err)
	e.Host, e.Addr = host, addr
	e.Port, err = strconv.Atoi(port)
	must(tb, err)
	e.KnownHosts = writeFile(tb, "known_hosts", KnownHostsLines(addr, e.HostKeys...))
	return e
}
