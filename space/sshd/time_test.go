package sshd

import (
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// bubble runs a test with a server in a time of its own.
func bubble(t *testing.T, o Options, test func(t *testing.T, r *running, l *pipeListener)) {
	t.Parallel()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		o.HostKeys = HostKeyDirectory(keys)
		l := newPipeListener()
		r := startOn(t, l, o)
		test(t, r, l)
		if err := r.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// enter logs in over a pipe. The client answers keepalives, as ssh.NewClient does.
func enter(t *testing.T, r *running, l *pipeListener) *ssh.Client {
	t.Helper()
	c, err := r.over(l.dial(), testSpace, ssh.Password(testPassword))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// endsAfter checks when and why the next session ends.
func endsAfter(t *testing.T, r *running, began time.Time, want time.Duration, why Reason) {
	t.Helper()
	e := r.event(Closed)
	if took := time.Since(began).Round(time.Second); took != want || e.Reason != why {
		t.Errorf("ended after %v because %q, want %v because %q", took, e.Reason, want, why)
	}
}

func TestIdleSessionsEnd(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, r *running, l *pipeListener) {
		began := time.Now()
		enter(t, r, l)
		endsAfter(t, r, began, 15*time.Minute, EndIdle)
	})
}

func TestKeepalivesOfTheClientKeepASession(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, r *running, l *pipeListener) {
		c := enter(t, r, l)
		for range 10 {
			time.Sleep(10 * time.Minute)
			if ok, _, err := c.SendRequest(keepalive, true, nil); err != nil || !ok {
				t.Fatalf("after %d sessions: %v, %v; %s", len(r.Sessions()), ok, err, r.log)
			}
		}
		endsAfter(t, r, time.Now(), 15*time.Minute, EndIdle)
	})
}

func TestDeadClientsAreNoticed(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, r *running, l *pipeListener) {
		pipe := l.dial()
		conn, channels, requests, err := ssh.NewClientConn(pipe, "pipe", &ssh.ClientConfig{
			User: testSpace, Auth: []ssh.AuthMethod{ssh.Password(testPassword)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = channels, requests // nobody answers
		time.Sleep(time.Minute)
		if _, _, err := conn.SendRequest(keepalive, true, nil); err != nil { // its last word
			t.Fatal(err)
		}
		endsAfter(t, r, time.Now(), 90*time.Second, EndLost)
	})
}

func TestLoginHasADeadline(t *testing.T) {
	for name, hello := range map[string]string{"silent": "", "version only": "SSH-2.0-x\r\n", "no version": "\n\n\n\n"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, r *running, l *pipeListener) {
				began := time.Now()
				c := l.dial()
				_, _ = c.Write([]byte(hello))
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != 2*time.Minute {
					t.Errorf("cut after %v", took)
				}
			})
		})
	}
}

// A client that asks for much and takes nothing must not keep a goroutine.
func TestClientsThatDoNotReadAreCut(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, r *running, l *pipeListener) {
		if err := os.WriteFile(r.directory+"/big", make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		c := enter(t, r, l)
		channel, _, err := c.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); err != nil || !ok {
			t.Fatal(ok, err)
		}
		began := time.Now()
		go func() { _, _ = channel.Write(readForever()) }()
		gone := make(chan struct{})
		go func() { _ = c.Wait(); close(gone) }()
		go func() {
			for { // it is there all the time, and says so
				select {
				case <-time.After(time.Minute):
				case <-gone:
					return
				}
				if _, _, err := c.SendRequest(keepalive, true, nil); err != nil {
					return
				}
			}
		}()
		endsAfter(t, r, began, 15*time.Minute, EndStalled)
	})
}

func TestStopLetsWritersFinish(t *testing.T) {
	bubble(t, Options{Grace: time.Minute}, func(t *testing.T, r *running, l *pipeListener) {
		f, err := sftp.NewClient(enter(t, r, l))
		if err != nil {
			t.Fatal(err)
		}
		w, err := f.OpenFile("x", os.O_WRONLY|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		stopped := make(chan error)
		go func() { stopped <- r.stop() }()
		synctest.Wait()
		_, err = f.OpenFile("y", os.O_WRONLY|os.O_CREATE)
		wants(t, "a new file while the server stops", err, "the server stops")
		time.Sleep(30 * time.Second)
		if _, err := w.Write([]byte("text")); err != nil {
			t.Errorf("write: %v", err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		endsAfter(t, r, began, 30*time.Second, EndStopped)
		f.Close()
	})
}

func TestStopCutsThoseThatTakeTooLong(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, r *running, l *pipeListener) {
		f, err := sftp.NewClient(enter(t, r, l))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.OpenFile("x", os.O_WRONLY|os.O_CREATE); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() { _ = r.stop() }()
		endsAfter(t, r, began, 5*time.Second, EndStopped)
		f.Close()
	})
}

func TestStopEndsIdleSessionsAtOnce(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, r *running, l *pipeListener) {
		f, err := sftp.NewClient(enter(t, r, l))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() { _ = r.stop() }()
		endsAfter(t, r, began, 0, EndStopped)
		f.Close()
	})
}

// readForever is a client's packets that ask for all of "/big", again and again.
func readForever() []byte {
	p := packet(1, []byte{0, 0, 0, 3})                                                                          // INIT, version 3
	p = append(p, packet(3, []byte("\x00\x00\x00\x01\x00\x00\x00\x04/big\x00\x00\x00\x01\x00\x00\x00\x00"))...) // OPEN for reading
	for range 1000 {
		p = append(p, packet(5, []byte("\x00\x00\x00\x02\x00\x00\x00\x011\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00"))...) // READ of handle "1"
	}
	return p
}

// packet is an SFTP packet of a kind.
func packet(kind byte, body []byte) []byte {
	n := len(body) + 1
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), kind}, body...)
}
