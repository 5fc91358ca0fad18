package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"sftpconnector/config"
	"sftpconnector/interapp/server"
)

// access says what each route needs.
var access = []struct {
	method, path, body string
	scope              config.Scope // "": none
	code               int          // of success
	or                 config.Scope // another that will do
}{
	{"GET", "/healthz", "", "", 200, ""},
	{"GET", "/readyz", "", "", 503, ""},
	{"GET", "/metrics", "", config.ScopeRead, 200, ""},
	{"GET", "/openapi.json", "", config.ScopeRead, 200, ""},
	{"GET", "/api/v1/connectors", "", config.ScopeRead, 200, ""},
	{"GET", "/api/v1/connectors/results", "", config.ScopeRead, 200, ""},
	{"GET", "/api/v1/connectors/results/files", "", config.ScopeRead, 200, ""},
	{"GET", "/api/v1/connectors/results/passes", "", config.ScopeRead, 200, ""},
	{"GET", "/api/v1/passes?connectors=results", "", config.ScopeRead, 200, ""},
	{"POST", "/api/v1/connectors/results/apply?wait=1m", "", config.ScopeApply, 200, ""},
	{"POST", "/api/v1/connectors/results/check", "", config.ScopeApply, 200, ""},
	{"POST", "/api/v1/connectors/results/retry", "{}", config.ScopeApply, 200, ""},
	{"POST", "/api/v1/connectors/results/pause", `{"reason":"a look"}`, config.ScopeApply, 200, ""},
	{"POST", "/api/v1/connectors/results/resume", "", config.ScopeApply, 200, ""},
	{"GET", "/api/v1/connectors/results/listing", "", config.ScopeApply, 200, ""},
	{"GET", "/api/v1/connectors/results/host-key", "", config.ScopeApply, 200, ""},
	{"POST", "/api/v1/connectors/results/trust", `{"fingerprint":"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, config.ScopeConfigure, 409, ""},
	{"GET", "/api/v1/connectors/results/schedule?automatic_sftp_file_sync=15m", "", config.ScopeRead, 200, ""},
	{"DELETE", "/api/v1/connectors/results/schedule", "", config.ScopeConfigure, 200, ""},
	{"PUT", "/api/v1/connectors/results/schedule", `{"automatic_sftp_file_sync":"N/A"}`, config.ScopeConfigure, 200, ""},
	{"POST", "/api/v1/connectors/results/requests?wait=1m", `{"id":"known"}`, config.ScopeRequest, 200, ""},
	{"GET", "/api/v1/requests/known", "", config.ScopeRequest, 200, config.ScopeRead},
	{"GET", "/api/v1/requests", "", config.ScopeRequest, 200, config.ScopeRead},
	{"POST", "/api/v1/requests/none/send", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"DELETE", "/api/v1/requests/known", "", config.ScopeRequest, 200, config.ScopeConfigure},
	{"POST", "/api/v1/connectors/results/interapp", message, config.ScopeRequest, 200, ""},
	{"POST", "/api/v1/connectors/results/subscriptions", `{"reply_to":"http://127.0.0.1:1"}`, config.ScopeRequest, 201, ""},
	{"GET", "/api/v1/connectors/results/subscriptions", "", config.ScopeRequest, 200, config.ScopeConfigure},
	// Whoever may see that there is none may see one.
	{"GET", "/api/v1/connectors/results/subscriptions/none", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"DELETE", "/api/v1/connectors/results/subscriptions/none", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"DELETE", "/api/v1/connectors/results/subscriptions/none/pending", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"POST", "/api/v1/connectors/results/subscriptions/none/send", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"POST", "/api/v1/spaces/us_1/subscriptions/nosub/send", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"GET", "/api/v1/events?connector=nobody", "", config.ScopeRead, 404, ""},
	// There is no configuration file.
	{"GET", "/api/v1/configuration", "", config.ScopeRead, 404, ""},
	{"GET", "/api/v1/connectors/results/configuration", "", config.ScopeRead, 404, ""},
	{"PUT", "/api/v1/connectors/results", `{"version":"1"}`, config.ScopeConfigure, 404, ""},
	{"POST", "/api/v1/connectors/results", `{"version":"1"}`, config.ScopeConfigure, 404, ""},
	{"DELETE", "/api/v1/connectors/results?version=1", "", config.ScopeConfigure, 404, ""},
	{"POST", "/api/v1/reload", "", config.ScopeConfigure, 404, ""},
	{"GET", "/api/v1/spaces", "", config.ScopeRead, 200, ""},
	{"GET", "/api/v1/spaces/us_1", "", config.ScopeRead, 200, ""},
	{"GET", "/api/v1/spaces/us_1/files", "", config.ScopeRead, 200, ""},
	{"POST", "/api/v1/spaces/us_1/retry", "", config.ScopeApply, 200, ""},
	{"POST", "/api/v1/spaces/us_1/credentials", "", config.ScopeConfigure, 201, ""},
	{"DELETE", "/api/v1/spaces/us_1/credentials/nocred", "", config.ScopeConfigure, 404, ""},
	{"DELETE", "/api/v1/spaces/us_1/credentials", "", config.ScopeConfigure, 200, ""},
	{"POST", "/api/v1/spaces/us_1/subscriptions", `{"reply_to":"http://127.0.0.1:1"}`, config.ScopeRequest, 201, ""},
	{"GET", "/api/v1/spaces/us_1/subscriptions", "", config.ScopeRequest, 200, config.ScopeConfigure},
	{"GET", "/api/v1/spaces/us_1/subscriptions/nosub", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"DELETE", "/api/v1/spaces/us_1/subscriptions/nosub", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"DELETE", "/api/v1/spaces/us_1/subscriptions/nosub/pending", "", config.ScopeRequest, 404, config.ScopeConfigure},
	{"GET", "/api/v1/audit", "", config.ScopeConfigure, 200, ""},
	{"GET", "/api/v1/session", "", config.ScopeRead, 200, ""},
	{"POST", "/api/v1/sign-in-links", "", config.ScopeConfigure, 200, ""},
	{"GET", "/debug/pprof/", "", config.ScopeConfigure, 200, ""},
	{"GET", "/debug/pprof/cmdline", "", config.ScopeConfigure, 200, ""},
}

func tokenOf(scope config.Scope) string { return "token-for-" + string(scope) + "-0123456789" }

// eachScope is one token for each scope.
func eachScope() config.Server {
	var s config.Server
	for _, scope := range []config.Scope{config.ScopeRead, config.ScopeRequest, config.ScopeApply, config.ScopeConfigure} {
		s.Tokens = append(s.Tokens, config.Token{Name: "of-" + string(scope), Token: config.Secret(tokenOf(scope)), Scopes: []config.Scope{scope}})
	}
	return s
}

func TestScopes(t *testing.T) {
	d := newDaemon(t, server.Options{Server: eachScope(), Pprof: true, Spaces: openSpaces(t)})
	for _, route := range access {
		for _, scope := range []config.Scope{"", "none", config.ScopeRead, config.ScopeRequest, config.ScopeApply, config.ScopeConfigure} {
			t.Run(fmt.Sprintf("%s %s as %q", route.method, route.path, scope), func(t *testing.T) {
				server.ForgetFailures(d.api)
				var headers []string
				if scope != "" {
					headers = append(headers, "Authorization: Bearer "+tokenOf(scope))
				}
				a := d.ask(route.method, route.path, route.body, headers...)
				challenge := a.header.Get("WWW-Authenticate")
				switch {
				case route.scope == "" || route.scope == scope || route.or != "" && route.or == scope:
					a.want(t, route.code, nil)
				case scope == "":
					a.problem(t, 401, "Authorization: Bearer", string(route.scope))
					if challenge != `Bearer realm="sftp-connector"` {
						t.Errorf("challenge %q", challenge)
					}
				case scope == "none":
					a.problem(t, 401, "not one of server.tokens")
					if !strings.Contains(challenge, "invalid_token") {
						t.Errorf("challenge %q", challenge)
					}
				default:
					a.problem(t, 403, "of-"+string(scope), "scope "+string(route.scope))
					if !strings.Contains(challenge, `scope="`+string(route.scope)) {
						t.Errorf("challenge %q", challenge)
					}
				}
			})
		}
	}
}

