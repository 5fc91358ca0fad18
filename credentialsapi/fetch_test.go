package credentialsapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"sftpconnector/status"
)

// expect checks how a fetch fails, and that its error shows nothing it must not.
func expect(t *testing.T, c *Client, word status.Word, says string) {
	t.Helper()
	l, err := c.Login(t.Context())
	failed, ok := errors.AsType[*status.Error](err)
	if !ok || l != (Login{}) {
		t.Errorf("%s: got %v, %v", says, l, err)
		return
	}
	if failed.Word != word || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "fetch credentials from "+c.target+": ") {
		t.Errorf("got %s, %v; want %s, %q", failed.Word, err, word, says)
	}
	if failed.Hint == "" || len(err.Error()) > 500 {
		t.Errorf("%v with hint %q", err, failed.Hint)
	}
	for _, secret := range []string{secretKey, password, "hunter3", "us_sp_123"} {
		if strings.Contains(err.Error()+failed.Hint+fmt.Sprintf("%+v", failed.Err), secret) {
			t.Errorf("shows %s: %v", secret, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const problem = "application/problem+json; charset=utf-8"
	for _, c := range []struct {
		code       int
		kind, body string
		word       status.Word
		says       string
	}{
		{401, problem, `{"title":"Unauthorized key","detail":"` + password + `"}`, status.AuthenticationFailed, `the API answers 401 Unauthorized: "Unauthorized key"`},
		{403, "", "", status.AuthenticationFailed, "403 Forbidden"},
		{400, "application/json", `{"title":"` + password + `"}`, status.SFTPUnavailable, "400 Bad Request"},
		{404, "text/html", "<b>" + password, status.SFTPUnavailable, "404 Not Found"},
		{404, problem, `{"title":"no \u001b[31m\u202e\n such Space"}`, status.SFTPUnavailable, `404 Not Found: "no \x1b[31m\u202e\n such Space"`},
		{401, problem, `{"title":"the key ` + secretKey + ` is not known"}`, status.AuthenticationFailed, "401 Unauthorized"},
		{401, problem, `{"title":"` + strings.Repeat("ä", 5000) + `"}`, status.AuthenticationFailed, strings.Repeat("ä", maxTitle/2) + "…"},
		{401, problem, `{"title":` + password, status.AuthenticationFailed, "401 Unauthorized"},
		{408, "", "", status.ConnectionTimedOut, "408"},
		{429, "", "", status.ConnectionRefused, "429 Too Many Requests"},
		{500, "", password, status.ConnectionRefused, "500 Internal Server Error"},
		{503, "", "", status.ConnectionRefused, "503"},
		{504, "", "", status.ConnectionTimedOut, "504"},
		{599, "", "", status.ConnectionRefused, "the API answers 599"},
		{200, "", "<html>" + password, status.SFTPUnavailable, "the answer is not JSON"},
		{204, "", "", status.SFTPUnavailable, "the answer is not JSON"},
		{200, "", strings.Repeat(" ", maxAnswer) + answer, status.SFTPUnavailable, "larger than 64 KiB"},
	} {
		_, asking := api(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(c.code)
			io.WriteString(w, c.body)
		})
		expect(t, asking, c.word, c.says)
	}
}

// The key goes nowhere but where the configuration sends it.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var hit atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hit.Add(1)
		io.WriteString(w, answer)
	}))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{elsewhere.URL, "/other", "://", ""} {
			_, c := api(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/other" {
					hit.Add(1)
				}
				if to != "" {
					w.Header().Set("Location", to)
				}
				w.WriteHeader(code)
			})
			expect(t, c, status.SFTPUnavailable, "redirects are not followed")
		}
	}
	if hit.Load() > 0 {
		t.Errorf("%d were followed", hit.Load())
	}
}

// An answer that never ends is not read for ever.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	_, c := api(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
				return
			}
		}
	})
	expect(t, c, status.SFTPUnavailable, "larger than 64 KiB")
}

