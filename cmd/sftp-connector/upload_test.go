package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

func TestUploadVerb(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	s := newSite(t, `connectors:
  out:
    direction: upload
    sftp: %s
    files: {source_directory_path: ./outgoing, destination_directory_path: %q, after_copy: delete, include: ["*.none"]}
  in:
    sftp: %s
    files: {source_directory_path: /none, destination_directory_path: ./in}
`, login(server.Endpoint), filepath.Join(server.Root, "box"), login(server.Endpoint))
	stands := func(name, want string) {
		t.Helper()
		if data, err := os.ReadFile(filepath.Join(server.Root, "box", name)); err != nil || string(data) != want {
			t.Errorf("%s: %q, want %q (%v)", name, data, want, err)
		}
	}
	put(t, s.dir, "a.csv", "alpha", 0)
	put(t, s.dir, "sub/b.csv", "beta", old)
	s.run("upload", "out", s.path("a.csv"), s.path("sub/b.csv")).gives(0, "out: copied a.csv", "out: copied b.csv", "succeeded")
	stands("a.csv", "alpha")
	stands("b.csv", "beta")
	for _, name := range []string{"a.csv", "sub/b.csv"} {
		if _, err := os.Stat(s.path(name)); err != nil {
			t.Errorf("the original: %v", err)
		}
	}
	// The same again is there; the receiver took it, so it goes again; another one of its name stays.
	s.run("upload", "out", s.path("a.csv")).gives(0, "out: present a.csv")
	os.Remove(filepath.Join(server.Root, "box", "a.csv"))
	s.run("upload", "out", s.path("a.csv")).gives(0, "out: copied a.csv")
	put(t, s.dir, "a.csv", "another alpha", 0)
	s.run("upload", "out", s.path("a.csv")).gives(3, "another file stands", "--force")
	stands("a.csv", "alpha")
	s.run("upload", "out", s.path("a.csv"), "--force").gives(0)
	stands("a.csv", "another alpha")
	var pass interapp.Pass
	strictly(t, s.run("upload", "out", "--json", s.path("a.csv"), "--name", "c.csv").gives(0).stdout, &pass)
	if pass.Connector != "out" || pass.Files.Copied != 1 {
		t.Errorf("%+v", pass)
	}
	stands("c.csv", "another alpha")
	s.input(strings.Repeat("from a pipe\n", 1000), "upload", "out", "-", "--name", "piped.txt").gives(0)
	stands("piped.txt", strings.Repeat("from a pipe\n", 1000))
	for _, bad := range [][]string{
		{"out", "-"}, {"out", s.path("a.csv"), s.path("sub/a.csv")}, {"out", s.path("a.csv"), "--name", "x.part"},
		{"out", s.path("a.csv"), "--name", "../x"}, {"out", s.path("a.csv"), "--name", "."}, {"out", s.path("a.csv"), "--name", ".."}, {"in", s.path("a.csv")}, {"none", s.path("a.csv")}, {"out"},
		{"out", s.path("a.csv"), s.path("sub/b.csv"), "--name", "x"},
	} {
		s.run(append([]string{"upload"}, bad...)...).gives(2)
	}
	s.run("upload", "out", s.path("none.csv")).gives(1, "failed", "none.csv: no such file")
	s.run("upload", "out", s.path("none.csv"), s.path("sub/b.csv"), s.path("sub")).gives(3, "partial", "none.csv: no such file", "sub is not a regular file")
	for want, o := range map[string]outcome{
		"failed":  s.run("upload", "out", "--json", s.path("none.csv")).gives(1),
		"partial": s.run("upload", "out", "--json", s.path("none.csv"), s.path("sub/b.csv")).gives(3),
	} {
		var pass interapp.Pass
		strictly(t, o.stdout, &pass)
		if pass.Connector != "out" || pass.State != want || pass.Files.Failed != 1 || len(pass.Failures) != 1 || pass.Failures[0].Name != "none.csv" {
			t.Errorf("%+v, want %s", pass, want)
		}
	}
	left, _ := filepath.Glob(filepath.Join(server.Root, "box", ".*"))
	spooled, _ := filepath.Glob(s.path("data/standard-input*"))
	if len(left)+len(spooled) != 0 {
		t.Errorf("left: %q %q", left, spooled)
	}
	// The connector's own passes know nothing of it.
	s.run("apply", "out").gives(1, "Source Directory Not Found")
}

