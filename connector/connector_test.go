package connector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/config"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

func TestPassesComeAtTheirInterval(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(w.connectorNamed("a", "1m"))
		w.pass(10 * time.Minute)
		if n := len(w.passes()); n < 9 || n > 11 {
			t.Fatalf("%d passes in 10 minutes", n)
		}
		for i := 2; i < len(w.passes()); i++ {
			if gap := w.passes()[i].Result.Started.Sub(w.passes()[i-1].Result.Started); gap != time.Minute {
				t.Errorf("pass %d came after %v", i, gap)
			}
		}
		if w.passes()[0].Result.Files.Copied != 1 || w.passes()[1].Result.Files.Present != 1 {
			t.Error(w.passes()[0].Result.Files, w.passes()[1].Result.Files)
		}
	})
}

func TestNextPassAfterARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		cfg := w.connectorNamed("a", "1h")
		w.start(cfg)
		w.pass(10 * time.Second)
		started := w.passes()[0].Result.Started
		w.end()
		w.pass(30 * time.Minute)
		c := w.start(cfg)
		if next := c.Report().Next; next.Sub(started).Abs().Round(time.Second) != time.Hour {
			t.Errorf("the next pass is %v after the start of the last one, want 1h", next.Sub(started))
		}
		w.end()
		w.pass(2 * time.Hour)
		w.start(cfg)
		w.pass(firstSpread)
		if len(w.passes()) != 2 {
			t.Errorf("%d passes: one that is overdue does not come at once", len(w.passes()))
		}
	})
}

func TestMissedCronTicksAreNotMadeUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		cfg := w.connectorNamed("a", "0 * * * *")
		w.start(cfg)
		w.pass(2*time.Hour + 30*time.Minute)
		w.end()
		n := len(w.passes())
		w.pass(3 * time.Hour)
		w.start(cfg)
		w.pass(20 * time.Minute)
		if len(w.passes()) != n || n != 2 {
			t.Errorf("%d passes before, %d after", n, len(w.passes()))
		}
		w.pass(20 * time.Minute)
		if len(w.passes()) != n+1 {
			t.Error("the next tick did not come")
		}
	})
}

func TestNoPassBesideARunningOne(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.src.OnFetch = func(filesync.Entry, int64) error { <-release; return nil }
		c := w.start(w.connectorNamed("a", "1m"))
		w.pass(4*time.Minute + 50*time.Second)
		r := c.Report()
		if len(w.logins()) != 1 || r.Running == nil || r.Running.Progress == nil {
			t.Fatalf("%d logins, running %+v", len(w.logins()), r.Running)
		}
		// The first step is half an interval to one and a half.
		if r.Skipped < 3 || r.Skipped > 5 || r.Totals.Skipped != r.Skipped {
			t.Errorf("%d ticks skipped, %d in all", r.Skipped, r.Totals.Skipped)
		}
		close(release)
		w.src.OnFetch = nil
		w.pass(time.Minute)
		if len(w.passes()) != 2 {
			t.Errorf("%d passes", len(w.passes()))
		}
	})
}

