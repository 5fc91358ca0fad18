package sync_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/local"
	"sftpconnector/store/sftp"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// A listing that never ends, of a real connection, ends at the bound, takes no
// memory that grows with it, and does not keep the others waiting for good.
func TestEndlessListing(t *testing.T) {
	const limit, most = 50_000, 16 << 20
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	if err := os.Mkdir(filepath.Join(s.Root, "endless"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Root, "good.txt"), []byte("good"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Set(func(f *sftptest.Faults) { f.EndlessListing = s.Root + "/endless" })
	b := newBench(t)
	open := func(ctx context.Context) (filesync.Source, error) {
		return sftp.Open(ctx, sftp.Config{Host: s.Host, Port: s.Port, Username: s.User, Password: s.Password, KnownHostsPath: s.KnownHosts, Root: s.Root}, nil)
	}
	src, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dst, err := local.Open(b.dir, b.ledger.Owner())
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	filter, err := filesync.NewFilter(filesync.FilterOptions{Include: []string{"*.txt"}})
	if err != nil {
		t.Fatal(err)
	}
	p := filesync.New(src, open, dst, b.memory, b.shared, filesync.Options{ID: "1", Mode: filesync.Automatic, Filter: filter})
	p.LimitEntries(limit)
	before, done, peak := heap(), make(chan struct{}), make(chan uint64)
	go watchHeap(done, peak)
	r := p.Run(t.Context())
	close(done)
	if grown := int64(<-peak) - int64(before); grown > most {
		t.Errorf("the heap grew by %d MiB over %d entries", grown>>20, limit)
	}
	b.want(r, filesync.Partial, "copied=1 excluded=50000 failed=1")
	if len(r.Failures) != 1 || r.Failures[0].Name != "endless" || !strings.Contains(r.Failures[0].Error, filesync.ErrLimit.Error()) {
		t.Errorf("failures: %v", r.Failures)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// watchHeap gives the most that was live at any look until done.
func watchHeap(done <-chan struct{}, peak chan<- uint64) {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	var most uint64
	for {
		select {
		case <-look.C:
			most = max(most, heap())
		case <-done:
			peak <- most
			return
		}
	}
}
