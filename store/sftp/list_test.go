package sftp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

func TestListLarge(t *testing.T) {
	const n = 1200
	onServers(t, func(t *testing.T, e sftptest.Endpoint) {
		for i := range n {
			if err := os.WriteFile(filepath.Join(e.Root, fmt.Sprintf("f%d", i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(e.Root, "empty"), 0o755); err != nil {
			t.Fatal(err)
		}
		s := openSource(t, byKey(e))
		for range 2 {
			if found := allOf(t, s, ""); len(found) != n+1 {
				t.Errorf("%d of %d entries are listed", len(found), n+1)
			}
		}
		if found := allOf(t, s, "empty"); len(found) != 0 {
			t.Errorf("the empty directory holds %v", found)
		}
		seen := 0
		for _, err := range s.List(t.Context(), "") { // ends early
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 10 {
				break
			}
		}
	})
}

func TestListLinks(t *testing.T) {
	onServers(t, func(t *testing.T, e sftptest.Endpoint) {
		put(t, e, "f", []byte("x"))
		link(t, e, "f", "l")
		s := openSource(t, byKey(e))
		if found := allOf(t, s, ""); found["l"].Mode.Type() != os.ModeSymlink || !found["f"].Mode.IsRegular() {
			t.Errorf("the root holds %v", found)
		}
		stats, err := s.Stat(t.Context(), []string{"l"})
		if err != nil || stats[0].Entry.Size != 1 || !stats[0].Entry.Mode.IsRegular() {
			t.Errorf("the look through the link: %+v, %v", stats, err)
		}
	})
}

func link(t *testing.T, e sftptest.Endpoint, target, name string) {
	t.Helper()
	path := filepath.Join(e.Root, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
}

func TestEndlessListing(t *testing.T) {
	for _, channels := range []int{0, 1} {
		srv := faulty(t, sftptest.Faults{MaxChannels: channels})
		put(t, srv.Endpoint, "endless/f", nil)
		srv.Set(func(f *sftptest.Faults) { f.EndlessListing = srv.Root + "/endless" })
		s := openSource(t, byKey(srv.Endpoint))
		s.maxEntries = 20_000
		seen, ended := 0, error(nil)
		for _, err := range s.List(t.Context(), "endless") {
			if ended = err; err == nil {
				seen++
			}
		}
		if !errors.Is(ended, filesync.ErrLimit) || !strings.HasPrefix(ended.Error(), "list endless: ") || seen > s.maxEntries {
			t.Errorf("%d channels: %v after %d entries", channels, ended, seen)
		}
		if got := allOf(t, s, ""); len(got) != 1 {
			t.Errorf("%d channels: the root holds %v after that", channels, got)
		}
	}
}

// Names come as they were sent, below the directory that was listed.
func TestHostileNames(t *testing.T) {
	for _, channels := range []int{0, 1} {
		srv := faulty(t, sftptest.Faults{MaxChannels: channels})
		put(t, srv.Endpoint, "in/good", nil)
		names := sftptest.HostileNames()
		srv.Set(func(f *sftptest.Faults) {
			f.Inject = map[string][]sftptest.Injected{srv.Root + "/in": sftptest.InjectNames(names...)}
		})
		s := openSource(t, byKey(srv.Endpoint))
		found := map[string]bool{}
		for e, err := range s.List(t.Context(), "in") {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(e.Name, "in/") {
				t.Errorf("%q is not below the directory", e.Name)
			}
			found[e.Name] = true
		}
		for _, n := range append(names, "good") {
			if channels == 0 && !isDot(n) && !found["in/"+n] {
				t.Errorf("%q was not handed over", n)
			}
			if isDot(n) && found["in/"+n] {
				t.Errorf("%q was handed over", n)
			}
		}
		if !found["in/good"] {
			t.Error("the good file is not listed")
		}
	}
}

// A server that fails a READDIR beside another gets one at a time from then on.
func TestOneReaddir(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	for i := range 500 {
		put(t, srv.Endpoint, fmt.Sprint(i), nil)
	}
	asked := 0
	srv.Set(func(f *sftptest.Faults) {
		f.Fail = func(op sftptest.Op, _ string) sftptest.Status {
			if op == sftptest.OpReaddir {
				if asked++; asked == 2 {
					return sftptest.StatusFailure
				}
			}
			return sftptest.StatusOK
		}
	})
	s := openSource(t, byKey(srv.Endpoint))
	for range 2 {
		if got := allOf(t, s, ""); len(got) != 500 {
			t.Errorf("%d of 500 entries are listed", len(got))
		}
	}
	if !s.limits.oneReaddir.Load() {
		t.Error("it is not remembered")
	}
}

// A directory that may not be read is an error of that directory.
func TestListDenied(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	put(t, srv.Endpoint, "locked/f", nil)
	srv.Set(func(f *sftptest.Faults) { f.Fail = sftptest.Deny(srv.Root + "/locked") })
	s := openSource(t, byKey(srv.Endpoint))
	for _, err := range s.List(t.Context(), "locked") {
		if !errors.Is(err, os.ErrPermission) || err.Error() != "list locked: permission denied" {
			t.Errorf("List: %v", err)
		}
	}
	if got := allOf(t, s, ""); len(got) != 1 {
		t.Errorf("the root holds %v", got)
	}
}

// Attributes that no answer tells are not made up, but for the type, which OPENDIR
// tells.
func TestNothingKnown(t *testing.T) {
	srv := faulty(t, sftptest.Faults{NoAttributes: true, Fail: sftptest.Refuse(sftptest.StatusFailure, sftptest.OpLstat)})
	put(t, srv.Endpoint, "f", []byte("x"))
	s := openSource(t, byKey(srv.Endpoint))
	f := allOf(t, s, "")["f"]
	if f.Size != -1 || !f.ModTime.IsZero() || !f.Mode.IsRegular() {
		t.Errorf("it is listed as %+v", f)
	}
	if _, err := s.Fetch(t.Context(), f, 0, &memory{}); err == nil {
		t.Error("a file of unknown size was read")
	}
}
