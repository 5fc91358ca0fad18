//go:build !race

package server_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/interapp/server"
)

// A hundred pages that are open on a thousand connectors that do nothing take less than a
// tenth of a core. Their time is not waited for: the processor's time is compared with it,
// which the race detector makes another one.
func TestIdleStreamsCostLittle(t *testing.T) {
	set := crowdOf(t, 1000)
	synctest.Test(t, func(t *testing.T) {
		api := server.New(server.Options{Set: set})
		var readers []*reader
		for range crowd {
			readers = append(readers, &reader{header: http.Header{}})
		}
		end := attend(t.Context(), api, readers)
		const shown = 10 * time.Minute
		before := processorTime(t)
		time.Sleep(shown)
		used := processorTime(t) - before
		end()
		t.Logf("%d streams use %.2f %% of a core", crowd, 100*used.Seconds()/shown.Seconds())
		if used > shown/10 {
			t.Errorf("%d streams that are told nothing take %s of processor time in %s", crowd, used, shown)
		}
		for i, r := range readers {
			if r.got < 38*len(": nothing else\n\n") {
				t.Errorf("stream %d got %d bytes", i, r.got)
			}
		}
	})
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