func TestNoTokensNeedNone(t *testing.T) {
	d := newDaemon(t, server.Options{Pprof: true, Spaces: openSpaces(t)})
	for _, route := range access {
		if route.path == "/api/v1/sign-in-links" {
			route.code = 409 // nobody has to sign in
		}
		d.ask(route.method, route.path, route.body).want(t, route.code, nil)
	}
}

func TestAuthorizationHeaders(t *testing.T) {
	d := newDaemon(t, server.Options{Server: eachScope()})
	good := tokenOf(config.ScopeRead)
	for header, code := range map[string]int{
		"Bearer " + good: 200, "bearer " + good: 200, "Bearer  " + good + " ": 200,
		"Basic " + good: 401, good: 401, "Bearer": 401, "Bearer ": 401, "Bearer " + good + "x": 401, "Bearer " + good[1:]: 401,
	} {
		if a := d.ask("GET", "/api/v1/connectors", "", "Authorization: "+header); a.code != code {
			t.Errorf("%q: %d, want %d", header, a.code, code)
		}
	}
}

func TestTokensAreSwapped(t *testing.T) {
	d := newDaemon(t, server.Options{Server: eachScope()})
	read := "Authorization: Bearer " + tokenOf(config.ScopeRead)
	d.ask("GET", "/api/v1/connectors", "", read).want(t, 200, nil)
	d.api.SetServer(config.Server{Tokens: []config.Token{{Name: "new", Token: "another-token-0123456789", Scopes: []config.Scope{config.ScopeRead}}}})
	d.ask("GET", "/api/v1/connectors", "", read).problem(t, 401)
	d.ask("GET", "/api/v1/connectors", "", "Authorization: Bearer another-token-0123456789").want(t, 200, nil)
}

