package sshd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/space/authdelay"
)

// A flood of wrong passwords, here all from one address and more at a time than have
// room, does not keep a right one out. Each guesser gives one password and does not
// wait for a slow answer. FLOOD in the environment sets how many guesses there are.
func TestWrongPasswordsDoNotKeepARightOneOut(t *testing.T) {
	t.Parallel()
	guesses := int64(500)
	if n, err := strconv.Atoi(os.Getenv("FLOOD")); err == nil {
		guesses = int64(n)
	}
	const side = 48
	r := start(t, Options{MaximumUnauthenticatedPerAddress: side / 2})
	var given atomic.Int64
	var guessers sync.WaitGroup
	began := time.Now()
	for range side {
		guessers.Go(func() {
			for given.Add(1) <= guesses {
				guess(r)
			}
		})
	}
	await(t, "half of the guesses", func() bool { return given.Load() > guesses/2 })
	before := given.Load()
	start := time.Now()
	c, err := r.dial(testSpace, ssh.Password(testPassword))
	took := time.Since(start)
	if err != nil {
		t.Errorf("the right password after %v: %v", took, err)
	} else {
		files(t, c)
	}
	during := given.Load() - before
	guessers.Wait()
	t.Logf("%d wrong passwords in %v; the right one took %v, while %d others tried", guesses, time.Since(began).Round(time.Millisecond), took, during)
	if err == nil && c.Close() != nil {
		t.Error("who was logged in has been dropped")
	}
	await(t, "an empty gate", func() bool {
		inside, line := r.logins.snapshot()
		return len(inside) == 0 && len(line) == 0
	})
}

// guess gives one wrong password, and disconnects if there is no answer at once.
func guess(r *running) {
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer c.Close()
	hurry := ssh.PasswordCallback(func() (string, error) {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		return "wrong", nil
	})
	if got, err := r.over(c, testSpace, hurry); err == nil {
		r.t.Error("a wrong password was taken")
		got.Close()
	}
}

// Many silent clients do not keep others out either, and their number stays bounded.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	bubble(t, Options{MaximumUnauthenticated: 4}, func(t *testing.T, r *running, l *pipeListener) {
		in := enter(t, r, l)
		var silent []*pipeConn
		for range 30 {
			silent = append(silent, l.dial())
			synctest.Wait() // they come in this order
		}
		if inside, line := r.logins.snapshot(); len(inside) != 4 || len(line) != 16 {
			t.Errorf("%d are inside and %d wait", len(inside), len(line))
		}
		for _, c := range silent[20:] { // the line is full: who comes last is sent away
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("one that came last: %v", err)
			}
		}
		silent[19].Close() // makes no difference until it is its turn
		time.Sleep(loginTime)
		began := time.Now()
		c := enter(t, r, l)
		if took := time.Since(began); took > 5*loginTime {
			t.Errorf("the login took %v", took)
		}
		if _, _, err := in.SendRequest(keepalive, true, nil); err != nil {
			t.Errorf("who was logged in has been dropped: %v", err)
		}
		for _, one := range append(silent, nil) {
			if one != nil {
				one.Close()
			}
		}
		in.Close()
		c.Close()
	})
}

func TestWhoGetsIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name               string
		most, mostOfSource int
		// The first letter is the address. "!" behind it: it gives a wrong password at
		// once; ".": a loginTime passes before it comes.
		come         []string
		inside, line []string
	}{
		{"room for all", 9, 9, []string{"a1", "b2", "a3"}, []string{"a1", "b2", "a3"}, nil},
		{"who comes first", 2, 2, []string{"a1", "b2", "c3"}, []string{"a1", "b2"}, []string{"c3"}},
		{"for one that has failed", 2, 2, []string{"a1", "b2!", "c3"}, []string{"a1", "c3"}, nil},
		{"for the oldest whose turn is over", 2, 2, []string{"a1", "b2", "c3."}, []string{"b2", "c3."}, nil},
		{"turns end by themselves", 1, 1, []string{"a1", "b2", "c3."}, []string{"b2"}, []string{"c3."}},
		{"nobody goes when nobody waits", 2, 2, []string{"a1!", "b2."}, []string{"a1!", "b2."}, nil},
		{"who has failed goes before who had its turn", 2, 2, []string{"a1", "b2!", "c3."}, []string{"a1", "c3."}, nil},
		{"for one of the address that has most", 4, 4, []string{"a1", "b2", "b3", "c4!", "d5."}, []string{"a1", "b3", "c4!", "d5."}, nil},
		{"not more of an address", 9, 2, []string{"a1", "b2", "b3", "b4"}, []string{"a1", "b2", "b3"}, []string{"b4"}},
		{"only for its own when it has too many", 9, 2, []string{"a1!", "b2", "b3", "b4."}, []string{"a1!", "b3", "b4."}, nil},
		{"those with many wait for those with few", 3, 3, []string{"a1", "a2", "a3", "a4", "b5", "a6."}, []string{"b5", "a4", "a6."}, nil},
		{"an address with few is not driven out by one with many", 3, 3, []string{"a1!", "b2", "b3", "b4"}, []string{"a1!", "b2", "b3"}, []string{"b4"}},
		{"the line is bounded, for who has most in it", 1, 1, []string{"a1", "b2", "b3", "b4", "c5", "d6"}, []string{"a1"}, []string{"b2", "b3", "c5", "d6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newLoginQueue(c.most, c.mostOfSource)
				names := map[*client]string{}
				for _, name := range c.come {
					if strings.HasSuffix(name, ".") {
						time.Sleep(loginTime)
						synctest.Wait()
					}
					mine, theirs := net.Pipe()
					defer theirs.Close()
					c := newClient(t.Context(), mine, time.Hour)
					defer c.release()
					c.source = authdelay.PrefixOf(netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", name[0])))
					names[c] = name
					go q.wait(c)
					synctest.Wait()
					if strings.HasSuffix(name, "!") {
						q.passwordFailed(c)
					}
				}
				named := func(all []*client) (got []string) {
					for _, c := range all {
						got = append(got, names[c])
					}
					return got
				}
				in, waiting := q.snapshot()
				if inside, line := named(in), named(waiting); !slices.Equal(inside, c.inside) || !slices.Equal(line, c.line) {
					t.Errorf("inside are %v and %v wait, want %v and %v", inside, line, c.inside, c.line)
				}
				for c := range names {
					q.remove(c)
				}
			})
		})
	}
}

func (q *loginQueue) snapshot() (inside, line []*client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.active), slices.Clone(q.waiting)
}
