package credentialsapi

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/status"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretKey = "sk_hunter2hunter2"
	password  = "sftp_CORRECTHORSE"
	answer    = `{"data":{"username":"us_sp_123","password":"` + password + `","host":"sftp.example.com","port":"2022"}}`
)

// api is a server with TLS and a client of it.
func api(t *testing.T, h http.HandlerFunc) (*httptest.Server, *Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, client(t, Options{URL: server.URL + "/v1/auth/sftp-credentials", RootCAs: authority(server)})
}

func authority(server *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	o.SecretKey, o.SpaceID = secretKey, "us_sp_123"
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func login(t *testing.T, c *Client) Login {
	t.Helper()
	l, err := c.Login(t.Context())
	if err != nil {
		t.Error(err)
	}
	return l
}

func TestRequestAndAnswer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server, c := api(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Method != http.MethodGet || r.URL.Path != "/v1/auth/sftp-credentials" ||
			r.Header.Get("Authorization") != "Bearer "+secretKey || r.Header.Get("Accept-Encoding") != "" || !r.Close {
			t.Errorf("asked %s %s with %v", r.Method, r.URL, r.Header)
		}
		if q := r.URL.Query(); q.Get("spaceId") != "us_sp_123" {
			t.Errorf("asked with %v", q)
		}
		fmt.Fprint(w, answer)
	})
	l := login(t, c)
	if l.Username != "us_sp_123" || l.Password() != password || l.Host != "sftp.example.com" || l.Port != 2022 {
		t.Errorf("got %v", l)
	}
	if login(t, c) != l || asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	c.Refused(Login{})
	if login(t, c) != l {
		t.Error("the zero Login has dropped another")
	}

	// A second after the first is refused, and the same again: they are two.
	c.Refused(l)
	second := login(t, c)
	if second == l || second.Password() != password || asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
	c.Refused(l) // by a connection that was slow to find out
	if login(t, c) != second || asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}

	// What the URL's query has stays.
	with := client(t, Options{URL: server.URL + "/v1/auth/sftp-credentials?a=b%26&c", RootCAs: authority(server)})
	if u, err := http.NewRequest("GET", with.request, nil); err != nil || u.URL.Query().Get("a") != "b&" || !u.URL.Query().Has("c") {
		t.Errorf("asks %s, %v", with.request, err)
	}
	login(t, with)
}

func TestCallersShareAFetch(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	begun, answers := make(chan struct{}, 9), make(chan string)
	_, c := api(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		begun <- struct{}{}
		select {
		case text := <-answers:
			fmt.Fprint(w, text)
		case <-r.Context().Done():
		}
	})
	for round, text := range []string{answer, "broken", answer} {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				l, err := c.Login(t.Context())
				if (err == nil) != (text == answer) || err == nil && l.Password() != password {
					t.Errorf("round %d: %v, %v", round, l, err)
				}
			})
		}
		<-begun
		waiting(t, c, 20)
		answers <- text
		all.Wait()
		if n := asked.Load(); n != int32(round+1) {
			t.Errorf("round %d: asked %d times", round, n)
		}
		c.Refused(c.cached)
	}
}

// waiting waits until so many callers share the fetch.
func waiting(t *testing.T, c *Client, callers int) {
	t.Helper()
	until(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.flight != nil && c.flight.waiters == callers
	})
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not happen")
		}
	}
}

// Who gives up does not take the others' fetch along; the last one does.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	begun, ended, answers := make(chan struct{}, 9), make(chan struct{}, 9), make(chan string)
	_, c := api(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		select {
		case text := <-answers:
			fmt.Fprint(w, text)
		case <-r.Context().Done():
			ended <- struct{}{}
		}
	})
	ctx, giveUp := context.WithCancel(t.Context())
	var impatient, patient sync.WaitGroup
	impatient.Go(func() {
		if _, err := c.Login(ctx); !errors.Is(err, context.Canceled) || !status.Is(err, status.ConnectionLost) {
			t.Errorf("got %v", err)
		}
	})
	<-begun
	patient.Go(func() { login(t, c) })
	waiting(t, c, 2)
	giveUp()
	impatient.Wait()
	answers <- answer
	patient.Wait()
	c.Refused(login(t, c))

	ctx, giveUp = context.WithCancel(t.Context())
	impatient.Go(func() { c.Login(ctx) })
	<-begun
	giveUp()
	impatient.Wait()
	select {
	case <-ended: // the server saw it go
	case <-time.After(5 * time.Second):
		t.Error("the fetch of nobody goes on")
	}
	patient.Go(func() { login(t, c) })
	<-begun
	answers <- answer
	patient.Wait()

	// Close ends what is under way, and all that comes.
	c.Refused(login(t, c))
	patient.Go(func() {
		if _, err := c.Login(t.Context()); err == nil {
			t.Error("closed, and yet a login")
		}
	})
	<-begun
	c.mu.Lock()
	last := c.flight
	c.mu.Unlock()
	c.Close()
	select {
	case <-last.done:
	default:
		t.Error("closed, and the fetch goes on")
	}
	patient.Wait()
	if _, err := c.Login(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

// A server that says nothing is left in time, by the fetch or by who asks.
func TestSilence(t *testing.T) {
	t.Parallel()
	server, _ := api(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := client(t, Options{URL: server.URL, RootCAs: authority(server), Timeout: 100 * time.Millisecond})
	_, err := c.Login(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !status.Is(err, status.ConnectionTimedOut) || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("got %v", err)
	}
	c = client(t, Options{URL: server.URL, RootCAs: authority(server)})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = c.Login(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !status.Is(err, status.ConnectionTimedOut) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("got %v", err)
	}
}

// The time of a fetch is bounded by itself, also for callers without a deadline.
func TestDefaultTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{URL: "https://127.0.0.1/", SecretKey: secretKey, SpaceID: "s"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		if _, err := c.Login(context.Background()); !status.Is(err, status.ConnectionTimedOut) || time.Since(start) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// TestNothingShowsASecret formats, marshals and logs all that holds one.
func TestNothingShowsASecret(t *testing.T) {
	t.Parallel()
	server, c := api(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
	l := login(t, c)
	hidden := client(t, Options{URL: server.URL + "/x?token=hunter3", RootCAs: x509.NewCertPool()})
	_, failure := hidden.Login(t.Context())
	if failure == nil || strings.Contains(failure.Error(), "hunter3") || !strings.Contains(failure.Error(), "fetch credentials from "+server.URL+"/x: ") {
		t.Errorf("got %v", failure)
	}
	for _, value := range []any{l, &l, []Login{l}, map[string]Login{"a": l}, struct{ hidden Login }{l}, struct{ Shown *Login }{&l},
		c, hidden, failure} {
		shown := new(strings.Builder)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			fmt.Fprintf(shown, verb+"\n", value)
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Error(err)
		}
		shown.Write(text)
		slog.New(slog.NewTextHandler(shown, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(shown, nil)).Info("x", "value", value)
		for _, secret := range []string{password, secretKey, "hunter3"} {
			for _, form := range []string{secret, fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]")} {
				if strings.Contains(strings.ToLower(shown.String()), strings.ToLower(form)) {
					t.Errorf("%T shows %q in %s", value, form, shown)
				}
			}
		}
	}
	if fmt.Sprint(l) != "us_sp_123@sftp.example.com:2022" {
		t.Errorf("a login is shown as %v", l)
	}
}