// raw is a server on TCP that answers with what say writes.
func raw(t *testing.T, say string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, say)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestBrokenServers(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	server, _ := api(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	trusted := authority(server)
	for _, c := range []struct {
		o    Options
		word status.Word
		says string
	}{
		{Options{URL: "https://" + closed.Addr().String()}, status.ConnectionRefused, "connection refused"},
		{Options{URL: "https://no-such-host.invalid/"}, status.HostNotFound, "no such host"},
		{Options{URL: server.URL}, status.HostKeyVerificationFailed, "unknown authority"},
		{Options{URL: "https://localhost:" + port, RootCAs: trusted}, status.HostKeyVerificationFailed, "for another name"},
		{Options{URL: "http://" + server.Listener.Addr().String()}, status.SFTPUnavailable, "400 Bad Request"},
		{Options{URL: "https://" + raw(t, password+"\r\n\r\n")}, status.SFTPUnavailable, "does not speak HTTP"},
		{Options{URL: "http://" + raw(t, password+"\r\n\r\n")}, status.SFTPUnavailable, "does not speak HTTP"},
		{Options{URL: "http://" + raw(t, "HTTP/1.1 "+password+"\r\n\r\n")}, status.SFTPUnavailable, "does not speak HTTP"},
		{Options{URL: "http://" + raw(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxAnswer))}, status.SFTPUnavailable, "does not speak HTTP"},
		{Options{URL: "http://" + raw(t, "")}, status.ConnectionLost, "closed the connection"},
		{Options{URL: "https://" + raw(t, "")}, status.ConnectionLost, "closed the connection"},
		{Options{URL: "http://" + raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"+answer)}, status.ConnectionLost, "closed the connection"},
	} {
		asking := client(t, c.o)
		asking.transport.Proxy = nil // one of the machine's would answer in their place
		expect(t, asking, c.word, c.says)
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{"https://api.example.com/": true, "https://127.0.0.1/": false, "https://[::1]/": false, "https://localhost/": false, "http://127.0.0.1/": false} {
		if got := client(t, Options{URL: raw}).transport.Proxy != nil; got != want {
			t.Errorf("%s has a proxy: %v", raw, got)
		}
	}
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the proxy was shown the key")
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer refusing.Close()
	for says, proxy := range map[string]string{
		"the proxy of the environment answers 403 Forbidden":     "http://user:hunter3@" + refusing.Listener.Addr().String(),
		"the proxy of the environment: connection refused":       "http://user:hunter3@127.0.0.1:1",
		"the proxy of the environment is not a URL":              "http://user:hunter3@ :x",
		"the proxy of the environment: the server closed the co": "https://" + raw(t, ""),
	} {
		c := client(t, Options{URL: "https://api.example.com/"})
		useProxy(c.transport, func(*http.Request) (*url.URL, error) { return url.Parse(proxy) })
		word := status.SFTPUnavailable
		switch {
		case strings.Contains(says, ": connection refused"):
			word = status.ConnectionRefused
		case strings.Contains(says, ": the server"):
			word = status.ConnectionLost
		}
		expect(t, c, word, says)
	}
}

// A key in clear stays on this machine, also if a name server says that
// localhost is another.
func TestClearTextStaysHere(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]error{
		"127.0.0.1:80": nil, "[::1]:80": nil, "127.8.8.8:80": nil, "[::ffff:127.0.0.1]:80": nil,
		"10.0.0.1:80": errElsewhere, "[2001:db8::1]:80": errElsewhere, "0.0.0.0:80": errElsewhere,
	} {
		if err := onlyLoopback("tcp", address, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v", address, err)
		}
	}
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }))
	defer here.Close()
	c := client(t, Options{URL: here.URL})
	login(t, c)

	c = client(t, Options{URL: "http://localhost:1"})
	c.request = "http://192.0.2.1:1/" // as if localhost were that
	expect(t, c, status.SFTPUnavailable, "localhost is not this machine")
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	good := Options{URL: "https://api.example.com/v1", SecretKey: secretKey, SpaceID: "s"}
	for text, says := range map[string]string{
		"":                                   "is not a URL",
		"api.example.com":                    "is not a URL",
		"https://":                           "is not a URL",
		"https://user:hunter3@%zz/":          "is not a URL",
		"https://a:b:c/":                     "is not a URL",
		"https://api.example.com:0/":         "port",
		"https://api.example.com:65536/":     "port",
		"ftp://api.example.com/":             `begins with "ftp"`,
		"http://api.example.com/":            "in clear",
		"http://10.0.0.1/":                   "in clear",
		"http://localhost.example.com/":      "in clear",
		"http://127.0.0.1.example.com/":      "in clear",
		"https://user:hunter3@example.com/":  "user name",
		"https://example.com/#hunter3":       "fragment",
		"https://example.com/?spaceId=other": "space_id",
	} {
		o := good
		o.URL = text
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: %v; want %q", text, err, says)
		}
	}
	for _, key := range []string{"", "sk_a b", "sk_a\r\nX: y", "sk_ä", "sk_\x00"} {
		o := good
		o.SecretKey = key
		if _, err := New(o); err == nil || key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", key, err)
		}
	}
	o := good
	o.SpaceID = ""
	if _, err := New(o); err == nil {
		t.Error("no Space is taken")
	}
	for _, text := range []string{"https://api.example.com", "http://localhost:8022/x", "http://[::1]:8022/x", "http://127.0.0.1/x?y=z", "HTTPS://api.example.com"} {
		o := good
		o.URL = text
		if _, err := New(o); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
