package sftp

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
)

// questions counts what a connection asks, as often as it may.
type questions struct {
	t     *testing.T
	conn  *connection
	asked chan struct{}
}

// countQuestions puts a count in front of the question of a session.
func countQuestions(t *testing.T, s *session) *questions {
	q := &questions{t: t, conn: s.conn, asked: make(chan struct{})}
	s.conn.KeepAlive(func(ctx context.Context) error {
		err := s.statRoot(ctx)
		select {
		case q.asked <- struct{}{}:
		case <-ctx.Done():
		case <-s.conn.Done():
		}
		return err
	})
	return q
}

// await waits for so many answers.
func (q *questions) await(n int) {
	q.t.Helper()
	limit := time.After(60 * time.Second)
	for range n {
		select {
		case <-q.asked:
		case <-q.conn.Done():
			q.t.Fatalf("the connection ended: %v", q.conn.Err())
		case <-limit:
			q.t.Fatal("nothing is asked")
		}
	}
}

// halting is a file whose first block is not taken before the server was asked
// some times.
type halting struct {
	memory
	q *questions
}

func (h *halting) WriteAt(p []byte, off int64) (int, error) {
	if off == 0 {
		h.q.await(5)
	}
	return h.memory.WriteAt(p, off)
}

// tinysshd answers global requests with SSH_MSG_UNIMPLEMENTED. A connection to
// it lasts, idle and in a copy.
func TestKeepaliveUnimplemented(t *testing.T) {
	noLeaks(t)
	server := sftptest.StartTinySSH(t)
	data := noise(4 << 20)
	e := put(t, server.Endpoint, "big.bin", data)
	cfg := byKey(server.Endpoint)
	cfg.Timeouts.Keepalive = 20 * time.Millisecond
	src, err := Open(t.Context(), cfg, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, server.Log())
	}
	defer src.Close()
	q := countQuestions(t, src.session)
	q.await(5)
	into := &halting{q: q}
	if _, err := src.Fetch(t.Context(), e, 0, into); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(into.b, data) {
		t.Error("the copy differs")
	}
	q.await(5)
}

// The same in the other direction.
func TestKeepaliveUnimplementedUpload(t *testing.T) {
	noLeaks(t)
	server := sftptest.StartTinySSH(t)
	cfg := byKey(server.Endpoint)
	cfg.Timeouts.Keepalive = 20 * time.Millisecond
	d, err := OpenDestination(t.Context(), cfg, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, server.Log())
	}
	defer d.Close()
	q := countQuestions(t, d.session)
	q.await(5)
	u := &uploading{t, d, server.Root}
	if _, err := u.deliver("a.csv", []byte("a")); err != nil {
		t.Fatal(err)
	}
	q.await(5)
}

// A peer that freezes is noticed by the keepalive alone, while nobody asks
// for anything, and everything that waits for it ends. The keepalive of the connection
// and that of the session ask at the same time; either may be the first to give up.
func TestFrozenPeerIsNoticed(t *testing.T) {
	noLeaks(t)
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	cfg := byKey(server.Endpoint)
	cfg.Timeouts.Keepalive, cfg.Timeouts.Operation = 50*time.Millisecond, 400*time.Millisecond
	src, err := Open(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	c := src.conn.Connection
	ch, err := c.OpenSubsystem(t.Context(), "sftp")
	if err != nil {
		t.Fatal(err)
	}
	// Answered keepalives hold the connection past the patience.
	select {
	case <-c.Done():
		t.Fatalf("an idle connection ended: %v", c.Err())
	case <-time.After(3 * cfg.Timeouts.Operation):
	}
	server.Freeze()
	start := time.Now()
	err = awaitEnd(t, c)
	if !status.Is(err, status.ConnectionLost) || !strings.Contains(err.Error(), "no answer") || !strings.Contains(err.Error(), "for 400ms") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := ch.Read(make([]byte, 1)); err == nil {
		t.Error("the channel still reads")
	}
	t.Log(err)
}
