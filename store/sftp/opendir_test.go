package sftp

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"sftpconnector/store/sftp/sftptest"
)

// All seenItems share one bound. Names without room are passed on again.
func TestMemoryOfSeenItems(t *testing.T) {
	before := heap()
	var used atomic.Int64
	hs := make([]seenItems, 6)
	const each = 300_000
	batch := make([]item, batchItems)
	names := func(h int) (count int) {
		for n := 0; n < each; n += len(batch) {
			for i := range batch {
				batch[i] = item{path: fmt.Sprint(h, " ", n+i)}
			}
			count += len(hs[h].filterNew(batch))
		}
		return count
	}
	for h := range hs {
		hs[h].allBytes = &used
		if n := names(h); n < each {
			t.Fatalf("%d of %d names are handed on", n, each)
		}
		hs[h].restart()
	}
	if held := heap() - before; held > 3*maxSeenBytes {
		t.Errorf("%d listings keep %d MiB", len(hs), held>>20)
	}
	if n := names(0); n != 0 {
		t.Errorf("%d names are handed on twice where there was room", n)
	}
	if n := names(len(hs) - 1); n < each {
		t.Errorf("%d of %d names are handed on where there was none", n, each)
	}
	for h := range hs {
		hs[h].release()
	}
	if n := used.Load(); n != 0 {
		t.Errorf("%d bytes are still taken", n)
	}
	runtime.KeepAlive(hs)
}

// Where only one handle may be open, a directory that is too large to be held is listed
// in parts.
func TestGatheredInParts(t *testing.T) {
	names := make([]string, 3*gatherAlone/2/2000)
	for i := range names {
		names[i] = fmt.Sprintf("%d%s", i, strings.Repeat("n", 2000))
	}
	srv := faulty(t, sftptest.Faults{MaxHandles: 1})
	srv.Set(func(f *sftptest.Faults) {
		f.Inject = map[string][]sftptest.Injected{srv.Root: {{Name: "d", Dir: true}}, srv.Root + "/d": sftptest.InjectNames(names...)}
	})
	cfg := byKey(srv.Endpoint)
	cfg.Limits = new(Limits)
	cfg.Limits.setChannelHandles(1)
	s := openSource(t, cfg)
	seen := map[string]int{}
	for e, err := range s.List(t.Context(), "d") {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Name]++
	}
	for _, n := range names {
		if seen["d/"+n] != 1 {
			t.Fatalf("a name is listed %d times", seen["d/"+n])
		}
	}
	if n := s.handles.seenBytes.Load(); n != 0 {
		t.Errorf("%d bytes are still taken", n)
	}
}