func TestApplyJoinsOrFollows(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.src.OnFetch = func(filesync.Entry, int64) error { <-release; return nil }
		c := w.start(w.connectorNamed("a", "1h"))
		w.pass(10 * time.Second) // an automatic pass runs now
		follows := apply(t, c)
		if again := apply(t, c); again != follows {
			t.Error("a second Apply does not join the one that waits")
		}
		synctest.Wait()
		if len(w.logins()) != 1 {
			t.Error("the Apply did not wait for the automatic pass")
		}
		release <- struct{}{}
		synctest.Wait()
		w.src.Put("b", "two", time.Now().Add(-48*time.Hour))
		p, err := follows.Wait(t.Context())
		if err != nil || p.Mode != filesync.Apply || p.Result.Outcome != filesync.Succeeded {
			t.Error(p, err)
		}
		runs := apply(t, c)
		synctest.Wait() // it copies b
		if again := apply(t, c); again != runs {
			t.Error("an Apply does not join the one that runs")
		}
		close(release)
		if p, err := runs.Wait(t.Context()); err != nil || p.Result.Files.Copied != 1 || p.Result.Files.Present != 1 {
			t.Error(p.Result.Files, err)
		}
		if n := len(w.passes()); n != 3 {
			t.Errorf("%d passes", n)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.src.OnFetch = func(filesync.Entry, int64) error { <-release; return nil }
		r := apply(t, w.start(w.connectorNamed("a", "N/A")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(release)
		if p, err := r.Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded {
			t.Error("the pass did not go on:", p, err)
		}
	})
}

// A refused password is tried again after 1m, 2m, 4m … and never more often
// than each hour, whatever the interval.
func TestRefusedLoginsAreHeldBack(t *testing.T) {
	for _, word := range []status.Word{status.AuthenticationFailed, status.HostKeyUnknown, status.HostKeyVerificationFailed} {
		t.Run(string(word), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.answer(func() error { return &status.Error{Word: word, Op: "log in"} })
				c := w.start(w.connectorNamed("a", "10s"))
				w.pass(24 * time.Hour)
				for i, least := 1, time.Minute; i < len(w.logins()); i, least = i+1, min(2*least, time.Hour) {
					if gap := w.logins()[i].Sub(w.logins()[i-1]); gap < least || gap > least+20*time.Second {
						t.Errorf("login %d came after %v, want %v", i+1, gap, least)
					}
				}
				if n := len(w.logins()); n < 27 || n > 30 {
					t.Errorf("%d logins in a day", n)
				}
				r := c.Report()
				if r.Health.Status != word || r.Health.Hint == "" || r.Held.IsZero() {
					t.Errorf("%+v, held %v", r.Health, r.Held)
				}
				if r.Totals.Errors[word] != int64(len(w.logins())) {
					t.Errorf("%d of %d counted", r.Totals.Errors[word], len(w.logins()))
				}
				// Apply is not held back, and a success lifts it.
				w.answer(nil)
				if p, err := apply(t, c).Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded {
					t.Error(p, err)
				}
				n := len(w.logins())
				if !c.Report().Held.IsZero() {
					t.Error("held still")
				}
				w.pass(time.Minute)
				if got := len(w.logins()) - n; got != 6 {
					t.Errorf("%d passes in the next minute", got)
				}
			})
		})
	}
}

func TestCheckLiftsTheHold(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.answer(func() error { return &status.Error{Word: status.AuthenticationFailed, Op: "log in"} })
		c := w.start(w.connectorNamed("a", "10s"))
		w.pass(time.Hour)
		if r := c.Check(t.Context(), nil); r.ConnectionStatus != string(status.AuthenticationFailed) || r.Hint == "" || c.Report().Held.IsZero() {
			t.Errorf("%+v, held %v", r, c.Report().Held)
		}
		w.answer(nil)
		r := c.Check(t.Context(), nil)
		if r.ConnectionStatus != string(status.ConnectionValid) || r.Error != "" || !c.Report().Held.IsZero() {
			t.Errorf("%+v, held %v", r, c.Report().Held)
		}
		var stages []string
		for _, s := range r.Stages {
			stages = append(stages, s.Stage)
		}
		if !slices.Equal(stages, []string{status.StageList, status.StageDestination}) {
			t.Error(stages)
		}
		n := len(w.passes())
		w.pass(10 * time.Second)
		if len(w.passes()) == n {
			t.Error("no pass after the check")
		}
	})
}

