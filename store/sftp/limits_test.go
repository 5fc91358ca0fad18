package sftp

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// A server that refuses a further OPEN, with any status, delivers all files within one
// pass.
func TestLimitByRefusal(t *testing.T) {
	for _, status := range []sftptest.Status{1, 2, 3, 4, 8, 9, 11, 14, 99} {
		t.Run(fmt.Sprint("status ", uint32(status)), func(t *testing.T) {
			srv := faulty(t, sftptest.Faults{MaxOpenFiles: 1, OpenStatus: status})
			want := likeFiles(t, srv.Endpoint, "", 60)
			d := newDownloader(t, byKey(srv.Endpoint))
			d.pass(nil)
			wantFiles(t, d.dir, want)
		})
	}
	for name, f := range map[string]sftptest.Faults{
		"one handle":             {MaxHandles: 1, OpenStatus: 3},
		"one handle, a channel":  {MaxHandles: 1, OpenStatus: 2, MaxChannels: 1},
		"two handles":            {MaxHandles: 2, OpenStatus: 4},
		"twenty open files":      {MaxOpenFiles: 20, OpenStatus: 3},
		"three with directories": {MaxHandles: 3, OpenStatus: 3, ShuffleReads: true},
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulty(t, f)
			want := map[string]string{}
			for i := range 8 {
				for name, text := range likeFiles(t, srv.Endpoint, fmt.Sprintf("d%d/f", i), 25) {
					want[name] = text
				}
			}
			d := newDownloader(t, byKey(srv.Endpoint))
			d.pass(nil)
			wantFiles(t, d.dir, want)
		})
	}
}

// A limit that is shared with other users of the host delivers all files.
func TestSharedLimit(t *testing.T) {
	const all = 20
	srv := faulty(t, sftptest.Faults{MaxOpenFiles: all, OpenStatus: sftptest.StatusPermissionDenied})
	want := likeFiles(t, srv.Endpoint, "", 1000)
	var opened atomic.Int32
	srv.Set(func(f *sftptest.Faults) {
		f.OnOpen = func(string) {
			if opened.Add(1)%50 == 0 {
				go srv.Set(func(f *sftptest.Faults) { f.MaxOpenFiles = 1 + (f.MaxOpenFiles+6)%all })
			}
		}
	})
	d := newDownloader(t, byKey(srv.Endpoint))
	d.pass(nil)
	wantFiles(t, d.dir, want)
}

// Files that cannot be read cost few exclusive tries, whatever is open beside them.
// Where a limit has the same status, it may take the tries of some passes.
func TestManyDenied(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"all of them":              {},
		"every second":             {},
		"every third, and a limit": {MaxOpenFiles: 10, OpenStatus: sftptest.StatusPermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 600
			every := map[bool]int{strings.Contains(name, "second"): 2, strings.Contains(name, "all"): 1, strings.Contains(name, "third"): 3}[true]
			srv := faulty(t, f)
			var entries []filesync.Entry
			denied := map[string]bool{}
			for i := range n {
				entries = append(entries, put(t, srv.Endpoint, fmt.Sprint(i), noise(10)))
				denied[fmt.Sprintf("%s/%d", srv.Root, i)] = i%every == 0
			}
			var opens atomic.Int32
			srv.Set(func(f *sftptest.Faults) {
				f.Fail = func(op sftptest.Op, path string) sftptest.Status {
					if op != sftptest.OpOpen {
						return sftptest.StatusOK
					}
					opens.Add(1)
					if denied[path] {
						return sftptest.StatusPermissionDenied
					}
					return sftptest.StatusOK
				}
			})
			s := openSource(t, byKey(srv.Endpoint))
			var wg sync.WaitGroup
			free := make(chan struct{}, 64)
			for i, e := range entries {
				free <- struct{}{}
				wg.Go(func() {
					defer func() { <-free }()
					_, err := s.Fetch(t.Context(), e, 0, &memory{})
					for try := 1; f.MaxOpenFiles > 0 && i%every != 0 && err != nil && try < filesync.MaxTries; try++ {
						_, err = s.Fetch(t.Context(), e, 0, &memory{})
					}
					if (i%every == 0) != errors.Is(err, fs.ErrPermission) {
						t.Errorf("%d: %v", i, err)
					}
				})
			}
			wg.Wait()
			if more := int(opens.Load()) - n; more > n/2 && f.MaxOpenFiles == 0 {
				t.Errorf("%d OPENs more than files", more)
			}
			if m := s.limits.openFiles.limit(); (m != 0) != (f.MaxOpenFiles > 0) {
				t.Errorf("a limit of %d is remembered", m)
			}
		})
	}
}

// A server that dies of many open files is met again with a quarter of them, until it
// bears that.
func TestServerThatDiesOfHandles(t *testing.T) {
	for _, whole := range []bool{false, true} {
		srv := faulty(t, sftptest.Faults{DieAtHandles: 24, ConnectionDies: whole, MaxChannels: 1, Delay: time.Millisecond})
		want := likeFiles(t, srv.Endpoint, "", 300)
		d := newDownloader(t, byKey(srv.Endpoint))
		d.pass(nil)
		wantFiles(t, d.dir, want)
		if n := d.cfg.Limits.channelHandles.Load(); n == 0 || n >= 24 {
			t.Errorf("whole %v: %d handles are remembered", whole, n)
		}
	}
}

