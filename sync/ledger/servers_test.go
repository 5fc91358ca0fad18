package ledger_test

import (
	"maps"
	"testing"
	"time"
)

// What was learnt of a server is there after a restart, and is replaced, forgotten, or
// removed when no program has written it for long.
func TestServerLimits(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	set := func(server, document string, at time.Time) {
		t.Helper()
		var d []byte
		if document != "" {
			d = []byte(document)
		}
		must(t, l.SetServerLimits(t.Context(), server, d, at, at.Add(-time.Hour)))
	}
	want := func(want map[string]string) {
		t.Helper()
		all, err := l.ServerLimits(t.Context())
		must(t, err)
		got := map[string]string{}
		for server, document := range all {
			got[server] = string(document)
		}
		if !maps.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	want(map[string]string{})
	set("u@a:22", `{"n":1}`, day)
	set("u@b:22", "\xff not JSON", day.Add(time.Minute))
	set("u@a:22", `{"n":2}`, day.Add(2*time.Minute))
	set("u@c:22", "c", day.Add(3*time.Minute))
	set("u@c:22", "", day.Add(4*time.Minute))
	must(t, l.Close())
	l = open(t, dir)
	want(map[string]string{"u@a:22": `{"n":2}`, "u@b:22": "\xff not JSON"})
	set("u@d:22", "d", day.Add(61*time.Minute+time.Second))
	want(map[string]string{"u@a:22": `{"n":2}`, "u@d:22": "d"})
}
