package pass_test

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/sshclient"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// A listing that never ends, of a real connection, ends at the bound, takes no
// memory that grows with it, and does not keep the others waiting for good.
func TestEndlessListing(t *testing.T) {
	const limit, most = 200_000, 32 << 20
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
		return sftp.Open(ctx, sftp.Config{Root: s.Root, Config: sshclient.Config{Host: s.Host, Port: s.Port, Username: s.User, Password: s.Password, KnownHosts: sshclient.KnownHostsFile(s.KnownHosts)}}, nil)
	}
	src, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	filter, err := filesync.NewFilter(filesync.FilterOptions{Include: []string{"*.txt"}})
	if err != nil {
		t.Fatal(err)
	}
	p := pass.New(src, open, dst, b.memory, b.shared, pass.Options{ID: "1", Mode: filesync.Automatic, Filter: filter})
	p.LimitEntries(limit)
	before, done, peak := heap(), make(chan struct{}), make(chan uint64)
	go watchHeap(done, peak)
	r := p.Run(t.Context())
	close(done)
	if grown := int64(<-peak) - int64(before); grown > most {
		t.Errorf("the heap grew by %d MiB over %d entries", grown>>20, limit)
	}
	b.want(r, filesync.Partial, "copied=1 excluded=200000 failed=1")
	if len(r.Failures) != 1 || r.Failures[0].Name != "endless" || !strings.Contains(r.Failures[0].Error, filesync.ErrLimit.Error()) {
		t.Errorf("failures: %v", r.Failures)
	}
}

// heap gives the bytes that the last collection found live: what was allocated since is
// not among them, however long this goroutine had to wait for the processor.
func heap() uint64 {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return live[0].Value.Uint64()
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

// hostile is a source that lists what it likes, and holds nothing itself.
type hostile struct {
	filesync.Source
	list func(dir string, yield func(filesync.Entry) bool)
}

func (h hostile) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		h.list(dir, func(e filesync.Entry) bool {
			if dir != "" {
				e.Name = dir + "/" + e.Name
			}
			return yield(e, ctx.Err())
		})
	}
}

func (h hostile) Close() error { return nil }

// meter counts entries, and looks at the heap now and then while nobody lists.
type meter struct {
	before uint64
	peak   int64
	listed atomic.Int64
	quiet  sync.RWMutex
}

func (m *meter) count() int64 {
	n := m.listed.Add(1)
	if n%20_000 == 0 || n == 1000 || n == 3000 {
		m.quiet.Lock()
		defer m.quiet.Unlock()
		m.peak = max(m.peak, int64(heap())-int64(m.before))
		return n
	}
	m.quiet.RLock()
	defer m.quiet.RUnlock()
	return n
}

// Whatever a source lists, a walk holds no more than some tens of MiB.
func TestHostileListings(t *testing.T) {
	const most = 40 << 20
	long := func(i int) string { return fmt.Sprintf("%06d", i) + strings.Repeat("x", 249) }
	// deep lists a chain of long names, and then very many entries.
	deep := func(mode fs.FileMode, n int) func(string, func(filesync.Entry) bool) {
		return func(dir string, yield func(filesync.Entry) bool) {
			switch depth := len(dir) / 255; {
			case depth < 14:
				yield(filesync.Entry{Name: long(0), Mode: fs.ModeDir | 0o755})
			case depth == 14:
				for i := range n {
					if !yield(filesync.Entry{Name: long(i), Mode: mode, ModTime: old}) {
						return
					}
				}
			}
		}
	}
	for name, list := range map[string]func(dir string, yield func(filesync.Entry) bool){
		"many directories with long paths": deep(fs.ModeDir|0o755, 30_000),
		"many files with long paths":       deep(0o644, 4_000),
		"many pipes with long paths":       deep(fs.ModeNamedPipe, 50_000),
		"names of 30 KB": func(dir string, yield func(filesync.Entry) bool) {
			for i := range 5_000 {
				if !yield(filesync.Entry{Name: strings.Repeat("x", 30_000) + fmt.Sprint(i), Mode: fs.ModeDir | 0o755}) {
					return
				}
			}
		},
		"each directory has more": func(dir string, yield func(filesync.Entry) bool) {
			for i := range 3000 {
				if len(dir) > 1500 || !yield(filesync.Entry{Name: long(i), Mode: fs.ModeDir | 0o755}) {
					return
				}
			}
		},
		"a directory of directories": func(dir string, yield func(filesync.Entry) bool) {
			for i := 0; dir == "" && i < 100_000 && yield(filesync.Entry{Name: fmt.Sprint("patient-", i), Mode: fs.ModeDir | 0o755}); i++ {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m := &meter{before: heap()}
			src := hostile{list: func(dir string, yield func(filesync.Entry) bool) {
				list(dir, func(e filesync.Entry) bool {
					if m.count() > 300_000 { // some have no end that anybody could wait for
						cancel()
					}
					return yield(e)
				})
			}}
			f, err := filesync.NewFilter(filesync.FilterOptions{Include: []string{"none"}})
			if err != nil {
				t.Fatal(err)
			}
			dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
			if err != nil {
				t.Fatal(err)
			}
			defer dst.Close()
			p := pass.New(src, nil, dst, b.memory, b.shared, pass.Options{ID: "1", Mode: filesync.Automatic, Filter: f})
			p.LimitEntries(500_000)
			r := p.Run(ctx)
			grown := m.peak
			t.Logf("%s: the heap grew by %d MiB; seen %d, failed %d, unsafe %d, excluded %d", r.Outcome, grown>>20, r.Files.Seen, r.Files.Failed, r.Files.Unsafe, r.Files.Excluded)
			if grown > most {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
			if name == "each directory has more" && r.Files.Failed == 0 {
				t.Error("all of them wait to be listed")
			}
			if name == "a directory of directories" && r.Outcome != filesync.Succeeded {
				t.Errorf("100,000 directories are too many: %v", r.Failures)
			}
		})
	}
}

// The names that a listing which starts anew has had already are bounded, too.
func TestSeenNames(t *testing.T) {
	seen, used := pass.NewSeenNames()
	name := func(i int) string { return fmt.Sprintf("d/%07d", i) }
	const names = 1_200_000
	for i := range names {
		if !seen.Add(name(i)) {
			t.Fatalf("%s is taken for one of an earlier listing", name(i))
		}
	}
	if used.Load() > 8<<20 {
		t.Errorf("%d bytes", used.Load())
	}
	seen.Again()
	for i := range 1_000_000 {
		if seen.Add(name(i)) {
			t.Fatalf("%s is handed on again", name(i))
		}
	}
	if !seen.Add("d/new") {
		t.Error("a new name is not handed on")
	}
	seen.Release()
	if used.Load() != 0 {
		t.Errorf("%d bytes are left", used.Load())
	}
}
