package pass_test

import (
	"testing"
	"time"

	filesync "sftpconnector/sync"
)

// A file that failed while the clock was years ahead is not put off for years.
func TestFailureOfAClockThatWasSetBack(t *testing.T) {
	b := newBench(t)
	b.src.Put("ahead", "text", old)
	b.src.Put("just now", "text", old)
	now := time.Now()
	failed := func(name string, at time.Time) {
		t.Helper()
		f := filesync.Failure{Source: filesync.Entry{Name: name, Size: 4, ModTime: old}, Tries: 1, Error: "no", At: at, Next: at.Add(time.Hour)}
		if _, err := b.memory.Fail(t.Context(), []filesync.Failure{f}); err != nil {
			t.Fatal(err)
		}
	}
	failed("ahead", now.AddDate(5, 0, 0))
	failed("just now", now.Add(-time.Minute))
	b.want(b.pass(filesync.Automatic), filesync.Partial, "copied=1 failed=1")
	b.want(b.pass(filesync.Automatic), filesync.Partial, "present=1 failed=1")
}
