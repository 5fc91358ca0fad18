package relay_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/faults/relay"
	"sftpconnector/faults/tcpport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	deadline = 10 * time.Second       // for what must come
	silence  = 150 * time.Millisecond // for what must not come
)

// echo is a server that sends back what it gets; it gives its address.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

func start(t *testing.T) *relay.Relay {
	t.Helper()
	target := echo(t)
	r, err := relay.Start(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func set(t *testing.T, r *relay.Relay, line relay.Line) {
	t.Helper()
	if err := r.Set(line); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, r *relay.Relay) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", r.Addr(), deadline)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	c.SetWriteDeadline(time.Now().Add(deadline))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, text string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(deadline))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("heard %q, %v; want %q", got, err, text)
	}
}

func hearNothing(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(silence))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %d bytes, %v; want nothing", n, err)
	}
}

func hearReset(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(deadline))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("heard %d bytes, %v; want a reset", n, err)
	}
}

func counts(t *testing.T, r *relay.Relay, connections, resets, stalls int) {
	t.Helper()
	if c, rs, s := r.Counts(); c != connections || rs != resets || s != stalls {
		t.Errorf("counted %d connections, %d resets, %d stalls; want %d, %d, %d", c, rs, s, connections, resets, stalls)
	}
}

func TestAHealthyLineHandsOnEverythingAndItsEnd(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := dial(t, r)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
	var sending sync.WaitGroup
	sending.Go(func() {
		c.Write(want)
		c.(*net.TCPConn).CloseWrite()
	})
	c.SetReadDeadline(time.Now().Add(deadline))
	got, err := io.ReadAll(c)
	sending.Wait()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came, %v; want %d", len(got), err, len(want))
	}
	counts(t, r, 1, 0, 0)
}

func TestRefuseRefusesNewConnectionsAndKeepsThePort(t *testing.T) {
	t.Parallel()
	r := start(t)
	open := dial(t, r)
	say(t, open, "a")
	hear(t, open, "a")
	set(t, r, relay.Line{Refuse: true})
	for range 50 {
		c, err := net.DialTimeout("tcp", r.Addr(), deadline)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial gave %v, %v; want refused", c, err)
		}
	}
	say(t, open, "b")
	hear(t, open, "b")
	set(t, r, relay.Line{})
	c := dial(t, r)
	say(t, c, "c")
	hear(t, c, "c")
}

func TestABlackHoleTakesAndGivesNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	open := dial(t, r)
	say(t, open, "a")
	hear(t, open, "a")
	set(t, r, relay.Line{Blackhole: true})
	fresh := dial(t, r)
	for _, c := range []net.Conn{open, fresh} {
		say(t, c, string(make([]byte, 8<<20))) // taken, however much it is
		hearNothing(t, c)
	}
	counts(t, r, 2, 0, 2)
	set(t, r, relay.Line{})
	for _, c := range []net.Conn{open, fresh} {
		say(t, c, "b")
		hearNothing(t, c) // what lost bytes does not go on
	}
	well := dial(t, r)
	say(t, well, "c")
	hear(t, well, "c")
}

func TestAStallHoldsSendersBackAndLosesNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := dial(t, r)
	say(t, c, "a")
	hear(t, c, "a")
	set(t, r, relay.Line{Stall: true})
	say(t, c, "b")
	hearNothing(t, c)

	c.SetWriteDeadline(time.Now().Add(time.Second))
	sent, err := c.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a stalled line took %d bytes, %v", sent, err)
	}
	set(t, r, relay.Line{})
	hear(t, c, "b")
	c.SetReadDeadline(time.Now().Add(deadline))
	if n, err := io.CopyN(io.Discard, c, int64(sent)); err != nil {
		t.Fatalf("%d of %d bytes came: %v", n, sent, err)
	}
	counts(t, r, 1, 0, 1)
}

