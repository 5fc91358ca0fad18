package sync_test

import (
	"strings"
	"testing"
	"time"

	filesync "sftpconnector/sync"
)

// Files of the next second, and those that nobody knows the time of.
func TestSelectionTimes(t *testing.T) {
	at := time.Date(2106, 2, 7, 6, 28, 15, 0, time.UTC)
	for name, test := range map[string]struct {
		from, to time.Time
		mod      time.Time
		want     bool
	}{
		"from is inclusive": {at, time.Time{}, at, true},
		"just before":       {at, time.Time{}, at.Add(-time.Second), false},
		"to is exclusive":   {time.Time{}, at, at, false},
		"just in":           {time.Time{}, at, at.Add(-time.Second), true},
		"1970":              {time.Unix(0, 0), time.Unix(1, 0), time.Unix(0, 0), true},
		"another zone":      {at.In(time.FixedZone("", 5*3600)), time.Time{}, at, true},
		"no time":           {time.Time{}, at, time.Time{}, false},
		"no time, no bound": {time.Time{}, time.Time{}, time.Time{}, true},
	} {
		if got := selection(t, "", test.from, test.to).Match(filesync.Entry{Name: "f", ModTime: test.mod}); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestBadSelections(t *testing.T) {
	for pattern, want := range map[string]string{
		"[":                        "not closed",
		"{a,b":                     "not closed",
		"regex:(":                  "missing closing )",
		strings.Repeat("a", 1001):  "1001 bytes",
		strings.Repeat("{a,b}", 9): "multiply to more than 256",
		"{a,{b,c,{d,e}}}{1,2,3,4,5}{" + strings.Repeat(",", 40) + "}": "multiply",
		"regex:" + strings.Repeat(".{0,1000}", 100) + "x$":            "multiply to more than 1000 steps",
		"regex:" + strings.Repeat("(.?){999}", 100):                   "multiply to more than 1000 steps",
		"regex:((a{30}){30}){30}":                                     "invalid repeat count",
		"2026/01/":                                                    "ends in a slash",
		"./2026/*":                                                    "below the source directory",
		"../*":                                                        "below the source directory",
		`2026\01\*.csv`:                                               "separated by /",
	} {
		start := time.Now()
		if _, err := filesync.NewSelection(pattern, time.Time{}, time.Time{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", pattern, err, want)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%.40s: refused after %v", pattern, took)
		}
	}
	if _, err := filesync.NewSelection("", time.Unix(1, 0), time.Unix(1, 0)); err == nil || !strings.Contains(err.Error(), "before to") {
		t.Error(err)
	}
}

// A walk that is pruned finds what one of the whole tree does.
func FuzzSelection(f *testing.F) {
	for _, glob := range []string{"*.csv", "a/**", "a/*/c", "{a,b/c}/d", "**/x/*", "a\\*/b", "/a/b", "[ab]/c", "a//b"} {
		f.Add(glob, "a/b/c.csv")
	}
	f.Add("data[!/]x/*.csv", "data1x/f.csv")
	f.Add(`a\/b/*.csv`, "a/b/f.csv")
	f.Fuzz(func(t *testing.T, glob, name string) {
		s, err := filesync.NewSelection(glob, time.Time{}, time.Time{})
		if err != nil || !s.Match(filesync.Entry{Name: name}) {
			return
		}
		for i, c := range name {
			if c == '/' && !s.MayHold(name[:i]) {
				t.Errorf("%q matches %q, and %q may hold nothing", glob, name, name[:i])
			}
		}
	})
}

func selection(t *testing.T, name string, from, to time.Time) *filesync.Selection {
	t.Helper()
	s, err := filesync.NewSelection(name, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
