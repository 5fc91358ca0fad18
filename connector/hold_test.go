package connector

import (
	"errors"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

// refusedShare is what a store says of a share whose server refuses the login.
func refusedShare(filesync.Destination) (filesync.Destination, error) {
	return nil, &status.Error{Word: status.DestinationUnavailable, Op: "log in to", Target: "files.example.com:445",
		Err: errors.Join(status.ErrLoginRefused, errors.New("wrong user or password")), Hint: "Verify the password of the share."}
}

// A refused login at a share is held back as one at the SSH server is, for
// ticks and for requests; Apply tries at once, and a success ends the hold.
func TestRefusedShareLoginsAreHeldBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.answerShare(refusedShare)
		c := w.start(w.connectorNamed("a", "10s"))
		w.pass(24 * time.Hour)
		tried := w.shares()
		for i, least := 1, time.Minute; i < len(tried); i, least = i+1, min(2*least, time.Hour) {
			if gap := tried[i].Sub(tried[i-1]); gap < least || gap > least+20*time.Second {
				t.Errorf("login %d came after %v, want %v", i+1, gap, least)
			}
		}
		if n := len(tried); n < 27 || n > 30 {
			t.Errorf("%d logins in a day", n)
		}
		r := c.Report()
		if r.Health.Status != status.DestinationUnavailable || r.Health.Hint == "" || r.Held.IsZero() {
			t.Errorf("%+v, held %v", r.Health, r.Held)
		}
		_, err := c.Request(t.Context(), all(t), nil)
		if !errors.Is(err, ErrHeld) || !status.Is(err, status.DestinationUnavailable) || status.HintOf(err) != r.Health.Hint || len(w.shares()) != len(tried) {
			t.Errorf("a request: %v, after %d logins more", err, len(w.shares())-len(tried))
		}
		if p, err := apply(t, c).Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Failed || len(w.shares()) != len(tried)+1 {
			t.Errorf("Apply: %s %v, after %d logins more", p.Result.Outcome, err, len(w.shares())-len(tried))
		}
		w.answerShare(nil)
		if p, err := apply(t, c).Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded || !c.Report().Held.IsZero() {
			t.Errorf("Apply: %s %v, held %v", p.Result.Outcome, err, c.Report().Held)
		}
	})
}

// That the share lets us in does not end the hold of the SSH server, and that
// its network fails for a moment is no refusal.
func TestEachEndHasItsHold(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.answer(func() error { return &status.Error{Word: status.AuthenticationFailed, Op: "log in"} })
		c := w.start(w.connectorNamed("a", "10s"))
		w.pass(time.Hour)
		if n := len(w.logins()); n < 6 || n > 7 {
			t.Errorf("%d logins in an hour", n)
		}
		w.answer(nil)
		w.answerShare(func(filesync.Destination) (filesync.Destination, error) {
			return nil, &status.Error{Word: status.DestinationUnavailable, Op: "connect to", Err: errors.New("no answer")}
		})
		apply(t, c).Wait(t.Context())
		n := len(w.shares())
		w.pass(10 * time.Minute)
		if n = len(w.shares()) - n; n < 55 {
			t.Errorf("%d ticks tried the share in ten minutes", n)
		}
	})
}

// A pass whose share is lost begins anew; when the login is refused then, it
// does not try on.
func TestLostShareThatRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.start(w.connectorNamed("a", "N/A"))
		w.answerShare(func(d filesync.Destination) (filesync.Destination, error) {
			w.share = refusedShare
			return storetest.NewCut(d, 1), nil // Apply probes it, and it is lost
		})
		started := time.Now()
		p, err := apply(t, c).Wait(t.Context())
		if err != nil || p.Result.Outcome != filesync.Failed || !errors.Is(p.Result.Err, status.ErrLoginRefused) {
			t.Errorf("%s %v %v", p.Result.Outcome, p.Result.Err, err)
		}
		if n, took := len(w.shares()), time.Since(started); n != 2 || took > 2*time.Second {
			t.Errorf("%d logins in %v", n, took)
		}
	})
}

// A program that is started again stays away from a server for as long as it would have,
// unless another login is to be tried.
func TestHoldIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.answer(func() error {
			return &status.Error{Word: status.AuthenticationFailed, Op: "log in", Hint: "Verify the password."}
		})
		cfg := w.connectorNamed("a", "10s")
		cfg.SFTP.Password = "wrong"
		c := w.start(cfg)
		w.pass(10 * time.Minute)
		held, n := c.Report().Held, len(w.logins())
		if held.IsZero() || n < 3 {
			t.Fatalf("held until %v after %d logins", held, n)
		}
		for range 3 {
			w.stop()
			c = w.start(cfg)
			w.pass(time.Minute)
		}
		if more := len(w.logins()) - n; more > 0 {
			t.Errorf("%d logins in three starts", more)
		}
		r := c.Report()
		if r.Health.Status != status.AuthenticationFailed || r.Health.Hint != "Verify the password." || !r.Held.Equal(held.Truncate(time.Millisecond)) {
			t.Errorf("%+v, held until %v, want %v", r.Health, r.Held, held)
		}
		w.pass(time.Until(held) + time.Minute)
		if more := len(w.logins()) - n; more != 1 {
			t.Errorf("%d logins once the hold was over", more)
		}
		if again := c.Report().Held; time.Until(again) < 10*time.Minute {
			t.Errorf("held until %v: the hold began anew", again)
		}

		w.stop()
		other := *cfg
		other.SFTP.Password = "right"
		w.answer(nil)
		c = w.start(&other)
		w.pass(time.Minute)
		if r := c.Report(); r.Health.Status != status.ConnectionValid || !r.Held.IsZero() {
			t.Errorf("with another password: %+v, held until %v", r.Health, r.Held)
		}
		w.stop()
		apply(t, w.start(cfg)).Wait(t.Context())
		w.stop()
		n = len(w.logins())
		w.start(cfg)
		w.pass(time.Minute)
		if len(w.logins()) == n {
			t.Error("the hold came back after a login that worked")
		}
	})
}

// That a host key was refused is not kept: a person who trusts it starts the program again.
func TestHoldOfAHostKeyIsNotKept(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.answer(func() error { return &status.Error{Word: status.HostKeyUnknown, Op: "log in"} })
		cfg := w.connectorNamed("a", "10s")
		w.start(cfg)
		w.pass(10 * time.Minute)
		w.stop()
		n := len(w.logins())
		w.start(cfg)
		w.pass(30 * time.Second)
		if len(w.logins()) == n {
			t.Error("no login was tried")
		}
	})
}