// TestFetchedLogin: what an API gives is used until the server refuses it, and
// then fetched anew, once.
func TestFetchedLogin(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{AuthMethods: []string{"password"}})
	var fetched atomic.Int64
	stale := atomic.Bool{}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		if r.Header.Get("Authorization") != "Bearer sk_of_the_test" || r.URL.Query().Get("spaceId") != "us_sp_1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		password := server.Password
		if stale.Swap(false) {
			password = "expired"
		}
		json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{
			"username": server.User, "password": password, "host": server.Host, "port": strconv.Itoa(server.Port),
		}})
	}))
	defer api.Close()
	configure := func(key string) string {
		return fmt.Sprintf(`connectors:
  out:
    direction: upload
    sftp: {credentials_api: {url: %q, secret_key: %s, space_id: us_sp_1}, known_hosts_path: %q}
    files: {source_directory_path: ./outgoing, destination_directory_path: box}
`, api.URL, key, server.KnownHosts)
	}
	s := newSite(t, "%s", configure("sk_of_the_test"))
	put(t, s.path("outgoing"), "a.csv", "alpha", old)
	s.run("apply").gives(0, "out: copied a.csv")
	if n := fetched.Swap(0); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	stale.Store(true)
	put(t, s.path("outgoing"), "b.csv", "beta", old)
	s.run("apply").gives(0, "out: copied b.csv")
	if n := fetched.Swap(0); n != 2 {
		t.Errorf("after a refusal: fetched %d times", n)
	}
	stale.Store(true)
	if o := s.run("check").gives(0, "credentials", "Connection Valid"); strings.Contains(o.stdout, "FAILED") || strings.Count(o.stdout, "authenticate") != 1 {
		t.Errorf("stages:\n%s", o.stdout)
	}
	s.configure("%s", configure("sk_of_another"))
	o := s.run("check").gives(1, "out: Authentication Failed", "credentials", "FAILED")
	if strings.Contains(o.stdout+o.stderr, "sk_of_another") {
		t.Errorf("the key is shown:\n%s", o.stdout)
	}
	// What is refused for good is the API's business, whose keys the hint names.
	server.Set(func(f *sftptest.Faults) { f.AuthMethods = []string{} })
	if o := s.run("check").gives(1, "Authentication Failed", "sftp.credentials_api"); strings.Contains(o.stdout, "sftp.username") {
		t.Errorf("the hint names what there is not:\n%s", o.stdout)
	}
}

// stalling is a server that stops at the nth WRITE until it is let go.
type stalling struct {
	*sftptest.Faulty
	reached, goOn chan struct{}
}

func startStalling(t *testing.T, nth int64) *stalling {
	t.Helper()
	s := &stalling{reached: make(chan struct{}), goOn: make(chan struct{})}
	var writes atomic.Int64
	s.Faulty = sftptest.StartFaulty(t, sftptest.Faults{Fail: func(op sftptest.Op, _ string) sftptest.Status {
		if op == sftptest.OpWrite && writes.Add(1) == nth {
			close(s.reached)
			<-s.goOn
		}
		return sftptest.StatusOK
	}})
	return s
}

// An upload that was ended goes on with the same command, and leaves nothing
// behind: neither with that, nor with another file.
func TestUploadVerbGoesOn(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789abcde\n", 2<<20)
	for name, test := range map[string]struct {
		upload string // direct, or not
		end    func(r *running)
		nth    int64
		goesOn bool
	}{
		"ended by Ctrl-C":  {"pending", func(r *running) { r.signal(os.Interrupt) }, 80, true},
		"killed":           {"pending", func(r *running) { r.signal(os.Kill) }, 80, false},
		"killed, direct":   {"direct", func(r *running) { r.signal(os.Kill) }, 10, false},
		"killed at once":   {"pending", func(r *running) { r.signal(os.Kill) }, 1, false},
		"killed, in place": {"direct", func(r *running) { r.signal(os.Kill) }, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, next := range []string{"large.bin", "other.csv"} {
				server := startStalling(t, test.nth)
				s := newSite(t, `connectors:
  out:
    direction: upload
    sftp: %s
    files: {source_directory_path: ./outgoing, destination_directory_path: %q, upload_name: %s}
`, login(server.Endpoint), filepath.Join(server.Root, "box"), test.upload)
				put(t, s.dir, "large.bin", large, old)
				put(t, s.dir, "other.csv", "other", old)
				r := s.spawn("upload", "out", s.path("large.bin"))
				<-server.reached
				test.end(r)
				if !test.goesOn {
					<-r.done
				}
				close(server.goOn)
				if r.wait(time.Minute); r.code == 0 {
					t.Fatalf("it was not ended: %s", r.stdout.String())
				}
				o := s.run("upload", "out", "--log-level", "info", s.path(next)).gives(0, "copied "+next)
				if goesOn := strings.Contains(o.stderr, "copy goes on"); goesOn != (test.goesOn && next == "large.bin") {
					t.Errorf("the copy goes on: %v\n%s", goesOn, o.stderr)
				}
				entries, err := os.ReadDir(filepath.Join(server.Root, "box"))
				if err != nil || len(entries) != 1 {
					t.Errorf("at the server: %v, %v", entries, err)
				}
				want := large
				if next != "large.bin" {
					want = "other"
				}
				if data, err := os.ReadFile(filepath.Join(server.Root, "box", next)); err != nil || string(data) != want {
					t.Errorf("%s has %d bytes, not %d (%v)", next, len(data), len(want), err)
				}
			}
		})
	}
}

func TestRemoteNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		files []string
		one   string
		want  string // what is said; "": they are good
	}{
		{[]string{"a.csv", "sub/b.csv"}, "", ""},
		{[]string{`sub/a\b.csv`}, "a.csv", ""},
		{[]string{"-"}, "a.csv", ""},
		{[]string{"-"}, "", "standard input has no name"},
		{[]string{"a.csv", "b.csv"}, "c.csv", "--name is for one FILE"},
		{[]string{"a.csv", "sub/a.csv"}, "", "the same base name"},
		{[]string{"a.part"}, "", `"a.part" is a name of unfinished files`},
		{[]string{"a.csv"}, "sub/a.csv", `--name "sub/a.csv" has a slash`},
		{[]string{"a.csv"}, `a\b.csv`, `--name "a\\b.csv" has a slash or a backslash`},
		{[]string{`sub/a\b.csv`}, "", `the name of "sub/a\\b.csv" has a backslash`},
	} {
		paths, err := remoteNames(test.files, test.one)
		if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q as %q: %q, %v", test.files, test.one, paths, err)
		}
		if err != nil && test.one == "" && strings.Contains(err.Error(), "--name \"") {
			t.Errorf("%q: %v, where no --name was given", test.files, err)
		}
	}
}
