package sftp

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// truth makes attributes that are told as they are.
func truth(sftptest.Op, string, *sftptest.Attributes) {}

// listedAs gives a connected Source with a file and its entry as it is listed.
func listedAs(t *testing.T, f sftptest.Faults) (*Source, *sftptest.Faulty, filesync.Entry, []byte) {
	t.Helper()
	srv := faulty(t, f)
	data := noise(1000)
	put(t, srv.Endpoint, "d/f.csv", data)
	if err := os.Chtimes(filepath.Join(srv.Root, "d/f.csv"), old, old); err != nil {
		t.Fatal(err)
	}
	s := openSource(t, byKey(srv.Endpoint))
	entries := allOf(t, s, "d")
	e, ok := entries["d/f.csv"]
	if !ok {
		t.Fatalf("the listing is %v", entries)
	}
	return s, srv, e, data
}

// ways are servers that tell of one file in several ways, or not at all.
var ways = map[string]func(op sftptest.Op, path string, a *sftptest.Attributes){
	"as it is": truth,
	"minutes in listings": func(op sftptest.Op, _ string, a *sftptest.Attributes) {
		if op == sftptest.OpReaddir {
			a.ModTime = a.ModTime.Truncate(time.Minute)
		}
	},
	"local time in listings": func(op sftptest.Op, _ string, a *sftptest.Attributes) {
		if op == sftptest.OpReaddir {
			a.ModTime = a.ModTime.Add(2 * time.Hour)
		}
	},
	"1970 on handles": func(op sftptest.Op, _ string, a *sftptest.Attributes) {
		if op == sftptest.OpFstat {
			a.ModTime = time.Unix(0, 0)
		}
	},
	"no time on handles": func(op sftptest.Op, _ string, a *sftptest.Attributes) { a.NoTime = op == sftptest.OpFstat },
	"no size on handles": func(op sftptest.Op, _ string, a *sftptest.Attributes) {
		a.NoTime, a.NoSize = op == sftptest.OpFstat, op == sftptest.OpFstat
	},
	"times in listings alone": func(op sftptest.Op, _ string, a *sftptest.Attributes) { a.NoTime = op != sftptest.OpReaddir },
	"no times at all":         func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoTime = true },
	"1970 in listings": func(op sftptest.Op, _ string, a *sftptest.Attributes) {
		if op == sftptest.OpReaddir {
			a.ModTime = time.Unix(0, 0)
		}
	},
}

// A file that did not change is confirmed, looked at again as the same, and may be
// removed, however the server tells of it; one that did change is not.
func TestVersionsAsTheyAreListed(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			s, srv, e, data := listedAs(t, sftptest.Faults{Attributes: way})
			var got memory
			if v, err := s.Fetch(t.Context(), e, 0, &got); err != nil || !v.SameVersion(e) {
				t.Errorf("it was fetched as %+v, %v; listed as %+v", v, err, e)
			}
			if string(got.b) != string(data) {
				t.Error("other bytes came")
			}
			again := func() filesync.StatResult {
				stats, err := s.Relist(t.Context(), []filesync.Entry{e})
				if err != nil {
					t.Fatal(err)
				}
				return stats[0]
			}
			if k := again(); k.Err != nil || !k.Entry.SameVersion(e) {
				t.Errorf("the second look is %+v", k)
			}
			file := filepath.Join(srv.Root, "d/f.csv")
			if err := os.WriteFile(file, noise(1001), 0o644); err != nil {
				t.Fatal(err)
			}
			if k := again(); k.Err != nil || k.Entry.SameVersion(e) {
				t.Errorf("another size is %+v", k)
			}
			if err := s.RemoveIf(t.Context(), e); !errors.Is(err, filesync.ErrChanged) {
				t.Errorf("removing another size: %v", err)
			}
			if v, err := s.Fetch(t.Context(), e, 0, &memory{}); !errors.Is(err, filesync.ErrChanged) {
				t.Errorf("another size was fetched as %+v, %v", v, err)
			}
			if err := errors.Join(os.WriteFile(file, data, 0o644), os.Chtimes(file, old, old)); err != nil {
				t.Fatal(err)
			}
			if err := s.RemoveIf(t.Context(), e); err != nil {
				t.Errorf("removing it: %v", err)
			}
			if k := again(); !errors.Is(k.Err, os.ErrNotExist) {
				t.Errorf("the removed one is %+v", k)
			}
		})
	}
}

