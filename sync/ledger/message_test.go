package ledger_test

import (
	"testing"
	"time"

	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

func TestMark(t *testing.T) {
	t.Parallel()
	counts := filesync.Counts{Seen: 99, Copied: 1, Failed: 2, Quarantined: 4, Conflict: 8, Unsafe: 16, Waiting: 99, Bytes: 7}
	for name, c := range map[string]struct {
		finished time.Time
		state    filesync.Outcome
		seconds  float64
	}{
		"ended":          {day.Add(1500 * time.Millisecond), filesync.Partial, 1.5},
		"running":        {time.Time{}, filesync.Running, 60},
		"killed":         {time.Time{}, filesync.Cancelled, 0},
		"clock set back": {day.Add(-time.Hour), filesync.Succeeded, 0},
	} {
		got := ledger.Pass{ID: "7", Mode: filesync.Apply, State: c.state, Started: day, Finished: c.finished, Files: counts}.Mark(day.Add(time.Minute))
		want := interapp.PassMark{Pass: "7", Mode: "apply", State: string(c.state), Started: day, Seconds: c.seconds, Files: 1, Bytes: 7, Failed: 30}
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