func TestOtherFailuresAreTriedAtTheInterval(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.answer(func() error { return &status.Error{Word: status.ConnectionRefused, Op: "connect"} })
		c := w.start(w.connectorNamed("a", "10s"))
		w.pass(10 * time.Minute)
		if n := len(w.logins()); n < 58 {
			t.Errorf("%d logins in 10 minutes", n)
		}
		r := c.Report()
		if r.Last == nil || r.Last.Result.Outcome != filesync.Failed || r.Health.Status != status.ConnectionRefused {
			t.Errorf("%+v %+v", r.Last, r.Health)
		}
		// One change from Not Checked, however often it failed; since then.
		if len(w.changes()) != 1 || w.changes()[0].Since.Sub(w.logins()[0]) > time.Second || !r.Health.Since.Equal(w.changes()[0].Since) {
			t.Errorf("%d changes: %v", len(w.changes()), w.changes())
		}
		w.answer(nil)
		w.pass(20 * time.Second)
		if len(w.changes()) != 2 || w.changes()[1].Status != status.ConnectionValid || w.changes()[1].Error != "" || w.changes()[1].Hint != "" {
			t.Errorf("%v", w.changes())
		}
	})
}

func TestSetSchedule(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		cfg := w.connectorNamed("a", "N/A")
		c := w.start(cfg)
		w.pass(time.Hour)
		if len(w.passes()) != 0 || !c.Report().Next.IsZero() {
			t.Fatalf("%d passes without a schedule", len(w.passes()))
		}
		every, _ := config.ParseSchedule("1m")
		if err := c.SetSchedule(t.Context(), every); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		if n := len(w.passes()); n < 9 || n > 10 {
			t.Errorf("%d passes in 10 minutes", n)
		}
		w.end()
		if got := w.start(cfg).Report().Schedule.String(); got != "1m" {
			t.Errorf("after a restart it is %s", got)
		}
		w.end()
		// The file says something else now, and prevails.
		if got := w.start(w.connectorNamed("a", "2h")).Report().Schedule.String(); got != "2h" {
			t.Errorf("after a change of the file it is %s", got)
		}
		w.end()
		// And does so for good.
		if got := w.start(cfg).Report().Schedule.String(); got != "N/A" {
			t.Errorf("what was set before came back: %s", got)
		}
	})
}

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		same, changed, gone := w.connectorNamed("same", "N/A"), w.connectorNamed("changed", "N/A"), w.connectorNamed("gone", "1m")
		w.start(same, changed, gone)
		kept, old, removed := w.connector("same"), w.connector("changed"), w.connector("gone")
		w.src.OnFetch = func(filesync.Entry, int64) error {
			// Both stand still until the reload; the ones that were stopped go on.
			select {
			case <-old.ctx.Done():
			case <-time.After(time.Hour):
			}
			return nil
		}
		runKept, runOld := apply(t, kept), apply(t, old)
		synctest.Wait()

		next := *changed
		next.Files.Exclude = []string{"*.bak"}
		alike := *same
		fresh := w.connectorNamed("fresh", "1m")
		if _, err := w.set.Reload(t.Context(), configOf(&alike, &next, fresh)); err != nil {
			t.Fatal(err)
		}
		if p, err := runOld.Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Cancelled || !errors.Is(p.Result.Err, ErrStopped) {
			t.Errorf("the pass of the changed one: %s, %v, %v", p.Result.Outcome, p.Result.Err, err)
		}
		if p, err := runKept.Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded {
			t.Errorf("the pass of the unchanged one: %+v, %v", p, err)
		}
		if w.connector("same") != kept || w.connector("changed") == old {
			t.Error("the unchanged one is new, or the changed one is not")
		}
		if _, err := w.set.Get("gone"); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		if _, err := removed.Apply(); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
		synctest.Wait()
		n := len(w.passes())
		w.pass(5 * time.Minute)
		if c := w.connector("fresh"); c.Report().Totals.Passes[filesync.Succeeded] < 4 || len(w.passes())-n > 6 {
			t.Errorf("%d passes, of the new one %v", len(w.passes())-n, c.Report().Totals.Passes)
		}
	})
}