// A check that the server refuses is not one that failed: the file is delivered, and
// not confirmed where nothing at all tells.
func TestChecksThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		fail      func(opened bool) func(op sftptest.Op, p string) sftptest.Status
		confirmed bool
	}{
		"FSTAT is denied":      {answers(sftptest.StatusPermissionDenied, sftptest.OpFstat), true},
		"FSTAT finds nothing":  {answers(sftptest.StatusNoSuchFile, sftptest.OpFstat), true},
		"FSTAT fails":          {answers(sftptest.StatusFailure, sftptest.OpFstat), true},
		"STAT too":             {answers(sftptest.StatusPermissionDenied, sftptest.OpFstat, sftptest.OpStat, sftptest.OpLstat), true},
		"nothing but listings": {answers(sftptest.StatusOpUnsupported, sftptest.OpFstat, sftptest.OpStat, sftptest.OpLstat, sftptest.OpReadlink, sftptest.OpRealpath), true},
		"no listing any more":  {answers(sftptest.StatusNoSuchFile, sftptest.OpFstat, sftptest.OpStat, sftptest.OpLstat, sftptest.OpOpendir), false},
	} {
		t.Run(name, func(t *testing.T) {
			s, srv, e, data := listedAs(t, sftptest.Faults{})
			srv.Set(func(f *sftptest.Faults) { f.Fail = c.fail(true) })
			for range 2 { // what was learnt changes nothing
				var got memory
				v, err := s.Fetch(t.Context(), e, 0, &got)
				if err != nil || c.confirmed != v.SameVersion(e) || !c.confirmed && v != (filesync.Entry{}) {
					t.Fatalf("it was fetched as %+v, %v", v, err)
				}
				if string(got.b) != string(data) {
					t.Error("other bytes came")
				}
			}
			if !c.confirmed {
				return
			}
			if err := s.RemoveIf(t.Context(), e); err != nil {
				t.Errorf("removing it: %v", err)
			}
		})
	}
}

func answers(st sftptest.Status, ops ...sftptest.Op) func(bool) func(sftptest.Op, string) sftptest.Status {
	return func(bool) func(sftptest.Op, string) sftptest.Status { return sftptest.Refuse(st, ops...) }
}

// A server that hands each file out once is asked for it once, whether large or small,
// and the file is not thrown away because nothing confirms it afterwards.
func TestFilesThatAreHandedOutOnce(t *testing.T) {
	for _, size := range []int{0, 2000, 600 << 10, 9 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			srv := faulty(t, sftptest.Faults{})
			data := noise(size)
			e := put(t, srv.Endpoint, "msg.edi", data)
			var opens atomic.Int32
			srv.Set(func(f *sftptest.Faults) {
				f.Fail = func(op sftptest.Op, p string) sftptest.Status {
					if path.Base(p) != "msg.edi" {
						return sftptest.StatusOK
					}
					switch op {
					case sftptest.OpOpen:
						if opens.Add(1) > 1 {
							return sftptest.StatusNoSuchFile
						}
					case sftptest.OpFstat, sftptest.OpStat, sftptest.OpLstat:
						if opens.Load() > 0 {
							return sftptest.StatusNoSuchFile
						}
					}
					return sftptest.StatusOK
				}
				f.OnRead = func(p string, _ int64) { _ = os.Remove(p) }
			})
			s := openSource(t, byKey(srv.Endpoint))
			var got memory
			v, err := s.Fetch(t.Context(), e, 0, &got)
			if err == nil && v != (filesync.Entry{}) || opens.Load() != 1 {
				t.Errorf("%+v, %v after %d OPENs", v, err, opens.Load())
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got.b) != string(data) {
				t.Error("other bytes came")
			}
		})
	}
}

// Types that a listing leaves out are asked for, read from the line as of "ls -l", or
// found by opening.
func TestTypesThatAreNotTold(t *testing.T) {
	for name, way := range map[string]func(op sftptest.Op, path string, a *sftptest.Attributes){
		"STAT tells":          func(op sftptest.Op, _ string, a *sftptest.Attributes) { a.NoType = op == sftptest.OpReaddir },
		"the line tells":      func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoType = true },
		"no permissions":      func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoMode = true },
		"OPENDIR alone tells": nil,
	} {
		t.Run(name, func(t *testing.T) {
			f := sftptest.Faults{Attributes: way}
			if way == nil {
				f.NoAttributes = true
				f.Attributes = func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoMode = true }
			}
			srv := faulty(t, f)
			put(t, srv.Endpoint, "demo.csv", []byte("hello"))
			put(t, srv.Endpoint, "sub/inner.csv", []byte("inner"))
			if err := os.Mkdir(filepath.Join(srv.Root, "empty"), 0o755); err != nil {
				t.Fatal(err)
			}
			s := openSource(t, byKey(srv.Endpoint))
			for range 2 {
				var dirs, files []string
				for _, e := range allOf(t, s, "") {
					if e.Mode.IsDir() {
						dirs = append(dirs, e.Name)
					} else if e.Mode.IsRegular() {
						files = append(files, e.Name)
					}
				}
				slices.Sort(dirs)
				if fmt.Sprint(dirs, files) != "[empty sub] [demo.csv]" {
					t.Errorf("directories %v, files %v", dirs, files)
				}
			}
		})
	}
}

// The second look at many files of a directory takes a listing, at few a STAT each.
func TestRequestsOfASecondLook(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	const files = 400
	for i := range files {
		put(t, srv.Endpoint, fmt.Sprintf("d/f%d", i), []byte("x"))
	}
	s := openSource(t, byKey(srv.Endpoint))
	entries := slices.Collect(maps.Values(allOf(t, s, "d")))
	for _, c := range []struct{ asked, stats int }{{3, 3}, {files, 0}} {
		srv.ResetCounts()
		stats, err := s.Relist(t.Context(), entries[:c.asked])
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range stats {
			if k.Err != nil || !k.Entry.SameVersion(entries[i]) || k.Entry.Name != entries[i].Name {
				t.Errorf("%s: %+v", entries[i].Name, k)
			}
		}
		if n := srv.Counts().Ops[sftptest.OpStat]; n != c.stats {
			t.Errorf("%d files took %d STATs", c.asked, n)
		}
	}
}
