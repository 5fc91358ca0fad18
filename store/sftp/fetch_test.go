package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// A small file takes two round trips on OpenSSH, three elsewhere, and a small
// directory two everywhere.
func TestRoundTrips(t *testing.T) {
	const oneWay = 50 * time.Millisecond
	for _, test := range []struct {
		name   string
		server sftptest.Endpoint
		trips  map[int]int // for a file of so many bytes
	}{
		{"OpenSSH", sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint, map[int]int{0: 2, 1000: 2, 255<<10 - 1: 2, 255 << 10: 3, 600 << 10: 3}},
		{"other", faulty(t, sftptest.Faults{}).Endpoint, map[int]int{0: 2, 1000: 3, 600 << 10: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := sftptest.StartRelay(t, test.server.Addr, oneWay)
			s, err := Open(t.Context(), byKey(test.server.Via(t, relay.Addr)), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for size, want := range test.trips {
				e := put(t, test.server, fmt.Sprint(size), noise(size))
				takes(t, e.Name, want, 2*oneWay, func() {
					if _, err := s.Fetch(t.Context(), e, 0, &memory{}); err != nil {
						t.Fatal(err)
					}
				})
			}
			takes(t, "the listing", 2, 2*oneWay, func() { allOf(t, s, "") })
		})
	}
}

// takes checks how many round trips an action takes: never fewer than want, and not
// more either, unless the machine is too busy three times in a row.
func takes(t *testing.T, name string, want int, trip time.Duration, act func()) {
	t.Helper()
	best := 1000.0
	for range 3 {
		start := time.Now()
		act()
		best = min(best, float64(time.Since(start))/float64(trip))
		if best < float64(want)+0.8 {
			break
		}
	}
	if best < float64(want) || best > float64(want)+0.8 {
		t.Errorf("%s took %.2f round trips, not %d", name, best, want)
	}
}

// A small file is read with one request of each kind, but for a READ at its end. One
// STAT learns whether files still exist after they were read.
func TestRequestsOfAFetch(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	e := put(t, srv.Endpoint, "f.bin", noise(1000))
	s := openSource(t, byKey(srv.Endpoint))
	srv.ResetCounts()
	for range 10 {
		if _, err := s.Fetch(t.Context(), e, 0, &memory{}); err != nil {
			t.Fatal(err)
		}
	}
	ops := srv.Counts().Ops
	if ops[sftptest.OpOpen] != 10 || ops[sftptest.OpRead] != 20 || ops[sftptest.OpFstat] != 10 || ops[sftptest.OpStat]+ops[sftptest.OpLstat] != 1 {
		t.Errorf("the requests were %v", ops)
	}
}

// A file that changes while it is read is never taken for the one that was listed.
func TestChangedWhileRead(t *testing.T) {
	const size = 3 << 20
	for name, test := range map[string]struct {
		change  func(path string) error
		changed bool // else the caller sees another version
	}{
		"truncated": {func(p string) error { return os.Truncate(p, 100) }, true},
		"grown": {func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.Write([]byte("more"))
				f.Close()
			}
			return err
		}, true},
		"touched": {func(p string) error { return os.Chtimes(p, old.Add(time.Hour), old.Add(time.Hour)) }, false},
	} {
		for _, channels := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s %d", name, channels), func(t *testing.T) {
				srv := faulty(t, sftptest.Faults{MaxChannels: channels})
				e := put(t, srv.Endpoint, "f.bin", noise(size))
				var once sync.Once
				srv.Set(func(f *sftptest.Faults) {
					f.OnRead = func(path string, at int64) {
						if at > size/2 {
							once.Do(func() {
								if err := test.change(path); err != nil {
									t.Error(err)
								}
							})
						}
					}
				})
				s := openSource(t, byKey(srv.Endpoint))
				got, err := s.Fetch(t.Context(), e, 0, &memory{})
				if test.changed && !errors.Is(err, filesync.ErrChanged) {
					t.Errorf("Fetch: %+v, %v", got, err)
				}
				if !test.changed && (err != nil || got.SameVersion(e)) {
					t.Errorf("Fetch: %+v, %v", got, err)
				}
			})
		}
	}
}

