package server

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTarget(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{
		"/api/v1/connectors/c/apply":                    {"c", ""},
		"/api/v1/connectors/a%2Fb%20c/retry":            {"a/b c", ""},
		"/api/v1/connectors/c":                          {"c", ""},
		"/api/v1/connectors/c/subscriptions/s%2F1/send": {"c", "s/1"},
		"/api/v1/spaces/us_1/credentials/x":             {"spaces/us_1", "x"},
		"/api/v1/spaces/us_1/credentials":               {"spaces/us_1", ""},
		"/api/v1/requests/%3Cid%3E/send":                {"", "<id>"},
		"/api/v1/requests/id":                           {"", "id"},
		"/api/v1/reload":                                {"", ""},
		"/api/v1/connectors/%zz/apply":                  {"%zz", ""},
		"/sign-in":                                      {"", ""},
		"":                                              {"", ""},
	} {
		if connector, id := target(path); connector != want[0] || id != want[1] {
			t.Errorf("%s: %q, %q, want %q", path, connector, id, want)
		}
	}
}

func TestShortened(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "short", strings.Repeat("x", maxDetail)} {
		if got := shortened(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	for _, text := range []string{strings.Repeat("x", maxDetail+1), strings.Repeat("€", maxDetail), strings.Repeat("x\x80", maxDetail)} {
		got := shortened(text)
		head := strings.TrimSuffix(got, "…")
		if len(got) > maxDetail+len("…") || head == got || !strings.HasPrefix(text, head) || utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	}
}

func TestCounted(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprint(i))
	}
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, "none released"},
		{many[:2], "2 released: 0, 1"},
		{many[:10], "10 released: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"},
		{many, "12 released: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"},
	} {
		if got := counted(c.names, "released"); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Of a flood of refusals few are recorded, for each token and in each hour.
func TestRefusals(t *testing.T) {
	t.Parallel()
	var f refusals
	at := time.Unix(0, 0)
	flood := func(token string) (recorded int) {
		for range 10 * maxRefusals {
			if f.add(token, at) {
				recorded++
			}
		}
		return recorded
	}
	if a, b := flood("a"), flood("b"); a != maxRefusals || b != maxRefusals {
		t.Error(a, b)
	}
	at = at.Add(time.Hour - 1)
	if n := flood("a"); n != 0 {
		t.Errorf("%d more within the hour", n)
	}
	at = at.Add(1)
	if n := flood("a"); n != maxRefusals {
		t.Errorf("%d an hour later", n)
	}
}