// The reason of a server's death is noted before any call learns of it, as the caller
// may dial again at once and must not kill the server again.
func TestDeathIsNotedBeforeItIsTold(t *testing.T) {
	for range 5 {
		srv := faulty(t, sftptest.Faults{DieAtHandles: 24, MaxChannels: 1, Delay: 5 * time.Millisecond})
		var entries []filesync.Entry
		for i := range 64 {
			entries = append(entries, put(t, srv.Endpoint, fmt.Sprint(i), noise(10)))
		}
		s := openSource(t, byKey(srv.Endpoint))
		var wg sync.WaitGroup
		for _, e := range entries {
			wg.Go(func() {
				_, err := s.Fetch(t.Context(), e, 0, &memory{})
				if err != nil && (s.limits.channelHandles.Load() == 0 || s.conn.Err() == nil) {
					t.Errorf("%s: %d handles are remembered, and of the connection is said %v", e.Name, s.limits.channelHandles.Load(), s.conn.Err())
				}
			})
		}
		wg.Wait()
		if s.conn.Err() == nil {
			t.Error("the server lives")
		}
	}
}

// A channel that is never opened delays nobody, and is not asked for again.
func TestSecondChannelIsNeverAnswered(t *testing.T) {
	srv := faulty(t, sftptest.Faults{IgnoreFrom: 2})
	want := likeFiles(t, srv.Endpoint, "d/", 20)
	d := newDownloader(t, byKey(srv.Endpoint))
	start := time.Now()
	d.pass(nil)
	if took := time.Since(start); took > d.cfg.WithDefaults().Timeouts.Operation/2 {
		t.Errorf("the pass took %v", took)
	}
	wantFiles(t, d.dir, want)
	if n, known := d.cfg.Limits.dataChannels(); !known || n != 0 {
		t.Errorf("%d data channels are remembered, %v", n, known)
	}
	d.pass(nil)
}

func TestHandleLimit(t *testing.T) {
	var l handleLimit
	fill := func(times int) int {
		for range times {
			l.noteOpened(l.limit())
		}
		return l.limit()
	}
	l.noteOpened(100)
	l.lower(8)
	l.lower(9)
	if l.limit() != 8 {
		t.Errorf("the limit is %d", l.limit())
	}
	for range probeAfter {
		l.noteOpened(7) // is not full
	}
	if n := fill(probeAfter - 1); n != 8 {
		t.Errorf("the limit is %d too early", n)
	}
	if n := fill(1); n != 12 {
		t.Errorf("the limit is %d, then", n)
	}
	l.lower(8) // in vain
	if n := fill(probeAfter); n != 8 {
		t.Errorf("more are tried as soon as the last time: %d", n)
	}
	if n := fill(probeAfter); n != 12 {
		t.Errorf("the limit is %d, the second time", n)
	}
	if n := fill(2 * probeAfter); n != 18 {
		t.Errorf("a limit that is higher by now: %d", n)
	}
	if n := fill(probeAfter); n != 27 {
		t.Errorf("it rises as before after that: %d", n)
	}
	if n := fill(8 * probeAfter); n != 0 {
		t.Errorf("one past all that is ever open is still known: %d", n)
	}
}

func TestRefusals(t *testing.T) {
	var r refusalStats
	r.handleOpened(handleCounts{open: 9}, false)
	stats := 0
	for range 10_000 {
		if r.worthRetrying(3, 9) {
			stats++
			r.notLimit(3)
		}
	}
	if stats > 30 || stats < 5 {
		t.Errorf("%d of 10,000 refusals are looked into", stats)
	}
	if !r.worthRetrying(3, 10) {
		t.Error("one with more open than ever before")
	}
	for range maxTriesAtPeak {
		r.notLimit(3)
	}
	if r.worthRetrying(3, 10) {
		t.Error("that has been the file's own too often")
	}
	if !r.worthRetrying(4, 0) || r.meansTooMany(3) {
		t.Error("another status")
	}
	was := openRefusal{code: 3, counts: handleCounts{open: 9, openFiles: 9}}
	for range 2 { // sent before anything was noted
		if r.learnLimit(was) || r.meansTooMany(3) {
			t.Error("it is believed at once")
		}
	}
	was.changes = r.changes()
	r.handleOpened(handleCounts{open: 9, openFiles: 9}, false)
	if r.learnLimit(was) || r.meansTooMany(3) {
		t.Error("another one was opened beside as many")
	}
	was.changes = r.changes()
	r.handleOpened(handleCounts{open: 9, openFiles: 9}, true)  // a directory
	r.handleOpened(handleCounts{open: 9, openFiles: 8}, false) // fewer
	if !r.learnLimit(was) {
		t.Error("it is not believed the second time")
	}
	if !r.worthRetrying(3, 0) || !r.meansTooMany(3) {
		t.Error("one that is known to be a limit")
	}
	r.notLimit(1 << 31)
	r.notLimit(33)
}
