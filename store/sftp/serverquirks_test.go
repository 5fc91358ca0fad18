package sftp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// Listings that end, or name their files, in a way of the server's own.
func TestListingsOfAllKinds(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"full paths":        {FullPaths: true},
		"OK at the end":     {EndOfListing: sftptest.EndOK},
		"empty at the end":  {EndOfListing: sftptest.EndEmpty},
		"all of it at once": {FullPaths: true, EndOfListing: sftptest.EndEmpty, MaxChannels: 1, MaxHandles: 1},
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulty(t, f)
			want := map[string]string{}
			for _, dir := range []string{"", "a/", "a/b/", "a/c/"} {
				for name, text := range likeFiles(t, srv.Endpoint, dir+"f", 130) {
					want[name] = text
				}
			}
			put(t, srv.Endpoint, "empty/x", nil)
			want["empty/x"] = ""
			for _, root := range []string{srv.Root, srv.Root + "/", ""} { // the login leads to Root
				cfg := byKey(srv.Endpoint)
				cfg.Root = root
				d := newDownloader(t, cfg)
				d.pass(nil)
				wantFiles(t, d.dir, want)
			}
		})
	}
}

// A name with the path of another directory stays what it is: no name.
func TestForeignPathInListing(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	put(t, srv.Endpoint, "in/good", nil)
	names := []string{srv.Root + "/other/x", srv.Root + "/in/deeper/x", srv.Root + "/in/", srv.Root + "/in/y", "/z"}
	srv.Set(func(f *sftptest.Faults) {
		f.Inject = map[string][]sftptest.Injected{srv.Root + "/in": sftptest.InjectNames(names...)}
	})
	got := allOf(t, openSource(t, byKey(srv.Endpoint)), "in")
	for _, name := range []string{"in/good", "in/y", "in/" + names[0], "in/" + names[1], "in/" + names[2], "in//z"} {
		if _, there := got[name]; !there {
			t.Errorf("%q is not listed", name)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d entries", len(got))
	}
}

// Without REALPATH, links below the source are followed all the same.
func TestRealpathRefused(t *testing.T) {
	for _, root := range []string{"", "/"} {
		srv := faulty(t, sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusOpUnsupported, sftptest.OpRealpath)})
		put(t, srv.Endpoint, "d/f", []byte("x"))
		link(t, srv.Endpoint, "d/f", "l")
		link(t, srv.Endpoint, "d", "k")
		link(t, srv.Endpoint, "../..", "out")
		cfg := byKey(srv.Endpoint)
		if root == "" {
			cfg.Root = ""
		}
		s := openSource(t, cfg)
		for name, real := range map[string]string{"l": "d/f", "k": "d"} {
			_, got, err := s.Resolve(t.Context(), filesync.Entry{Name: name})
			if err != nil || got != real {
				t.Errorf("%s leads to %q, %v", name, got, err)
			}
		}
		if _, _, err := s.Resolve(t.Context(), filesync.Entry{Name: "out"}); !errors.Is(err, filesync.ErrOutside) {
			t.Errorf("out: %v", err)
		}
		if name, inside, err := s.Locate(t.Context(), "done"); name != "done" || !inside || err != nil {
			t.Errorf("done is at %q, %v, %v", name, inside, err)
		}
	}
}

func TestOtherVersionOfSFTP(t *testing.T) {
	srv := faulty(t, sftptest.Faults{Version: 6})
	_, err := Open(t.Context(), byKey(srv.Endpoint), nil)
	e, ok := errors.AsType[*status.Error](err)
	if !ok || e.Word != status.SFTPUnavailable || !strings.Contains(fmt.Sprint(err), "speaks SFTP version 6, version 3 was asked for") || !strings.Contains(e.Hint, "version 3") {
		t.Errorf("%v", err)
	}
}

// The other files go on, whatever the answer to an OPEN is.
func TestOddAnswersToOpen(t *testing.T) {
	for _, st := range []sftptest.Status{sftptest.StatusEOF, 31, 32, 1 << 30} {
		srv := faulty(t, sftptest.Faults{})
		srv.Set(func(f *sftptest.Faults) {
			f.Fail = func(op sftptest.Op, path string) sftptest.Status {
				if op == sftptest.OpOpen && strings.HasSuffix(path, "bad") {
					return st
				}
				return sftptest.StatusOK
			}
		})
		bad := put(t, srv.Endpoint, "bad", noise(10))
		good := put(t, srv.Endpoint, "good", noise(10))
		s := openSource(t, byKey(srv.Endpoint))
		if _, err := s.Fetch(t.Context(), bad, 0, &memory{}); err == nil || !strings.HasPrefix(err.Error(), "read bad: the server answered: ") {
			t.Errorf("status %d: %v", st, err)
		}
		fetchAll(t, s, good, noise(10))
	}
}

// gesftpserver ends its session at 128 handles.
func TestGesftpserver(t *testing.T) {
	srv := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Subsystem: sftptest.Gesftpserver(t)})
	want := likeFiles(t, srv.Endpoint, "", 600)
	for i := range 100 {
		for name, text := range likeFiles(t, srv.Endpoint, fmt.Sprintf("d%d/f", i), 2) {
			want[name] = text
		}
	}
	cfg := byKey(srv.Endpoint)
	cfg.Timeouts.Operation = 15 * time.Second // it may fall silent before it dies
	d := newDownloader(t, cfg)
	d.pass(nil)
	wantFiles(t, d.dir, want)
}

// A server that ends the connection at the second channel is served through one, also
// the first time.
func TestSecondChannelIsTheEnd(t *testing.T) {
	srv := faulty(t, sftptest.Faults{DieAtChannel: 2})
	data := noise(1000)
	e := put(t, srv.Endpoint, "f", data)
	cfg := byKey(srv.Endpoint)
	for range 2 {
		s := openSource(t, cfg)
		var got memory
		if v, err := s.Fetch(t.Context(), e, 0, &got); err != nil || !v.SameVersion(e) || string(got.b) != string(data) {
			t.Errorf("%+v, %v", v, err)
		}
	}
}
