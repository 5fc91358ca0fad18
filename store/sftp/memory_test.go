package sftp

import (
	"fmt"
	"iter"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// heap is what the last collection found reachable, in bytes: what was allocated since is
// not among it, however long this goroutine had to wait for the processor.
func heap() int64 {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}

// Listings with slow readers hold little, whatever the server sends.
func TestMemoryOfListings(t *testing.T) {
	const (
		listings = 48
		most     = 64 << 20
	)
	names := make([]string, 4500)
	for i := range names {
		names[i] = fmt.Sprintf("%d%s", i, strings.Repeat("n", 1200))
		if i < 60 { // later answers have more names than the first, so that more are asked for
			names[i] += names[i]
		}
	}
	srv := faulty(t, sftptest.Faults{})
	srv.Set(func(f *sftptest.Faults) {
		f.Inject = map[string][]sftptest.Injected{srv.Root: {{Name: "d", Dir: true}}, srv.Root + "/d": sftptest.InjectNames(names...)}
	})
	s := openSource(t, byKey(srv.Endpoint))
	before := heap()
	var reading, done sync.WaitGroup
	goOn := make(chan struct{})
	for range listings {
		reading.Add(1)
		done.Go(func() {
			n := 0
			for _, err := range s.List(t.Context(), "d") {
				if err != nil {
					t.Error(err)
					return
				}
				if n++; n == 2500 {
					reading.Done()
					<-goOn
				}
			}
			if n != len(names) {
				t.Errorf("%d entries", n)
			}
		})
	}
	reading.Wait()
	for _, ch := range s.pool.all() {
		waitFor(t, func() bool { return ch.wire().session.Waiting() == 0 })
	}
	if held := heap() - before; held > most {
		t.Errorf("%d listings hold %d MiB", listings, held>>20)
	} else {
		t.Logf("%d listings hold %d MiB", listings, held>>20)
	}
	close(goOn)
	done.Wait()
}

// Where only one handle may be open, a directory is held in memory while its files are
// read: also a large one, within a bound.
func TestMemoryOfGatheredListing(t *testing.T) {
	srv := faulty(t, sftptest.Faults{MaxHandles: 1})
	put(t, srv.Endpoint, "endless/f", nil)
	srv.Set(func(f *sftptest.Faults) { f.EndlessListing = srv.Root + "/endless" })
	cfg := byKey(srv.Endpoint)
	cfg.Limits = new(Limits)
	cfg.Limits.setChannelHandles(1)
	s := openSource(t, cfg)
	s.handles.seenBytes.Store(maxSeenBytes) // else it would be listed in parts up to that
	before := heap()
	err := ended(s.List(t.Context(), "endless"))
	if held := heap() - before; held > 32<<20 {
		t.Errorf("%d MiB are held", held>>20)
	}
	if !strings.Contains(fmt.Sprint(err), "past the limit") {
		t.Errorf("the listing ended with %v", err)
	}
	put(t, srv.Endpoint, "d/f", nil)
	if got := allOf(t, s, "d"); len(got) != 1 { // the handle is free
		t.Errorf("d holds %v", got)
	}
}

// ended gives the error with which a listing ends.
func ended(entries iter.Seq2[filesync.Entry, error]) (err error) {
	for _, err = range entries {
	}
	return err
}
