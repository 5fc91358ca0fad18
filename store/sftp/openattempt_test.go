package sftp

import (
	"context"
	"fmt"
	"path"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// limitedSession is a session without a server. The tests give the functions that open
// files.
func limitedSession() *session {
	l := new(Limits)
	s := &session{limits: l, handles: newHandleLimiter(l)}
	s.pool = &pool{limits: l, channels: []*dataChannel{{channel: &wireChannel{}}}}
	return s
}

func opens() error { return nil }

func denies() error { return &wire.StatusError{Code: wire.CodePermissionDenied} }

// A file that is refused while another one is read for hours keeps others out for a
// short while only, and ends with its refusal.
func TestRefusedBesideALongFile(t *testing.T) {
	for name, traffic := range map[string]bool{"alone with it": false, "beside others": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ctx := limitedSession(), t.Context()
				if err := s.openLimited(ctx, opens, nil); err != nil {
					t.Fatal(err)
				}
				var denied sync.WaitGroup
				for range 20 {
					denied.Go(func() {
						if err := s.openLimited(ctx, denies, nil); statusCode(err) != wire.CodePermissionDenied {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				start := time.Now()
				for range 100 {
					if !traffic {
						break
					}
					if err := s.openLimited(ctx, opens, nil); err != nil {
						t.Fatal(err)
					}
					s.handles.release()
					time.Sleep(time.Second)
				}
				if took := time.Since(start) - 100*time.Second; took > 3*exclusiveWait {
					t.Errorf("others were kept out for %v", took)
				}
				denied.Wait()
				if took := time.Since(start); !traffic && took > 2*fewerHandlesWait {
					t.Errorf("they waited for %v", took)
				}
				if n := s.limits.openFiles.limit(); n != 0 {
					t.Errorf("a limit of %d is remembered", n)
				}
			})
		})
	}
}

// Files that are refused one after the other keep others out for a small part of the
// time.
func TestManyRefusedBesideALongFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limitedSession()
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.openLimited(ctx, opens, nil); err != nil {
			t.Fatal(err)
		}
		var denied sync.WaitGroup
		for range 8 {
			denied.Go(func() {
				for ctx.Err() == nil {
					_ = s.openLimited(ctx, denies, nil)
					time.Sleep(time.Millisecond)
				}
			})
		}
		start := time.Now()
		for range 6000 {
			if err := s.openLimited(ctx, opens, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			s.handles.release()
		}
		if took := time.Since(start) - 10*time.Minute; took > time.Minute {
			t.Errorf("others were kept out for %v of ten minutes", took)
		}
		cancel()
		denied.Wait()
	})
}

// A limit that long files use up is found when one of them is closed, and all others
// are delivered.
func TestLimitBesideLongFiles(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"one file":      {MaxOpenFiles: 1, OpenStatus: sftptest.StatusPermissionDenied},
		"three files":   {MaxOpenFiles: 3, OpenStatus: sftptest.StatusNoSuchFile},
		"three handles": {MaxHandles: 3, NoExtensions: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := max(f.MaxOpenFiles, f.MaxHandles)
			srv := faulty(t, f)
			var long, short []filesync.Entry
			for i := range n {
				long = append(long, put(t, srv.Endpoint, fmt.Sprint("long", i), noise(1000)))
			}
			for i := range 40 {
				short = append(short, put(t, srv.Endpoint, fmt.Sprint("short", i), noise(100)))
			}
			s := openSource(t, byKey(srv.Endpoint))
			held := holdOpen(t, s, long)
			var done sync.WaitGroup
			for _, e := range short {
				done.Go(func() { fetchAll(t, s, e, noise(100)) })
			}
			waitFor(t, func() bool {
				s.handles.mu.Lock()
				defer s.handles.mu.Unlock()
				return len(s.handles.waiters) == len(short)
			})
			for _, f := range held {
				f.close(s.handles.release)
			}
			done.Wait()
		})
	}
}

// A refusal that has passed when the file is tried alone is no limit yet.
func TestPassingRefusal(t *testing.T) {
	srv := faulty(t, sftptest.Faults{NoExtensions: true})
	var entries []filesync.Entry
	for i := range 12 {
		entries = append(entries, put(t, srv.Endpoint, fmt.Sprint(i), noise(100)))
	}
	var once sync.Once
	refused := make(chan struct{})
	srv.Set(func(f *sftptest.Faults) {
		f.Fail = func(op sftptest.Op, name string) (st sftptest.Status) {
			if op == sftptest.OpOpen && path.Base(name) == "0" {
				once.Do(func() { st = sftptest.StatusFailure; close(refused) })
			}
			return st
		}
	})
	s := openSource(t, byKey(srv.Endpoint))
	held := holdOpen(t, s, entries[1:])
	var done sync.WaitGroup
	done.Go(func() { fetchAll(t, s, entries[0], noise(100)) })
	<-refused
	for _, f := range held {
		f.close(s.handles.release)
	}
	done.Wait()
	if n := s.limits.openFiles.limit(); n != 0 || s.limits.refusals.changes() != 1 {
		t.Errorf("a limit of %d is remembered", n)
	}
}

// holdOpen opens files and leaves them open.
func holdOpen(t *testing.T, s *Source, entries []filesync.Entry) (held []file) {
	t.Helper()
	for _, e := range entries {
		f, err := s.open(t.Context(), s.pool.first(), s.path(e.Name))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	return held
}
