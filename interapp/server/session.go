package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/config"
	"sftpconnector/interapp"
)

const (
	// sessionTime is how long a browser stays signed in.
	sessionTime = 30 * 24 * time.Hour
	// maxEnded bounds the sessions that were signed out and are remembered. The oldest
	// are forgotten first; their browsers have dropped the cookie.
	maxEnded = 10_000
)

// A session is a cookie: the name of the token that signed in, until when it serves, an
// id, and a MAC over them whose key comes from the token. So it ends when the token goes
// or is replaced, and the server keeps nothing but the ids of those that signed out.
type session struct {
	token   string
	id      string
	expires time.Time
}

// sessionKey is the key of the MACs of a token's sessions.
func sessionKey(token string) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("sftp-connector session"))
	return mac.Sum(nil)
}

// encode gives the value of the cookie.
func (n session) encode(key []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(n.token)) + "." + strconv.FormatInt(n.expires.Unix(), 10) + "." + n.id
	return text + "." + base64.RawURLEncoding.EncodeToString(macOf(key, text))
}

func macOf(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// decodeSession reads a cookie. keyOf gives the key of a token, or nil.
func decodeSession(value string, keyOf func(token string) []byte, now time.Time) (session, bool) {
	cut := strings.LastIndexByte(value, '.')
	if cut < 0 {
		return session{}, false
	}
	parts := strings.Split(value[:cut], ".")
	if len(parts) != 3 {
		return session{}, false
	}
	name, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return session{}, false
	}
	mac, err := base64.RawURLEncoding.DecodeString(value[cut+1:])
	if err != nil {
		return session{}, false
	}
	key := keyOf(string(name))
	seconds, err := strconv.ParseInt(parts[1], 10, 64)
	n := session{token: string(name), id: parts[2], expires: time.Unix(seconds, 0)}
	if err != nil || key == nil || !hmac.Equal(mac, macOf(key, value[:cut])) || !now.Before(n.expires) {
		return session{}, false
	}
	return n, true
}

// endedSessions are those that signed out before they expired.
type endedSessions struct {
	mu    sync.Mutex
	known map[string]bool
	order []string
}

func (e *endedSessions) add(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known == nil {
		e.known = map[string]bool{}
	}
	if e.known[id] {
		return
	}
	if len(e.order) == maxEnded {
		delete(e.known, e.order[0])
		e.order = e.order[1:]
	}
	e.known[id] = true
	e.order = append(e.order, id)
}

func (e *endedSessions) has(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known[id]
}

// sessionCookie is the name of the cookie. Cookies ignore ports, so each data directory
// has a name of its own.
func (s *Server) sessionCookie() string {
	if s.ledger == nil {
		return "sftp-connector"
	}
	return "sftp-connector-" + s.ledger.Owner()
}

// setCookie signs the browser in, or out with an empty value.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, value string, expires time.Time) {
	public := s.access.Load().public
	c := &http.Cookie{
		Name: s.sessionCookie(), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Expires: expires,
		Secure: r.TLS != nil || public != nil && public.Scheme == "https",
	}
	if public != nil && public.Path != "" {
		c.Path = public.Path
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// signIn gives the browser a session of the token.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request, k *token) {
	id := make([]byte, 16)
	rand.Read(id)
	n := session{token: k.name, id: base64.RawURLEncoding.EncodeToString(id), expires: time.Now().Add(sessionTime)}
	s.setCookie(w, r, n.encode(k.session), n.expires)
}

// sessionCaller finds out who is signed in by the cookie.
func (s *Server) sessionCaller(r *http.Request, a *access) (caller, bool) {
	for _, cookie := range r.CookiesNamed(s.sessionCookie()) {
		n, ok := decodeSession(cookie.Value, func(name string) []byte {
			if k := a.named(name); k != nil {
				return k.session
			}
			return nil
		}, time.Now())
		if ok && !s.ended.has(n.id) {
			return caller{name: n.token, scopes: a.named(n.token).scopes, session: n.id, expires: n.expires}, true
		}
	}
	return caller{}, false
}

// sessionRoutes say who the caller is, and sign browsers in.
type sessionRoutes struct{ *Server }

const tagSessions = "sessions"

// add registers the operations.
func (s sessionRoutes) add(api huma.API) {
	register(s.Server, api, scopes{config.ScopeRead}, huma.Operation{
		OperationID: "session", Method: http.MethodGet, Path: "/api/v1/session", Tags: []string{tagSessions},
		Summary: "Who the caller is", Description: "And what it may do.",
	}, s.session)
	register(s.Server, api, scopes{config.ScopeConfigure}, huma.Operation{
		OperationID: "sign-in-link", Method: http.MethodPost, Path: "/api/v1/sign-in-links", Tags: []string{tagSessions},
		Summary: "Make a link that signs a browser in, once", Description: "As the caller, within ten minutes.",
	}, s.link)
}

func (s sessionRoutes) session(ctx context.Context, _ *struct{}) (*answer[interapp.Session], error) {
	c := callerOf(ctx)
	out := interapp.Session{Name: c.name, Scopes: []string{}, Browser: c.session != "", Expires: interapp.TimeOrNull(c.expires)}
	if c.open {
		out.Name, c.scopes = operator, allScopes()
	}
	for _, scope := range c.scopes {
		out.Scopes = append(out.Scopes, string(scope))
	}
	return &answer[interapp.Session]{out}, nil
}

func (s sessionRoutes) link(ctx context.Context, _ *struct{}) (*answer[interapp.SignInLink], error) {
	r := requestOf(ctx)
	base := "http://" + r.Host
	if r.TLS != nil {
		base = "https://" + r.Host
	}
	l, err := s.SignInLink(callerOf(ctx).name, base)
	return &answer[interapp.SignInLink]{l}, err
}
