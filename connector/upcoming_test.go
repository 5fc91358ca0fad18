package connector

import (
	"slices"
	"testing"
	"time"

	"sftpconnector/config"
)

func TestRuns(t *testing.T) {
	t.Parallel()
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		schedule string
		now      string
		want     []string // as they are shown
	}{
		"never": {"N/A", "2026-01-01T00:00:00Z", nil},
		"cron": {"0 6 * * 1-5", "2026-01-01T06:00:00Z", []string{ // a Thursday
			"2026-01-02T06:00:00+01:00", "2026-01-05T06:00:00+01:00", "2026-01-06T06:00:00+01:00", "2026-01-07T06:00:00+01:00", "2026-01-08T06:00:00+01:00"}},
		"cron over a change of the clock": {"30 12 * * *", "2026-03-27T12:00:00Z", []string{
			"2026-03-28T12:30:00+01:00", "2026-03-29T12:30:00+02:00", "2026-03-30T12:30:00+02:00", "2026-03-31T12:30:00+02:00", "2026-04-01T12:30:00+02:00"}},
	} {
		s := compiled(t, "a", c.schedule, brussels)
		var got []string
		for _, at := range s.runs(s.next(at(c.now)), shownRuns) {
			got = append(got, at.Format(time.RFC3339))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The runs that are shown are those that come.
func TestUpcomingIsWhatComes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for _, schedule := range []string{"1m", "*/7 * * * *"} {
			c := w.start(w.connectorNamed("a", schedule))
			before := len(w.passes())
			next := c.Schedule().Next
			if len(next) != shownRuns {
				t.Fatalf("%s: %v", schedule, next)
			}
			for i, at := range next {
				if want := c.Report().Next; !at.Equal(want) {
					t.Errorf("%s: run %d is shown for %v, and planned for %v", schedule, i, at, want)
				}
				w.pass(time.Until(at) + time.Second)
				if n := len(w.passes()) - before; n != i+1 {
					t.Errorf("%s: %d passes after %d runs", schedule, n, i+1)
				}
			}
			w.end()
		}
	})
}

func TestUseFileSchedule(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		cfg := w.connectorNamed("a", "2h")
		c := w.start(cfg)
		every, _ := config.ParseSchedule("1m")
		preview, err := c.PreviewSchedule(every)
		if err != nil || preview.AutomaticSFTPFileSync != "1m" || len(preview.Next) != 5 || preview.Next[4].Sub(preview.Next[0]) != 4*time.Minute {
			t.Errorf("preview: %+v %v", preview, err)
		}
		if s := c.Schedule(); s.AutomaticSFTPFileSync != "2h" || s.InFile != "" {
			t.Errorf("a preview set it: %+v", s)
		}
		if err := c.SetSchedule(t.Context(), every); err != nil {
			t.Fatal(err)
		}
		if s := c.Schedule(); s.AutomaticSFTPFileSync != "1m" || s.InFile != "2h" {
			t.Errorf("once it is set: %+v", s)
		}
		if err := c.UseFileSchedule(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := c.Schedule(); s.AutomaticSFTPFileSync != "2h" || s.InFile != "" || s.Next[1].Sub(s.Next[0]) != 2*time.Hour {
			t.Errorf("with the file's: %+v", s)
		}
		w.end()
		if s := w.start(cfg).Schedule(); s.AutomaticSFTPFileSync != "2h" || s.InFile != "" {
			t.Errorf("after a restart: %+v", s)
		}
	})
}
