package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

func TestFeature(t *testing.T) {
	answer := func(code uint32) error { return fmt.Errorf("sync: %w", &wire.StatusError{Code: code}) }
	for name, test := range map[string]struct {
		answers []error
		refused bool // by the last of them
		absent  bool
	}{
		"works":                     {[]error{nil}, false, false},
		"unsupported":               {[]error{answer(wire.CodeUnsupported)}, true, true},
		"refused":                   {[]error{answer(wire.CodePermissionDenied)}, true, true},
		"failed":                    {[]error{answer(wire.CodeFailure)}, true, true},
		"failed once":               {[]error{nil, answer(wire.CodeFailure)}, false, false},
		"refused once":              {[]error{nil, answer(wire.CodePermissionDenied)}, false, false},
		"unsupported in the end":    {[]error{nil, answer(wire.CodeUnsupported)}, true, true},
		"of a file that has gone":   {[]error{answer(wire.CodeNoSuchFile)}, false, false},
		"the connection":            {[]error{&wire.EndError{Err: io.EOF}}, false, false},
		"somebody has gone":         {[]error{context.Canceled}, false, false},
		"absent, and works for one": {[]error{answer(wire.CodeFailure), nil}, false, true},
	} {
		var f feature
		var refused bool
		for _, err := range test.answers {
			refused = f.refused(err)
		}
		if refused != test.refused || f.absent() != test.absent {
			t.Errorf("%s: refused %v, absent %v", name, refused, f.absent())
		}
	}
}

// An fsync that fails is no missing feature, even the first one: written data may be
// lost.
func TestFsyncThatFails(t *testing.T) {
	for name, first := range map[string]bool{"the first": true, "a later one": false} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, nil)
			var want []string
			if !first {
				_, err := u.deliver("first", []byte("data"))
				u.must(err)
				want = []string{"first"}
			}
			u.must(os.WriteFile(u.at("standing"), nil, 0o644))
			s.Set(func(f *sftptest.Faults) { f.Fail = sftptest.Refuse(sftptest.StatusFailure, sftptest.OpExtended) })
			for range 2 {
				if err := u.Persist(t.Context(), []string{"standing"})[0]; err == nil {
					t.Error("a file that could not be made durable is persisted")
				}
				p, _, err := u.write("x", []byte("data"))
				if err == nil {
					t.Error("a file that could not be made durable is finished")
				}
				u.must(p.Abort(t.Context()))
				q, err := u.Begin(t.Context(), uploadEntry("y", []byte("data")), nil)
				u.must(err)
				_, err = q.WriteAt([]byte("da"), 0)
				u.must(err)
				if k, err := q.Checkpoint(t.Context(), 2); err == nil {
					t.Errorf("it has a checkpoint %+v", k)
				}
				u.must(q.Abort(t.Context()))
			}
			u.wantFiles(append(want, "standing")...)
		})
	}
}

// A server that announces fsync and does not support it is asked once.
func TestFsyncThatIsRefused(t *testing.T) {
	for _, refusal := range []sftptest.Status{sftptest.StatusOpUnsupported, sftptest.StatusPermissionDenied, sftptest.StatusBadMessage} {
		t.Run(refusal.String(), func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{Fail: sftptest.Refuse(refusal, sftptest.OpExtended)}, nil)
			_, err := u.deliver("first", []byte("data"))
			u.must(err)
			s.ResetCounts()
			_, err = u.deliver("second", []byte("data"))
			u.must(err)
			if n := s.Counts().Ops[sftptest.OpExtended]; n > 0 {
				t.Errorf("%d requests for extensions", n)
			}
		})
	}
}

// Links inside may be written through, a file in the way is a conflict, and the targets
// of links are not swept.
func TestFileInTheWay(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) sftptest.Endpoint{
		"OpenSSH": func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
		},
		"ProFTPD": func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{}).Endpoint
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := uploadTo(t, start(t), nil)
			left := pending.Name("left", pending.NewOwner("0badcafe", "c", 0).NewID())
			outside := t.TempDir()
			u.must(errors.Join(
				os.WriteFile(u.at("file"), nil, 0o644), os.Mkdir(u.at("real"), 0o755), os.Symlink("real", u.at("inside")),
				os.Symlink(outside, u.at("outside")), os.WriteFile(outside+"/"+left, nil, 0o644), os.WriteFile(u.at("real/"+left), nil, 0o644)))
			if _, err := u.deliver("inside/x", []byte("data")); err != nil {
				t.Error(err)
			}
			u.want("real/x", []byte("data"))
			stats, err := u.Stat(t.Context(), []string{"file/x", "file/d/x", "real/x", "none/x"})
			u.must(err)
			if !errors.Is(stats[0].Err, filesync.ErrConflict) || !errors.Is(stats[1].Err, filesync.ErrConflict) || stats[2].Err != nil || !errors.Is(stats[3].Err, fs.ErrNotExist) {
				t.Errorf("%+v", stats)
			}
			if _, err := u.Begin(t.Context(), uploadEntry("file/x", nil), nil); !errors.Is(err, filesync.ErrConflict) {
				t.Errorf("Begin: %v", err)
			}
			if _, err := u.Begin(t.Context(), uploadEntry("outside/x", nil), nil); !errors.Is(err, filesync.ErrOutside) {
				t.Errorf("Begin outside: %v", err)
			}
			u.must(u.Sweep(t.Context(), func(string) bool { return false }))
			u.wantFiles("file", "inside", "outside", "real/x")
			if _, err := os.Stat(outside + "/" + left); err != nil {
				t.Errorf("what is outside was swept: %v", err)
			}
		})
	}
}