func TestSlowLines(t *testing.T) {
	t.Parallel()
	text := string(bytes.Repeat([]byte("x"), 1000))
	for name, tc := range map[string]struct {
		line  relay.Line
		least time.Duration
	}{
		"one byte at a time":       {relay.Line{OneByte: true, Only: relay.Up}, 100 * time.Millisecond},
		"one byte, both ways":      {relay.Line{OneByte: true}, 100 * time.Millisecond},
		"delay":                    {relay.Line{Delay: 80 * time.Millisecond}, 160 * time.Millisecond},
		"delay of one direction":   {relay.Line{Delay: 80 * time.Millisecond, Only: relay.Down}, 80 * time.Millisecond},
		"bytes per second":         {relay.Line{BytesPerSecond: 4000}, 200 * time.Millisecond},
		"rate of one direction":    {relay.Line{BytesPerSecond: 4000, Only: relay.Up}, 200 * time.Millisecond},
		"fewer bytes than a piece": {relay.Line{BytesPerSecond: 5000, OneByte: true}, 190 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			set(t, r, tc.line)
			c := dial(t, r)
			began := time.Now()
			say(t, c, text)
			hear(t, c, text)
			if took := time.Since(began); took < tc.least {
				t.Errorf("took %v, want at least %v", took, tc.least)
			}
		})
	}
}

func TestOneByteIsReadAtATime(t *testing.T) {
	t.Parallel()
	r := start(t)
	set(t, r, relay.Line{OneByte: true, Only: relay.Down})
	c := dial(t, r)
	say(t, c, "0123456789")
	c.SetReadDeadline(time.Now().Add(deadline))
	reads := 0
	for got := 0; got < 10; reads++ {
		n, err := c.Read(make([]byte, 10))
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if reads < 3 { // the reader may be slower than the line, now and then
		t.Errorf("ten bytes came in %d pieces", reads)
	}
}

func TestResetIsSeenAsReset(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := dial(t, r)
	say(t, c, "a")
	hear(t, c, "a")
	r.Reset()
	hearReset(t, c)
	counts(t, r, 1, 1, 0)
	c = dial(t, r)
	say(t, c, "b")
	hear(t, c, "b")
}

func TestEventsComeAtTheirByte(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.ResetAfter(3)
	r.HalfOpenAfter(8)
	r.StallAfter(10)

	c := dial(t, r)
	say(t, c, "abc")
	hear(t, c, "abc")
	hearNothing(t, c)
	say(t, c, "d")
	hearReset(t, c)

	c = dial(t, r)
	say(t, c, "0123456")
	hear(t, c, "01234")
	hearNothing(t, c)
	c.Close()

	c = dial(t, r) // two bytes were lost above
	say(t, c, "x")
	hearNothing(t, c)
	set(t, r, relay.Line{})
	hear(t, c, "x")
	say(t, c, "y")
	hear(t, c, "y")
	counts(t, r, 3, 1, 2)
}

func TestAnUnreachableServerResetsAndAnotherTargetServes(t *testing.T) {
	t.Parallel()
	gone, err := tcpport.Reserve("127.0.0.1:0") // nobody listens there
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	r, err := relay.Start(gone.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := net.DialTimeout("tcp", r.Addr(), deadline)
	if err == nil {
		defer c.Close()
		hearReset(t, c)
	} else if !errors.Is(err, syscall.ECONNRESET) { // so soon that dialing saw it
		t.Fatal(err)
	}
	r.SetTarget(echo(t))
	c = dial(t, r)
	say(t, c, "a")
	hear(t, c, "a")
}

func TestCloseEndsConnectionsThatAreStalled(t *testing.T) {
	t.Parallel()
	r := start(t)
	set(t, r, relay.Line{Stall: true})
	c := dial(t, r)
	say(t, c, "a")
	closed := make(chan error, 1)
	go func() { closed <- r.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(deadline):
		t.Fatal("Close does not end")
	}
	hearReset(t, c)
}
