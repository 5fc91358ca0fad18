package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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

// openSSHBanner has a Faulty server taken for OpenSSH, which answers in the order of the
// requests, as a Faulty server does.
const openSSHBanner = "SSH-2.0-OpenSSH_9.2"

// ops counts requests by kind.
type ops = map[sftptest.Op]int

// roundTrips are the requests of an action: those of each round trip, which are sent
// with every answer to those before, and without any to their own. Nobody waits for the
// answers to left.
type roundTrips struct {
	trips []ops
	left  ops
}

// inRoundTrips does act, and checks in which round trips.
func inRoundTrips(t *testing.T, srv *sftptest.Faulty, want roundTrips, act func()) {
	t.Helper()
	hold := srv.Hold()
	done := make(chan struct{})
	go func() { defer close(done); act() }()
	defer func() { hold.End(); <-done }()
	for i, trip := range append(want.trips, want.left) {
		deadline := time.After(20 * time.Second)
		for !maps.Equal(hold.Ops(), trip) {
			select {
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Errorf("round trip %d has the requests %v, want %v", i+1, hold.Ops(), trip)
				return
			}
		}
		if i == len(want.trips) {
			break
		}
		select {
		case <-done:
			t.Errorf("nobody waits for the answers of round trip %d, %v", i+1, trip)
			return
		default:
		}
		hold.Release()
	}
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Errorf("more than %d round trips: then %v", len(want.trips), hold.Ops())
	}
}

// A small file takes two round trips on OpenSSH, three elsewhere, and a small
// directory two everywhere.
func TestRoundTrips(t *testing.T) {
	const open, read, fstat, end = sftptest.OpOpen, sftptest.OpRead, sftptest.OpFstat, sftptest.OpClose
	ofThree := func(reads int) roundTrips {
		return roundTrips{[]ops{{open: 1}, {read: reads}, {read: 1, fstat: 1}}, ops{end: 1}}
	}
	two := roundTrips{[]ops{{open: 1}, {read: 1, fstat: 1, end: 1}}, nil}
	for name, test := range map[string]struct {
		banner string
		files  map[int]roundTrips // by their size
	}{
		"OpenSSH": {openSSHBanner, map[int]roundTrips{0: two, 1000: two, 255<<10 - 1: two, 255 << 10: ofThree(1), 600 << 10: ofThree(3)}},
		"other":   {"", map[int]roundTrips{0: {[]ops{{open: 1}, {read: 1, fstat: 1}}, ops{end: 1}}, 1000: ofThree(1), 600 << 10: ofThree(3)}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulty(t, sftptest.Faults{Banner: test.banner})
			cfg := byKey(srv.Endpoint)
			cfg.Timeouts.Keepalive = time.Hour
			s := openSource(t, cfg)
			fetch := func(e filesync.Entry) {
				if _, err := s.Fetch(t.Context(), e, 0, &memory{}); err != nil {
					t.Error(err)
				}
			}
			fetch(put(t, srv.Endpoint, "first", noise(1000))) // what is learnt once
			waitFor(t, func() bool { return s.handles.used() == 0 })
			for size, want := range test.files {
				e := put(t, srv.Endpoint, fmt.Sprint(size), noise(size))
				t.Run(e.Name, func(t *testing.T) { inRoundTrips(t, srv, want, func() { fetch(e) }) })
			}
			listing := roundTrips{[]ops{{sftptest.OpOpendir: 1}, {sftptest.OpReaddir: 2}}, ops{end: 1}}
			inRoundTrips(t, srv, listing, func() { allOf(t, s, "") })
		})
	}
}

// sshd's sftp-server is known to answer in the order of the requests; others are not.
func TestAnswersInOrder(t *testing.T) {
	for name, test := range map[string]struct {
		server  sftptest.Endpoint
		ordered bool
	}{
		"OpenSSH": {sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint, true},
		"other":   {faulty(t, sftptest.Faults{}).Endpoint, false},
	} {
		s := openSource(t, byKey(test.server))
		if ordered := s.pool.first().wire().ordered; ordered != test.ordered {
			t.Errorf("%s: in order %v", name, ordered)
		}
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
	waitFor(t, func() bool { return s.handles.used() == 0 })
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
			return s.handles.used() == 0
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
