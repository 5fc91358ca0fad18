package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"sftpconnector/config"
	"sftpconnector/interapp/requests"
)

// tokens are the ways in. Without any, everybody who reaches the listener is
// let in: config allows that on loopback only.
type tokens struct{ known []token }

type token struct {
	hash   [sha256.Size]byte
	name   string
	scopes []config.Scope
}

func newTokens(cfg []config.Token) *tokens {
	t := &tokens{}
	for _, c := range cfg {
		t.known = append(t.known, token{hash: sha256.Sum256([]byte(c.Token.Reveal())), name: c.Name, scopes: c.Scopes})
	}
	return t
}

// open reports whether no token is asked for.
func (t *tokens) open() bool { return len(t.known) == 0 }

// caller is who sent a request.
type caller struct {
	name   string // of the token; "" for none
	scopes []config.Scope
	open   bool // no token is asked for
	wrong  bool // a token came that is not known
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

// asker is the caller as requests know it: configure opens what others asked for.
func (c caller) asker() requests.Caller {
	return requests.Caller{Token: c.name, All: c.may(scopes{config.ScopeConfigure})}
}

// caller finds out who sent r. Hashes are compared, and all of them, so that
// the time it takes says nothing about a token.
func (t *tokens) caller(r *http.Request) caller {
	if t.open() {
		return caller{open: true}
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return caller{}
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	c := caller{wrong: true}
	for _, k := range t.known {
		if subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1 {
			c = caller{name: k.name, scopes: k.scopes}
		}
	}
	return c
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
		c := s.tokens.Load().caller(r)
		note(w, c.name)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
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
	challenge, code := `Bearer realm="sftp-connector"`, http.StatusUnauthorized
	var detail string
	switch {
	case c.wrong:
		challenge += `, error="invalid_token"`
		detail = "The token is not one of server.tokens: check it for a typing error, or whether it was replaced."
	case c.name == "":
		detail = fmt.Sprintf("Send a token of server.tokens that has the scope %s, in the header 'Authorization: Bearer TOKEN'.", needed.join(" or "))
	default:
		code = http.StatusForbidden
		challenge += fmt.Sprintf(`, error="insufficient_scope", scope="%s"`, needed.join(" "))
		detail = fmt.Sprintf("The token %s lacks the scope %s: add it to its scopes in server.tokens, or use another token.", c.name, needed.join(" or "))
	}
	w.Header().Set("WWW-Authenticate", challenge)
	writeProblem(w, code, detail)
	return false
}

// guard keeps web pages of others out. Where no token is asked for, a browser
// on this machine can reach the listener for any page that it shows: by a
// request to another origin, or by a DNS name of the page's that turns into
// 127.0.0.1 (rebinding). And a reload may take the tokens away while the
// listener is still the old one, for all the network: that opens nothing. Where
// secret keys are asked for, they always are, and no page knows one.
func (s *Server) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := crossOrigin.Check(r); err != nil {
			writeProblem(w, http.StatusForbidden, "A page of another origin may not change anything here; send the request from a program, or from a page of this server.")
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
		// curl -d calls every body a form. No form means anything here, and that of
		// a page did not come this far.
		if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
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
