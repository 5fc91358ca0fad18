package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp/requests"
)

// operator is the name of the token that the daemon makes for people on its machine.
const operator = config.OperatorToken

func allScopes() []config.Scope {
	return []config.Scope{config.ScopeRead, config.ScopeRequest, config.ScopeApply, config.ScopeConfigure}
}

// access is who may come in, and from where. Without tokens everybody who reaches the
// server is let in: that is the API inside a verb, which nobody else reaches.
type access struct {
	tokens  []token
	proxies []netip.Prefix
	public  *url.URL // server.public_url, without a slash at its end; nil: there is none
	// crossOrigin keeps out what pages of others have browsers send.
	crossOrigin *http.CrossOriginProtection
}

type token struct {
	hash    [sha256.Size]byte
	session []byte // key of its sessions
	name    string
	scopes  []config.Scope
}

func newAccess(cfg config.Server) *access {
	a := &access{crossOrigin: http.NewCrossOriginProtection()}
	for _, c := range cfg.Tokens {
		secret := c.Token.Reveal()
		a.tokens = append(a.tokens, token{hash: sha256.Sum256([]byte(secret)), session: sessionKey(secret), name: c.Name, scopes: c.Scopes})
	}
	for _, p := range cfg.TrustedProxies {
		a.proxies = append(a.proxies, p.Prefix)
	}
	if u, err := url.Parse(cfg.PublicURL); err == nil && cfg.PublicURL != "" {
		u.Path = strings.TrimRight(u.Path, "/")
		a.public = u
		// A proxy may rewrite Host; the browser says where it is. It is an origin, as
		// config has looked at it.
		_ = a.crossOrigin.AddTrustedOrigin(u.Scheme + "://" + u.Host)
	}
	return a
}

// open reports whether no token is asked for.
func (a *access) open() bool { return len(a.tokens) == 0 }

// trusts reports whether an address is one of the trusted proxies.
func (a *access) trusts(at netip.Addr) bool {
	return slices.ContainsFunc(a.proxies, func(p netip.Prefix) bool { return p.Contains(at) })
}

// named gives the token with the name, or nil.
func (a *access) named(name string) *token {
	for i := range a.tokens {
		if a.tokens[i].name == name {
			return &a.tokens[i]
		}
	}
	return nil
}

// known gives the token with the secret, or nil. Hashes are compared, and all of them, so
// that the time it takes says nothing about a token.
func (a *access) known(secret string) (found *token) {
	hash := sha256.Sum256([]byte(secret))
	for i := range a.tokens {
		if subtle.ConstantTimeCompare(hash[:], a.tokens[i].hash[:]) == 1 {
			found = &a.tokens[i]
		}
	}
	return found
}

// caller is who sent a request.
type caller struct {
	name    string // of the token; "" for none
	scopes  []config.Scope
	open    bool      // no token is asked for
	wrong   bool      // a token came that is not known
	session string    // id of the session of a browser; "" for a program
	expires time.Time // when the session does; zero for a program
}

// scopes are some of which a caller needs one.
type scopes []config.Scope

func (s scopes) join(by string) string {
	var names []string
	for _, scope := range s {
		names = append(names, string(scope))
	}
	return strings.Join(names, by)
}

func (c caller) may(needed scopes) bool {
	return c.open || slices.ContainsFunc(c.scopes, func(s config.Scope) bool { return slices.Contains(needed, s) })
}

// listens names whose streams of events are counted together: those of a program, or of
// one browser.
func (c caller) listens() string {
	if c.session == "" {
		return c.name
	}
	return c.name + ", session " + c.session
}

// asker is the caller as requests know it: configure opens what others asked for.
func (c caller) asker() requests.Caller {
	return requests.Caller{Token: c.name, All: c.may(scopes{config.ScopeConfigure})}
}

