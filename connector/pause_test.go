package connector

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/config"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// refusedAsPaused checks what is refused to those who ask for a pass.
func refusedAsPaused(t *testing.T, c *Connector) {
	t.Helper()
	sel, err := filesync.NewSelection("*", time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	_, apply := c.Apply()
	_, sync := c.Sync()
	_, request := c.Request(t.Context(), sel, nil)
	for what, err := range map[string]error{"apply": apply, "sync": sync, "request": request} {
		p, ok := errors.AsType[*PausedError](err)
		if !ok || p.By != "ops" || p.Reason != "the vendor works on it" || p.Since.IsZero() {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPause(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		cfg := w.connectorNamed("a", "1m")
		c := w.start(cfg)
		w.pass(5 * time.Minute)
		if err := c.Pause(t.Context(), "dev", "let us see"); err != nil {
			t.Fatal(err)
		}
		began, passes := time.Now(), len(w.passes())
		w.pass(time.Hour)
		if err := c.Pause(t.Context(), "ops", "the vendor works on it"); err != nil {
			t.Fatal(err)
		}
		shown := func(c *Connector) {
			t.Helper()
			r := c.Report()
			h := r.Health
			if h.Status != status.Paused || !h.Since.Equal(began) || h.Error != "paused by ops: the vendor works on it" || h.Hint != status.Paused.Hint() {
				t.Errorf("%+v, want it since %v", h, began)
			}
			if !r.Next.IsZero() || r.Skipped != 0 || r.Message().Paused == nil || !r.Message().Paused.Since.Equal(began) {
				t.Errorf("%+v", r.Message())
			}
		}
		shown(c)
		refusedAsPaused(t, c)

		// A check says how the connection is, and does not end the pause.
		if r := c.Check(t.Context(), nil); r.ConnectionStatus != string(status.ConnectionValid) || r.Paused == nil || r.Paused.By != "ops" {
			t.Errorf("%+v", r)
		}
		shown(c)
		w.answer(func() error { return &status.Error{Word: status.ConnectionRefused, Op: "connect"} })
		if r := c.Check(t.Context(), nil); r.ConnectionStatus != string(status.ConnectionRefused) {
			t.Errorf("%+v", r)
		}
		w.answer(nil)
		c.tick() // that was due a moment before the pause
		w.pass(time.Minute)
		shown(c)

		// It outlasts a restart, and a reload with other settings.
		w.end()
		c = w.start(cfg)
		shown(c)
		changed := *cfg
		changed.Files.Exclude = []string{"*.bak"}
		if _, err := w.set.Reload(t.Context(), configOf(&changed)); err != nil {
			t.Fatal(err)
		}
		c = w.connector("a")
		shown(c)
		every, _ := config.ParseSchedule("30s")
		if err := c.SetSchedule(t.Context(), every); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		shown(c)
		if n := len(w.passes()); n != passes {
			t.Errorf("%d passes while it was paused", n-passes)
		}

		// What is due by then comes at once.
		if err := c.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.pass(firstSpread)
		if n := len(w.passes()); n != passes+1 {
			t.Errorf("%d passes when it was resumed", n-passes)
		}
		w.pass(10 * time.Minute)
		if n := len(w.passes()) - passes; n < 20 || n > 22 {
			t.Errorf("%d passes in ten minutes", n)
		}
		if h := c.Report().Health; h.Status != status.ConnectionValid || h.Error != "" {
			t.Errorf("once it was resumed: %+v", h)
		}
		if err := c.Resume(t.Context()); err != nil { // changes nothing
			t.Fatal(err)
		}
		var words []status.Word
		for _, h := range w.changes() {
			words = append(words, h.Status)
		}
		if want := []status.Word{status.ConnectionValid, status.Paused, status.NotChecked, status.ConnectionValid}; !slices.Equal(words, want) {
			t.Errorf("told of %q, want %q", words, want)
		}
		w.end()
		if c := w.start(&changed); c.Paused() != nil {
			t.Errorf("after a restart it is paused again: %+v", c.Paused())
		}
	})
}

// The pass under way ends as any other. The Apply that waits for it is not begun.
func TestPauseWhileAPassRuns(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.src.Put("b", "two", time.Now().Add(-48*time.Hour))
		w.src.OnFetch = func(filesync.Entry, int64) error { time.Sleep(time.Minute); return nil }
		c := w.start(w.connectorNamed("a", "1h"))
		w.pass(firstSpread)
		running, err := c.Sync()
		if err != nil {
			t.Fatal(err)
		}
		queued := apply(t, c)
		if err := c.Pause(t.Context(), "ops", "the vendor works on it"); err != nil {
			t.Fatal(err)
		}
		if _, err := queued.Wait(t.Context()); !errors.As(err, new(*PausedError)) {
			t.Errorf("the Apply that was queued: %v", err)
		}
		if c.Report().Running == nil {
			t.Error("the pass under way was ended")
		}
		refusedAsPaused(t, c)
		p, err := running.Wait(t.Context())
		if err != nil || p.Result.Outcome != filesync.Succeeded || p.Result.Files.Copied != 2 || p.Status != status.ConnectionValid {
			t.Errorf("%+v %v", p, err)
		}
		synctest.Wait()
		if h := c.Report().Health; h.Status != status.Paused {
			t.Errorf("afterwards it is %+v", h)
		}
	})
}

