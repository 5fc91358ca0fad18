package sftp

import (
	"testing"
	"time"

	"sftpconnector/store/pending"
)

// A directory that cannot be listed is tried by each pass at first, then less and less
// often, and never given up. Another connector's sweep says nothing about it.
func TestFailedSweepsComeAgain(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	mine, other := pending.NewOwner("0badcafe", "c", 0), pending.NewOwner("0badcafe", "d", 0)
	var s failedSweeps
	if s.due(mine, now) {
		t.Error("due before anything has failed")
	}
	for n := 1; n < maxFailedSweeps; n++ {
		if s.swept(mine, true, now); !s.due(mine, now) {
			t.Errorf("not due after %d failures", n)
		}
	}
	for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		s.swept(mine, true, now)
		s.swept(other, false, now)
		if s.due(mine, now.Add(wait-time.Second)) || !s.due(mine, now.Add(wait)) || s.due(other, now.Add(wait)) {
			t.Errorf("not due after %v", wait)
		}
	}
	if s.swept(mine, false, now); s.due(mine, now.Add(24*time.Hour)) {
		t.Error("due after a sweep that listed everything")
	}
}