// caller finds out who sent r: by its token, or by the session of its cookie.
func (s *Server) caller(r *http.Request) caller {
	a := s.access.Load()
	if a.open() {
		return caller{open: true}
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		c, _ := s.sessionCaller(r, a)
		return c
	}
	k := a.known(strings.TrimSpace(secret))
	if k == nil {
		return caller{wrong: true}
	}
	return caller{name: k.name, scopes: k.scopes}
}

// callerKey is the context's key of the caller.
type callerKey struct{}

// callerOf gives the caller of a request by its context.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// identify puts the caller into the request's context.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.caller(r)
		note(w, c.name)
		if c.name != "" {
			known(r)
		}
		ctx := context.WithValue(r.Context(), callerKey{}, c)
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, requestKey{}, r)))
	})
}

// require lets callers with the scope through to a handler.
func (s *Server) require(scope config.Scope, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.allowed(w, r, scopes{scope}) {
			next.ServeHTTP(w, r)
		}
	})
}

// allowed reports whether the caller has one of the scopes, and answers it if
// not. The challenges are those of RFC 6750.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, needed scopes) bool {
	c := callerOf(r.Context())
	if c.may(needed) {
		return true
	}
	s.unauthorized(w, r, c, needed)
	return false
}

// unauthorized answers who may not do what needs one of the scopes.
func (s *Server) unauthorized(w http.ResponseWriter, r *http.Request, c caller, needed scopes) {
	challenge, code := `Bearer realm="sftp-connector"`, http.StatusUnauthorized
	var detail string
	switch {
	case c.wrong:
		s.refused(r, tokenRefused)
		challenge += `, error="invalid_token"`
		detail = "The token is not one of server.tokens: check it for a typing error, or whether it was replaced."
	case c.name == "":
		detail = fmt.Sprintf("Send a token of server.tokens that has the scope %s, or the one in operator.token of the data directory, in the header 'Authorization: Bearer TOKEN'.", needed.join(" or "))
	default:
		code = http.StatusForbidden
		challenge += fmt.Sprintf(`, error="insufficient_scope", scope="%s"`, needed.join(" "))
		detail = fmt.Sprintf("The token %s lacks the scope %s: add it to its scopes in server.tokens, or use another token.", c.name, needed.join(" or "))
	}
	w.Header().Set("WWW-Authenticate", challenge)
	writeProblem(w, code, detail)
}

// guard keeps web pages of others out: a browser that is signed in sends its cookie
// with what such a page asks for, too. A server without tokens, which only a program
// inside this process should reach, answers on loopback alone, and under its names.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.access.Load().crossOrigin.Check(r); err != nil {
			writeProblem(w, http.StatusForbidden, "A page of another origin may not change anything here; send the request from a program, or from a page of this server. Behind a proxy, server.public_url has to say where browsers find it.")
			return
		}
		c := callerOf(r.Context())
		switch {
		case !c.open || probe(r.URL.Path) || r.URL.Path == pathSFTPCredentials:
		case !loopbackListener(r):
			writeProblem(w, http.StatusForbidden, "No tokens are configured, and the program still listens beyond loopback: restart it, or configure server.tokens.")
			return
		case !loopbackHost(r.Host):
			writeProblem(w, http.StatusForbidden, fmt.Sprintf(
				"The host %q is not this machine's loopback: use http://127.0.0.1 or http://localhost, or configure server.tokens.", r.Host))
			return
		}
		// curl -d calls every body a form. The API takes none, and that of another
		// page did not come this far.
		if strings.HasPrefix(r.URL.Path, "/api/") && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
			r.Header.Set("Content-Type", "application/json")
		}
		next.ServeHTTP(w, r)
	})
}

// probe reports whether the path is one that supervisors ask, under any name.
func probe(path string) bool { return path == "/healthz" || path == "/readyz" }

// loopbackListener reports whether the request came in on loopback, or on
// something that is no network.
func loopbackListener(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return !ok || at.IP.IsLoopback()
}

// loopbackHost reports whether a Host header names the loopback interface.
func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
