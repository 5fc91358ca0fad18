package sftp

import (
	"bytes"
	"context"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// questions counts what a connection asks, as often as it may.
type questions struct {
	t     *testing.T
	conn  *Connection
	asked chan struct{}
}

// countQuestions puts a count in front of the question of a session.
func countQuestions(t *testing.T, s *session) *questions {
	q := &questions{t: t, conn: s.conn, asked: make(chan struct{})}
	s.conn.KeepAlive(func(ctx context.Context) error {
		err := s.lookAtRoot(ctx)
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
	cfg := keyLogin(server.Endpoint)
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
	cfg := keyLogin(server.Endpoint)
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
