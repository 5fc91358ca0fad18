package sync_test

import (
	"strings"
	"testing"
	"time"

	filesync "sftpconnector/sync"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		include, exclude string // separated by |
		max              int64
		in, out          string // names, separated by |
	}{
		{"", "", 0, "a|b/c.csv|.hidden|d/..x|tmp|part|a.tmpx|x.part.csv|.in.x", "x.part|x.PART|d/x.filepart|x.tmp|x.temp|x.partial|x.crdownload|x~|.x.swp|.X.SWX|~$doc.xlsx|.nfs0001|.x.csv.0123.part|d/x.uploading"},
		{"**", "", 0, "a|b/c/d", "b/c/d.tmp"},
		{"*.csv", "", 0, "a.csv|b/c.csv|.csv|b/d/é.csv", "a.CSV|a.csv.gz|csv|a.csv/b"},
		{"*.csv|*.txt", "", 0, "a.csv|x/b.txt", "a.bin"},
		{"in/*.csv", "", 0, "in/a.csv", "a.csv|in/x/a.csv|x/in/a.csv"},
		{"/in/*.csv", "", 0, "in/a.csv", "a.csv|x/in/a.csv"},
		{"in/**", "", 0, "in/a|in/x/y/z", "a|inn/a"},
		{"**/x/*.csv", "", 0, "x/a.csv|d/e/x/a.csv", "x/y/a.csv|a.csv"},
		{"[a-c]?.{csv,txt}", "", 0, "a1.csv|d/b2.txt", "d1.csv|a12.csv|a1.bin"},
		{`regex:^in/\d+\.csv$`, "", 0, "in/12.csv", "in/x.csv|12.csv|d/in/12.csv"},
		{"regex:(?i)REPORT", "", 0, "a report.csv|reports/x", "x"},
		{"", "*.bak", 0, "a|b.bak/c", "a.bak|d/e.bak"},
		{"*.csv", "*.csv", 0, "", "a.csv"},
		{"", "old/**|regex:secret", 0, "a|x/old/a", "old/a|old/b/c|d/secret.txt"},
		{"", "tmp/", 0, "a|tmp|d/tmp|tmp2/a", "tmp/a|d/tmp/a|d/tmp/e/a"},
		{"", "d/tmp/|lo*/", 0, "a|tmp/a|e/d/tmp/a|log", "d/tmp/a|logs/a|e/logs/a"},
		{"/in/|out/", "", 0, "in/a|in/d/a|out/a|x/out/a", "a|in|x/in/a"},
		{"*/", "", 0, "in/a|in/d/a", "a"},
		{"", "", 5, "a|12345", ""},
	} {
		split := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '|' }) }
		f, err := filesync.NewFilter(filesync.FilterOptions{Include: split(c.include), Exclude: split(c.exclude), MaximumSize: c.max})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range split(c.in) {
			if reason := f.Excluded(filesync.Entry{Name: name, Size: 5}); reason != "" {
				t.Errorf("include %q, exclude %q: %q is out: %s", c.include, c.exclude, name, reason)
			}
		}
		for _, name := range split(c.out) {
			if f.Excluded(filesync.Entry{Name: name, Size: 5}) == "" {
				t.Errorf("include %q, exclude %q: %q is in", c.include, c.exclude, name)
			}
		}
		if reason := f.Excluded(filesync.Entry{Name: "a.csv", Size: 6}); c.max > 0 && !strings.Contains(reason, "maximum_file_size") {
			t.Errorf("a file over the size: %q", reason)
		}
	}
	for _, bad := range []string{"[", "{a", "regex:("} {
		if _, err := filesync.NewFilter(filesync.FilterOptions{Include: []string{bad}}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
		if _, err := filesync.NewFilter(filesync.FilterOptions{Exclude: []string{bad}}); err == nil {
			t.Errorf("%s to be excluded is taken", bad)
		}
	}
}

// A directory whose pattern ends in a slash is not entered, as without it.
func TestPatternWithATrailingSlashPrunes(t *testing.T) {
	f, err := filesync.NewFilter(filesync.FilterOptions{Exclude: []string{"tmp/", "/a/b/", "/data/in/old/", "*.d/"}, Root: "/data/in"})
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{
		"tmp": true, "x/tmp": true, "tmpx": false, "a": false, "a/b": true, "x/a/b": false, "old": true, "x/old": false, "conf.d": true,
	} {
		if got := f.Prunes(dir) != ""; got != want {
			t.Errorf("%s is not entered: %v, want %v", dir, got, want)
		}
	}
}

func TestMinimumAge(t *testing.T) {
	f, err := filesync.NewFilter(filesync.FilterOptions{MinimumAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for age, want := range map[time.Duration]time.Duration{
		0: time.Hour, 20 * time.Minute: 40 * time.Minute, time.Hour: 0, 48 * time.Hour: 0, -time.Hour: 2 * time.Hour,
	} {
		if got := f.TooYoung(filesync.Entry{ModTime: now.Add(-age)}, now); got != want {
			t.Errorf("a file %v old: %v more, want %v", age, got, want)
		}
	}
	if got := f.TooYoung(filesync.Entry{}, now); got != 0 {
		t.Errorf("a file without a time: %v", got)
	}
}
