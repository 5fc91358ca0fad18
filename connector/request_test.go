package connector

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

func all(t *testing.T) *filesync.Selection {
	t.Helper()
	s, err := filesync.NewSelection("", time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Many requests at once try a refused password once, and the hold ends by itself.
func TestRequestsDoNotLockAnAccount(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		refused := &status.Error{Word: status.AuthenticationFailed, Op: "log in"}
		w.answer(func() error { return refused })
		c := w.start(w.connectorNamed("a", "N/A"))
		ask := func(n int) (held int) {
			var mu sync.Mutex
			var group sync.WaitGroup
			for range n {
				group.Go(func() {
					_, err := c.Request(t.Context(), all(t), nil)
					if !status.Is(err, status.AuthenticationFailed) {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					if errors.Is(err, ErrHeld) {
						held++
					}
				})
			}
			group.Wait()
			return held
		}
		if held := ask(100); held != 99 || len(w.logins()) != 1 {
			t.Errorf("%d of 100 requests were held back, %d logins were tried", held, len(w.logins()))
		}
		w.pass(backoff.Login.Wait(1) + time.Second)
		if held := ask(10); held != 9 || len(w.logins()) != 2 {
			t.Errorf("%d of 10 requests were held back, %d logins were tried", held, len(w.logins()))
		}
		w.answer(nil)
		w.pass(backoff.Login.Wait(2) + time.Second)
		if r, err := c.Request(t.Context(), all(t), nil); err != nil || len(r.There) != 1 || !c.Report().Held.IsZero() {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// Requests share one connection with each other and with a pass, which is
// closed when all are done.
func TestRequestsShareTheConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.start(w.connectorNamed("a", "N/A"))
		gate := make(chan struct{})
		w.src.OnFetch = func(filesync.Entry, int64) error { <-gate; return nil }
		run, err := c.Apply()
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 40 {
			group.Go(func() {
				if r, err := c.Request(t.Context(), all(t), nil); err != nil || len(r.There) != 1 {
					t.Errorf("%+v %v", r, err)
				}
			})
		}
		w.pass(time.Second)
		if n := len(w.logins()); n != 1 {
			t.Errorf("%d logins", n)
		}
		close(gate)
		group.Wait()
		<-run.Done()
		if r := c.Report(); r.Last == nil || r.Last.Mode != filesync.Apply {
			t.Errorf("the last pass is %+v", r.Last)
		}
		before := len(w.logins())
		if _, err := c.Request(t.Context(), all(t), nil); err != nil || len(w.logins()) != before+1 {
			t.Errorf("%d logins, %v", len(w.logins())-before, err)
		}
	})
}

// A request that waits for its turn obeys its context; one that is at work ends
// with its connector.
func TestRequestsEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.start(w.connectorNamed("a", "N/A"))
		ctx, cancel := context.WithCancelCause(t.Context())
		because := errors.New("because")
		for range maxRequests {
			c.slots <- struct{}{}
		}
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := c.Request(ctx, all(t), nil); !errors.Is(err, because) {
				t.Error(err)
			}
		})
		group.Go(func() {
			if _, err := c.Request(t.Context(), all(t), nil); !errors.Is(err, ErrStopped) {
				t.Error(err)
			}
		})
		w.pass(time.Second)
		cancel(because)
		w.pass(time.Second)
		w.end()
		group.Wait()
		if _, err := c.Request(t.Context(), all(t), nil); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
}

// A request whose pass ran twice may have copied a file, and then found something by its
// name that it could not read: both are said, in words that do not contradict each other.
func TestReportOfFileThatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{sel: all(t), filter: filter, found: map[string]found{}}
	for _, name := range []string{"a", "b"} {
		c.delivered(filesync.Delivered{Delivery: filesync.Delivery{Source: filesync.Entry{Name: name}, Target: filesync.Entry{Name: name}}})
	}
	r := c.report(PassReport{Result: filesync.Result{Incomplete: true, Failures: []filesync.FileFailure{
		{Name: "a", Error: "no size", Unlisted: true}, {Name: "c", Error: "no size", Unlisted: true},
	}}})
	var got []string
	for _, f := range slices.Concat(r.There, r.Failed) {
		got = append(got, f.Source.Name+": "+f.Reason)
	}
	want := []string{"a: ", "b: ", "a: a version of it is there; what the source has now is not known: no size", "c: no size"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