// READ finds an end that no attribute tells.
func TestEarlyEnd(t *testing.T) {
	for _, size := range []int{100, 1 << 20, 9 << 20} {
		srv := faulty(t, sftptest.Faults{EOFAt: 99})
		e := put(t, srv.Endpoint, "f.bin", noise(size))
		s := openSource(t, byKey(srv.Endpoint))
		if _, err := s.Fetch(t.Context(), e, 0, &memory{}); !errors.Is(err, filesync.ErrChanged) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// Another file under the same name, opened by a later channel, must not be mixed in.
func TestReplacedWhileRead(t *testing.T) {
	const size = 32 << 20
	srv := faulty(t, sftptest.Faults{Bandwidth: 16 << 20})
	content := noise(size)
	e := put(t, srv.Endpoint, "f.bin", content)
	var opens atomic.Int32
	srv.Set(func(f *sftptest.Faults) {
		f.OnOpen = func(path string) {
			if opens.Add(1) == 2 {
				other := filepath.Join(filepath.Dir(path), "other")
				if err := errors.Join(os.WriteFile(other, make([]byte, size), 0o600), os.Rename(other, path)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	s := openSource(t, byKey(srv.Endpoint))
	s.limits.reopenable.learn(true) // as a first small file would have shown
	m := memory{b: make([]byte, size)}
	_, err := s.Fetch(t.Context(), e, 0, &m)
	if opens.Load() < 2 {
		t.Fatal("no other channel joined")
	}
	if err == nil && !bytes.Equal(m.b, content) || err != nil && !errors.Is(err, filesync.ErrChanged) {
		t.Errorf("Fetch: %v, and the bytes are mixed", err)
	}
}

// A large file is spread over channels where one of them is the limit.
func TestWide(t *testing.T) {
	const size = 32 << 20
	srv := faulty(t, sftptest.Faults{Bandwidth: 8 << 20})
	content := noise(size)
	e := put(t, srv.Endpoint, "f.bin", content)
	for connections, channels := range map[int]int{0: 3, 1: 2, 2: 3} {
		cfg := byKey(srv.Endpoint)
		cfg.Connections = connections
		s := openSource(t, cfg)
		small := put(t, srv.Endpoint, "small", []byte("x"))
		if _, err := s.Fetch(t.Context(), small, 0, &memory{}); err != nil { // shows that files exist after they were read
			t.Fatal(err)
		}
		srv.ResetCounts()
		start := time.Now()
		m := memory{b: make([]byte, size)}
		if _, err := s.Fetch(t.Context(), e, 0, &m); err != nil {
			t.Fatal(err)
		}
		t.Logf("connections %d: %v", connections, time.Since(start))
		if !bytes.Equal(m.b, content) {
			t.Errorf("connections %d: other bytes came", connections)
		}
		opened := len(s.pool.all()) + 1
		if connections == 0 && opened < channels || connections > 0 && opened != channels {
			t.Errorf("connections %d: %d channels are open", connections, opened)
		}
	}
}

// A limit of one open file is noticed, and remembered.
func TestOpenFilesLimit(t *testing.T) {
	srv := faulty(t, sftptest.Faults{MaxOpenFiles: 2})
	var entries []filesync.Entry
	for i := range 40 {
		entries = append(entries, put(t, srv.Endpoint, fmt.Sprint(i), noise(100)))
	}
	limits := new(Limits)
	cfg := byKey(srv.Endpoint)
	cfg.Limits = limits
	s := openSource(t, cfg)
	var wg sync.WaitGroup
	for _, e := range entries {
		wg.Go(func() { fetchAll(t, s, e, noise(100)) })
	}
	wg.Wait()
	// A file whose CLOSE is not answered yet may have been counted.
	if n := limits.openFiles.limit(); n < 1 || n > 3 {
		t.Errorf("the limit is remembered as %d", n)
	}
	// Handles are counted until the server has closed them.
	waitFor(t, func() bool { _, in := s.handles.openAndInUse(); return in == 0 })
}

// A file that cannot be opened for no given reason fails alone.
func TestFailureOfOneFile(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	var entries []filesync.Entry
	for i := range 20 {
		entries = append(entries, put(t, srv.Endpoint, fmt.Sprint(i), noise(100)))
	}
	bad := srv.Root + "/7"
	srv.Set(func(f *sftptest.Faults) {
		f.Fail = func(op sftptest.Op, path string) sftptest.Status {
			if op == sftptest.OpOpen && path == bad {
				return sftptest.StatusFailure
			}
			return sftptest.StatusOK
		}
	})
	s := openSource(t, byKey(srv.Endpoint))
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Go(func() {
			_, err := s.Fetch(t.Context(), e, 0, &memory{})
			if (err != nil) != (i == 7) || err != nil && !strings.HasPrefix(err.Error(), "read 7: the server answered: failure") {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := s.limits.openFiles.limit(); n != 0 {
		t.Errorf("a limit of %d open files is remembered", n)
	}
}

// A caller that stops in the middle frees its buffers and handles.
func TestBuffersComeBack(t *testing.T) {
	srv := faulty(t, sftptest.Faults{Bandwidth: 8 << 20})
	e := put(t, srv.Endpoint, "f.bin", noise(16<<20))
	s := openSource(t, byKey(srv.Endpoint))
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := s.Fetch(ctx, e, 0, &memory{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Fetch: %v", err)
		}
		cancel()
	}
	srv.Set(func(f *sftptest.Faults) { f.Bandwidth = 0 })
	waitFor(t, func() bool {
		if s.buffers.budget.TryAcquire(bufferMemory) {
			s.buffers.budget.Release(bufferMemory)
			_, in := s.handles.openAndInUse()
			return in == 0
		}
		return false
	})
}

// waitFor waits for a condition.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never came to be")
		}
	}
}