// A Sweep goes on past what it may not list or remove.
func TestSweepGoesOn(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, nil)
	for _, dir := range []string{"a", "b", "c"} {
		put(t, s.Endpoint, dir+"/"+pending.Name("x", pending.NewOwner("0badcafe", "c", 0).NewID()), nil)
	}
	s.Set(func(f *sftptest.Faults) {
		f.Fail = func(op sftptest.Op, p string) sftptest.Status {
			if op == sftptest.OpOpendir && p == u.at("a") || op == sftptest.OpRemove && p == u.at(u.files()[1]) {
				return sftptest.StatusPermissionDenied
			}
			return sftptest.StatusOK
		}
	})
	u.must(u.Sweep(t.Context(), func(string) bool { return false }))
	if left := u.files(); len(left) != 2 {
		t.Errorf("left: %q", left)
	}
}

// The next Sweep repeats what one could not list or remove for a reason that may pass.
func TestSweepThatFailsIsDoneAgain(t *testing.T) {
	for name, ops := range map[string][]sftptest.Op{"list": {sftptest.OpOpendir}, "remove": {sftptest.OpRemove}, "remove and look": {sftptest.OpRemove, sftptest.OpLstat, sftptest.OpStat}} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, nil)
			u.NeedsSweep()
			put(t, s.Endpoint, "a/"+pending.Name("x", pending.NewOwner("0badcafe", "c", 0).NewID()), nil)
			s.Set(func(f *sftptest.Faults) {
				f.Fail = func(op sftptest.Op, p string) sftptest.Status {
					if slices.Contains(ops, op) && strings.HasPrefix(p, u.at("a")) && (op == sftptest.OpOpendir || p != u.at("a")) {
						return sftptest.StatusFailure
					}
					return sftptest.StatusOK
				}
			})
			u.must(u.Sweep(t.Context(), func(string) bool { return false }))
			if left := u.files(); len(left) != 1 || !u.NeedsSweep() {
				t.Errorf("left: %q, and the next pass does not know", left)
			}
			s.Set(func(f *sftptest.Faults) { f.Fail = nil })
			u.must(u.Sweep(t.Context(), func(string) bool { return false }))
			if left := u.files(); len(left) != 0 || u.NeedsSweep() {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func TestOpenForReading(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{"plain": {}, "short": {MaxRead: 1000}, "one channel": {MaxChannels: 1}} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, f, nil)
			data := noise(600_000)
			put(t, s.Endpoint, "d/x", data)
			f, err := u.Destination.Open(t.Context(), "d/x")
			u.must(err)
			for _, test := range []struct{ off, n, want int }{{0, 600_000, 600_000}, {5, 10, 10}, {599_990, 10, 10}, {599_990, 11, 10}, {100, 700_000, 599_900}, {600_000, 1, 0}} {
				b := make([]byte, test.n)
				n, err := f.ReadAt(b, int64(test.off))
				if n != test.want || string(b[:n]) != string(data[test.off:test.off+n]) || errors.Is(err, io.EOF) != (n < test.n) || err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("%d bytes at %d: %d, %v", test.n, test.off, n, err)
				}
			}
			u.must(f.Close())
			waitFor(t, func() bool { return u.handles.used() == 0 })
			if _, err := u.Destination.Open(t.Context(), "d"); err == nil {
				t.Error("a directory can be read")
			}
		})
	}
}

// A remote file that is shorter than its checkpoint is not the one that was kept.
func TestResumeOfShorterFile(t *testing.T) {
	u, _ := uploadFaulty(t, sftptest.Faults{}, nil)
	e := uploadEntry("x", noise(100))
	p, err := u.Begin(t.Context(), e, nil)
	u.must(err)
	_, err = p.WriteAt(noise(100)[:50], 0)
	u.must(err)
	k, err := p.Checkpoint(t.Context(), 50)
	u.must(err)
	u.must(p.Keep())
	u.must(os.Truncate(u.at(u.files()[0]), 49))
	if _, err := u.Begin(t.Context(), e, &k); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	u.wantFiles()
}