// A pause that comes while a reload makes the connector anew is not lost.
func TestPauseDuringReload(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		cfg := w.connectorNamed("a", "N/A")
		c := w.start(cfg)
		w.src.OnFetch = func(filesync.Entry, int64) error { <-c.ctx.Done(); return nil }
		run := apply(t, c)
		synctest.Wait()
		changed := *cfg
		changed.Files.Exclude = []string{"*.bak"}
		made, err := w.set.build(t.Context(), configOf(&changed).Connectors)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Pause(t.Context(), "ops", "the vendor works on it"); err != nil {
			t.Fatal(err)
		}
		w.set.mu.Lock()
		done := w.set.replace("a", made["a"])
		w.set.mu.Unlock()
		<-done
		<-run.Done()
		next := w.connector("a")
		if next == c || next.Report().Health.Status != status.Paused {
			t.Errorf("%+v", next.Report().Health)
		}
		refusedAsPaused(t, next)
		if err := c.Resume(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("the one that has stopped: %v", err)
		}
	})
}

func TestPlannerPause(t *testing.T) {
	t.Parallel()
	now := at("2026-01-02T12:00:30Z")
	for name, c := range map[string]struct {
		schedule    string
		lasts       time.Duration
		least, most time.Duration // until the next pass, when it is resumed
	}{
		"within the interval":  {"1h", 10 * time.Minute, 50 * time.Minute, 50 * time.Minute},
		"over the interval":    {"1h", 3 * time.Hour, 0, firstSpread},
		"cron is not made up":  {"0 12 * * *", 25 * time.Hour, 22*time.Hour + 59*time.Minute + 30*time.Second, 22*time.Hour + 59*time.Minute + 30*time.Second},
		"no schedule, no pass": {"N/A", time.Hour, -1, -1},
	} {
		s, err := config.ParseSchedule(c.schedule)
		if err != nil {
			t.Fatal(err)
		}
		clock := now
		p, err := newPlanner(&config.Connector{Name: "a", Sync: s, TimeZone: config.TimeZone{Location: time.UTC}}, "", now, func() time.Time { return clock })
		if err != nil {
			t.Fatal(err)
		}
		p.pause(true)
		clock = clock.Add(c.lasts)
		if _, due := p.take(); due {
			t.Errorf("%s: a pass is due in the pause", name)
		}
		if _, next := p.plan(); !next.IsZero() {
			t.Errorf("%s: %v is planned in the pause", name, next)
		}
		p.pause(false)
		_, next := p.plan()
		if c.least < 0 {
			if !next.IsZero() {
				t.Errorf("%s: %v", name, next)
			}
			continue
		}
		if left := next.Sub(clock); left < c.least || left > c.most {
			t.Errorf("%s: the next pass is %v away", name, left)
		}
	}
}
