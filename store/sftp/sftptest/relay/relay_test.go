package relay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/store/sftp/sftptest/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo starts a server that sends back what it gets, until its client is done.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func start(t *testing.T, delay time.Duration) (*relay.Relay, net.Conn) {
	t.Helper()
	r, err := relay.Start(context.Background(), echo(t), delay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return r, c
}

func TestDelayWithoutLimit(t *testing.T) {
	const delay, size = 100 * time.Millisecond, 16 << 20
	r, c := start(t, delay)
	want := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(want)
	begin := time.Now()
	go func() {
		_, _ = c.Write(want)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	one := make([]byte, 1)
	if _, err := io.ReadFull(c, one); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < 2*delay {
		t.Errorf("the first byte took %v, less than a round trip", d)
	}
	rest, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(slices.Concat(one, rest), want) {
		t.Fatalf("%d bytes, %v", len(rest)+1, err)
	}
	// One piece a round trip would take 50 s.
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("all took %v: the delay limits the rate", d)
	}
	if up, down := r.Bytes(); up != size || down != size {
		t.Errorf("counted %d and %d bytes", up, down)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	r, c := start(t, 0)
	r.Freeze()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("while frozen: %d bytes, %v", n, err)
	}
	r.Thaw()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestCut(t *testing.T) {
	r, c := start(t, 0)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Cut()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection outlived its cut")
	}
	again, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestCloseWhileFrozen(t *testing.T) {
	r, c := start(t, time.Hour)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.Freeze()
	r.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection outlived its relay")
	}
}
