package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sftpconnector/interapp"
)

// The operator's token is the daemon's own: one that others could read, or that is no
// token, is replaced.
func TestOperatorTokenIsMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := operatorTokenPath(dir)
	first, err := makeOperatorToken(dir)
	if err != nil || len(first) != 43 {
		t.Fatalf("%d characters: %v", len(first), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if again, err := makeOperatorToken(dir); err != nil || again != first {
		t.Errorf("another one at the second start: %v", err)
	}
	other := filepath.Join(t.TempDir(), "other")
	write := func(to, text string, mode fs.FileMode) func() error {
		return func() error { return errors.Join(os.WriteFile(to, []byte(text), 0o600), os.Chmod(to, mode)) }
	}
	for name, spoil := range map[string]func() error{
		"readable by others": write(path, first.Reveal(), 0o644),
		"empty":              write(path, "", 0o600),
		"short":              write(path, "short", 0o600),
		"blanks in it":       write(path, strings.Repeat("x ", 64), 0o600),
		"a link": func() error {
			return errors.Join(write(other, first.Reveal(), 0o600)(), os.Remove(path), os.Symlink(other, path))
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		again, err := makeOperatorToken(dir)
		if err != nil || len(again) != 43 || again == first {
			t.Errorf("%s: %d characters, the same: %v: %v", name, len(again), again == first, err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

// Nobody is let in for standing on this machine; the verbs are, by the operator's token;
// and a link signs a browser in.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := newSite(t, idle)
	r := s.daemon()
	ask := func(path string) int {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode
	}
	for path, code := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 401, "/openapi.json": 401, "/api/v1/connectors": 401, "/api/v1/session": 401} {
		if got := ask(path); got != code {
			t.Errorf("%s: %d, want %d", path, got, code)
		}
	}
	s.run("status").gives(0, "idle")
	s.run("status", "--token", "another-token-0123456789").gives(1).says("not one of server.tokens")

	link := strings.TrimSpace(s.run("open").gives(0).stdout)
	if !strings.HasPrefix(link, s.url()+"/sign-in?link=") {
		t.Fatalf("open says %q", link)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	if a, err := browser.Get(link); err != nil {
		t.Fatal(err)
	} else {
		a.Body.Close()
	}
	a, err := browser.Get(s.url() + "/api/v1/session")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if text, err := io.ReadAll(a.Body); err != nil || !strings.Contains(string(text), `"name":"operator"`) {
		t.Errorf("%s %v", text, err)
	}
	s.run("open").gives(0) // another one

	token, err := readOperatorToken(s.path("data"))
	if err != nil {
		t.Fatal(err)
	}
	o := r.stop()
	if strings.Contains(o.stderr, token.Reveal()) || strings.Contains(o.stderr, link) {
		t.Errorf("the log has the token or a link:\n%s", o.stderr)
	}
	s.run("open").gives(1).says("no daemon runs")
}

// The operator's token goes to the daemon of the configuration, and to no other server.
func TestOperatorTokenIsNotSentElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, idle)
	s.daemon()
	got := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		http.Error(w, "no", http.StatusTeapot)
	}))
	defer elsewhere.Close()
	s.run("status", "--server", elsewhere.URL).gives(1)
	if header := <-got; header != "" {
		t.Errorf("it was sent %q", header)
	}
	s.run("status", "--server", elsewhere.URL, "--token", "given-0123456789").gives(1)
	if header := <-got; header != "Bearer given-0123456789" {
		t.Errorf("it was sent %q", header)
	}
	s.run("status", "--server", s.url()).gives(0, "idle")
}

func TestSameServer(t *testing.T) {
	t.Parallel()
	const own = "http://127.0.0.1:8022"
	for written, want := range map[string]bool{
		own: true, own + "/": true, "127.0.0.1:8022": true,
		"http://127.0.0.1:8023": false, "https://127.0.0.1:8022": false, "http://localhost:8022": false, "http://127.0.0.1:8022.evil.example": false,
		"http://127.0.0.1:8022@evil.example": false, "http://evil.example/127.0.0.1:8022": false, "http://127.0.0.1:8022/below": false, "http://u@127.0.0.1:8022": false, "": false, "://": false,
	} {
		if got := sameServer(written, own); got != want {
			t.Errorf("%s: %v", written, got)
		}
	}
}

// A reload lets new tokens in and old ones out, also of browsers.
func TestReloadChangesTokens(t *testing.T) {
	t.Parallel()
	s := &site{t, t.TempDir()}
	configure := func(token string) {
		s.write("config.yaml", fmt.Sprintf("server:\n  listen: 127.0.0.1:0\n  tokens: [{name: ci, token: %s, scopes: [read]}]\n", token)+idle)
	}
	configure("first-token-0123456789")
	r := s.spawn("run")
	r.until("it runs", func() bool { return strings.Contains(r.stderr.String(), "running") })
	session := func(token string) error {
		c := interapp.NewClient(s.url(), token)
		defer c.Close()
		_, err := c.Session(t.Context())
		return err
	}
	if err := session("first-token-0123456789"); err != nil {
		t.Error(err)
	}
	configure("second-token-0123456789")
	r.signal(syscall.SIGHUP)
	r.until("it has reloaded", func() bool { return strings.Contains(r.stderr.String(), "msg=reloaded") })
	if session("first-token-0123456789") == nil || session("second-token-0123456789") != nil {
		t.Error("the tokens are not those of the configuration")
	}
	r.stop().gives(0)
}