// A copy that does not end holds up neither the stop of the program nor a reload, and
// meanwhile its connector is known, but stopped.
func TestReloadDoesNotWaitForever(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		stuck := make(chan struct{})
		a, b := w.connectorNamed("a", "N/A"), w.connectorNamed("b", "N/A")
		w.src.OnFetch = func(filesync.Entry, int64) error { <-stuck; return nil }
		old := w.start(a, b)
		run := apply(t, old)
		synctest.Wait()
		changed := *a
		changed.Files.Exclude = []string{"*.bak"}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		reloaded := make(chan error, 1)
		go func() {
			_, err := w.set.Reload(ctx, configOf(&changed))
			reloaded <- err
		}()
		synctest.Wait()
		if _, err := w.connector("a").Apply(); !errors.Is(err, ErrStopped) {
			t.Errorf("changed: %v", err)
		}
		if _, err := w.set.Get("b"); !errors.Is(err, ErrUnknown) {
			t.Errorf("removed: %v", err)
		}
		w.pass(2 * time.Minute)
		select {
		case err := <-reloaded:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("it still waits")
		}
		close(stuck)
		<-run.Done()
		// Back to what it was: also that is a change now.
		if _, err := w.set.Reload(t.Context(), configOf(a)); err != nil {
			t.Fatal(err)
		}
		if p, err := apply(t, w.connector("a")).Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded {
			t.Error(p, err)
		}
		w.end()
		if _, err := w.set.Reload(t.Context(), configOf(a, b)); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
}

// Passes that take long to end hold up a reload no longer than its context: their
// connector goes over when they have ended, to what the last reload wanted.
func TestReloadGoesOverLater(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		stuck := make(chan struct{})
		a, b := w.connectorNamed("a", "N/A"), w.connectorNamed("b", "N/A")
		w.src.OnFetch = func(filesync.Entry, int64) error { <-stuck; return nil }
		run := apply(t, w.start(a, b))
		synctest.Wait()
		reload := func(exclude string) []string {
			t.Helper()
			changed := *a
			changed.Files.Exclude = []string{exclude}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			late, err := w.set.Reload(ctx, configOf(&changed))
			if err != nil {
				t.Error(err)
			}
			return late
		}
		for _, exclude := range []string{"*.bak", "*.old"} {
			if late := reload(exclude); !slices.Equal(late, []string{"a"}) {
				t.Errorf("late: %q", late)
			}
		}
		if _, err := w.set.Get("b"); !errors.Is(err, ErrUnknown) {
			t.Errorf("b, whose passes had ended: %v", err)
		}
		close(stuck)
		<-run.Done()
		synctest.Wait()
		next := w.connector("a")
		if got := next.cfg.Files.Exclude; !slices.Equal(got, []string{"*.old"}) {
			t.Errorf("it went over to %q", got)
		}
		if late := reload("*.old"); len(late) > 0 || w.connector("a") != next {
			t.Errorf("a reload that changes nothing: late %q", late)
		}
		if p, err := apply(t, next).Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded {
			t.Error(p, err)
		}
	})
}

// What the last pass was is known after a restart, and after a reload.
func TestLastPassIsRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.connectorNamed("a", "N/A")
		w.answer(func() error { return &status.Error{Word: status.ConnectionRefused, Err: errors.New("nobody listens")} })
		c := w.start(a)
		if c.Report().Last != nil {
			t.Error("there was none")
		}
		p, err := apply(t, c).Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.end()
		last := w.start(a).Report().Last
		if last == nil || last.ID != p.ID || last.Mode != filesync.Apply || last.Result.Outcome != filesync.Failed ||
			last.Status != status.ConnectionRefused || last.Result.Err == nil || last.Result.Err.Error() != p.Result.Err.Error() {
			t.Fatalf("%+v", last)
		}
		old := w.connector("a")
		w.answer(nil)
		w.src.OnFetch = func(filesync.Entry, int64) error { <-old.ctx.Done(); return nil }
		run := apply(t, old)
		synctest.Wait()
		changed := *a
		changed.Files.Exclude = []string{"*.bak"}
		if _, err := w.set.Reload(t.Context(), configOf(&changed)); err != nil {
			t.Fatal(err)
		}
		p, err = run.Wait(t.Context())
		if last := w.connector("a").Report().Last; err != nil || last == nil || last.ID != p.ID || last.Result.Outcome != filesync.Cancelled {
			t.Errorf("after the reload: %+v", last)
		}
	})
}

func TestBadReloadChangesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.start(w.connectorNamed("a", "N/A"))
		bad := w.connectorNamed("a", "N/A")
		bad.Files.Include = []string{"regex:("}
		if _, err := w.set.Reload(t.Context(), configOf(bad)); err == nil {
			t.Error("no error")
		}
		if w.connector("a") != c {
			t.Error("the element is another one")
		}
		if p, err := apply(t, c).Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded {
			t.Error(p, err)
		}
	})
}

func TestStopEndsPasses(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		started := make(chan *Connector, 1)
		w.src.OnFetch = func(filesync.Entry, int64) error {
			c := <-started
			<-c.ctx.Done()
			return c.ctx.Err()
		}
		c := w.start(w.connectorNamed("a", "1m"))
		started <- c
		w.pass(10 * time.Second) // an automatic pass runs, an Apply waits
		follows := apply(t, c)
		start := time.Now()
		w.end()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("stopping took %v", took)
		}
		if len(w.passes()) != 1 || w.passes()[0].Result.Outcome != filesync.Cancelled {
			t.Fatalf("%+v", w.passes())
		}
		if _, err := follows.Wait(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("the Apply that waited: %v", err)
		}
		if _, err := c.Apply(); !errors.Is(err, ErrStopped) {
			t.Errorf("another Apply: %v", err)
		}
		if w := c.Report().Health.Status; w == status.Checking || w == status.ConnectionLost {
			t.Errorf("a cancelled pass left the status %s", w)
		}
		past, err := c.Ledger().Passes(t.Context(), 10)
		if err != nil || len(past) != 1 || past[0].State != filesync.Cancelled {
			t.Error(past, err)
		}
	})
}

func TestAnotherProcessHoldsTheConnector(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		busy, held := true, false
		w.lock = func(string) (func(), error) {
			if busy {
				return nil, fmt.Errorf("lock: %w", ErrBusy)
			}
			held = true
			return func() { held = false }, nil
		}
		c := w.start(w.connectorNamed("a", "N/A"))
		if _, err := apply(t, c).Wait(t.Context()); !errors.Is(err, ErrBusy) || len(w.logins()) != 0 {
			t.Error(err, w.logins())
		}
		busy = false
		w.answer(func() error {
			if !held {
				t.Error("a pass runs without the lock")
			}
			return nil
		})
		if p, err := apply(t, c).Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded || held {
			t.Error(p, err, held)
		}
	})
}

func TestDestinationThatIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		cfg := w.connectorNamed("a", "N/A")
		cfg.Files.DestinationDirectoryPath = filepath.Join(w.dir, "missing", "to")
		c := w.start(cfg)
		p, err := apply(t, c).Wait(t.Context())
		if err != nil || p.Result.Outcome != filesync.Failed || p.Status != status.DestinationUnavailable {
			t.Error(p, err)
		}
		if len(w.logins()) != 0 {
			t.Error("the server was bothered")
		}
		if r := c.Check(t.Context(), nil); r.ConnectionStatus != string(status.DestinationUnavailable) || len(r.Stages) != 2 || r.Stages[1].OK {
			t.Errorf("%+v", r)
		}
		os.Mkdir(filepath.Dir(cfg.Files.DestinationDirectoryPath), 0o777)
		if p, err := apply(t, c).Wait(t.Context()); err != nil || p.Result.Outcome != filesync.Succeeded {
			t.Error(p, err)
		}
	})
}
