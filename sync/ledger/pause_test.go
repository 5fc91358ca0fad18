package ledger_test

import (
	"testing"
	"time"

	"sftpconnector/sync/ledger"
)

// A pause outlasts the program, is of one connector, and ends once.
func TestPause(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	c, other := connector(t, l, "c"), connector(t, l, "other")
	wantPause := func(c *ledger.Connector, want ledger.Pause) {
		t.Helper()
		if got, err := c.Paused(t.Context()); err != nil || got != want {
			t.Errorf("%+v %v, want %+v", got, err, want)
		}
	}
	wantPause(c, ledger.Pause{})
	must(t, c.Pause(t.Context(), day, "ops", "the vendor works on it"))
	want := ledger.Pause{Since: day, By: "ops", Reason: "the vendor works on it"}
	wantPause(c, want)
	wantPause(other, ledger.Pause{})
	must(t, c.Pause(t.Context(), day.Add(time.Hour), "night", "still"))
	want.By, want.Reason = "night", "still"
	wantPause(c, want)

	must(t, l.Close())
	l = open(t, dir)
	all, err := l.Connectors(t.Context(), []string{"c", "other"})
	must(t, err)
	if all["c"].WasPaused != want || all["other"].WasPaused != (ledger.Pause{}) {
		t.Errorf("after a restart: %+v, %+v", all["c"].WasPaused, all["other"].WasPaused)
	}
	for range 2 {
		must(t, all["c"].Resume(t.Context()))
		wantPause(all["c"].Connector, ledger.Pause{})
	}
}