func TestPprofIsOffByDefault(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.ask("GET", "/debug/pprof/", "").problem(t, 404)
}

// A page may make a browser on this machine send requests here.
func TestPagesOfOthersAreKeptOut(t *testing.T) {
	const apply = "/api/v1/connectors/results/apply"
	for _, tokens := range []config.Server{{}, eachScope()} {
		d := newDaemon(t, server.Options{Server: tokens})
		bearer := "Authorization: Bearer " + tokenOf(config.ScopeApply)
		origin := strings.TrimPrefix(d.http.URL, "http://")
		for _, c := range []struct {
			header string
			code   int
		}{
			{"Origin: http://evil.example", 403},
			{"Origin: null", 403},
			{"Origin: http://127.0.0.1:1", 403},
			{"Sec-Fetch-Site: cross-site", 403},
			{"Sec-Fetch-Site: same-site", 403},
			{"Sec-Fetch-Site: same-origin", 202},
			{"Sec-Fetch-Site: none", 202},
			{"Origin: http://" + origin, 202},
		} {
			if a := d.ask("POST", apply, "", bearer, c.header); a.code != c.code {
				t.Errorf("%s: %d, want %d: %s", c.header, a.code, c.code, a.body)
			}
		}
		d.ask("PUT", "/api/v1/connectors/results/schedule", `{}`, bearer, "Origin: http://evil.example").problem(t, 403, "another origin")
	}
}

func TestRebinding(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for host, code := range map[string]int{
		"localhost": 200, "LOCALHOST:8022": 200, "localhost.": 200, "127.0.0.1": 200, "127.1.2.3:80": 200, "[::1]:8022": 200, "[::1]": 200, "[::ffff:127.0.0.1]": 200,
		"evil.example": 403, "evil.example:8022": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "10.0.0.1": 403, "0.0.0.0": 403, "[::]": 403,
	} {
		a := d.ask("GET", "/api/v1/connectors", "", "Host: "+host)
		if a.code != code {
			t.Errorf("%s: %d, want %d", host, a.code, code)
		}
		if code == 403 {
			a.problem(t, 403, host, "server.tokens")
		}
		d.ask("GET", "/healthz", "", "Host: "+host).want(t, 200, nil)
	}
	// With tokens the name does not matter: a page cannot know one.
	d.api.SetServer(eachScope())
	d.ask("GET", "/api/v1/connectors", "", "Host: connector.example", "Authorization: Bearer "+tokenOf(config.ScopeRead)).want(t, 200, nil)
}

// A reload that takes the tokens away, and moves the listener to loopback at
// the next start, must not open the listener of now.
func TestNoTokensBeyondLoopback(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for address, code := range map[string]int{"192.0.2.1": 403, "127.0.0.1": 200, "::1": 200} {
		r := httptest.NewRequest("GET", "http://127.0.0.1/api/v1/connectors", nil)
		at := &net.TCPAddr{IP: net.ParseIP(address), Port: 8022}
		w := httptest.NewRecorder()
		d.api.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, at)))
		if w.Code != code {
			t.Errorf("%s: %d, want %d: %s", address, w.Code, code, w.Body)
		}
	}
}

// lines is a log that may be written concurrently.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func TestAccessLog(t *testing.T) {
	log := &lines{}
	d := newDaemon(t, server.Options{Server: eachScope(), Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	d.ask("GET", "/api/v1/connectors", "", "Authorization: Bearer "+tokenOf(config.ScopeRead))
	d.ask("GET", "/api/v1/connectors", "", "Authorization: Bearer wrong-token-0123456789")
	d.http.Close() // after which all lines are written
	got := log.String()
	for _, text := range []string{"path=/api/v1/connectors status=200", "token=of-read", "status=401"} {
		if !strings.Contains(got, text) {
			t.Errorf("log lacks %q:\n%s", text, got)
		}
	}
	for _, secret := range []string{tokenOf(config.ScopeRead), "wrong-token"} {
		if strings.Contains(got, secret) {
			t.Errorf("log has the secret %q:\n%s", secret, got)
		}
	}
}
