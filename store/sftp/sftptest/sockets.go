package sftptest

import (
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// StartBanner listens on loopback and greets every client with text, such as
// "220 FTP ready\r\n" or an HTTP answer; what clients say is read and dropped,
// and the connection stays open until they close it or the test ends.
func StartBanner(tb testing.TB, text string) (addr string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	var running sync.WaitGroup
	var mu sync.Mutex
	conns, stopped := map[net.Conn]bool{}, false
	tb.Cleanup(func() {
		l.Close()
		mu.Lock()
		stopped = true
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if stopped {
				c.Close()
			}
			conns[c] = true
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				_, _ = io.WriteString(c, text)
				_, _ = io.Copy(io.Discard, c)
			})
		}
	})
	return l.Addr().String()
}

// StartSilent listens on loopback, accepts, and never says anything.
func StartSilent(tb testing.TB) (addr string) {
	tb.Helper()
	return StartBanner(tb, "")
}

// ClosedPort gives an address of loopback that refuses connections.
func ClosedPort(tb testing.TB) (addr string) {
	tb.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(tb)))
}
