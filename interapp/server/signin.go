package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sftpconnector/interapp"
)

const (
	pathSignIn  = "/sign-in"
	pathSignOut = "/sign-out"

	linkTime = 10 * time.Minute // that a link serves
	maxLinks = 100              // that serve at a time; the oldest goes
)

// links sign a browser in, once each.
type links struct {
	mu    sync.Mutex
	known []link // the oldest first
}

// link signs in as a token, for as long as that is the one that made it.
type link struct {
	code    string
	token   string
	hash    [sha256.Size]byte // of the token
	expires time.Time
}

func (l *links) add(k *token, now time.Time) link {
	code := make([]byte, 24)
	rand.Read(code)
	n := link{base64.RawURLEncoding.EncodeToString(code), k.name, k.hash, now.Add(linkTime)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) == maxLinks {
		l.known = l.known[1:]
	}
	l.known = append(l.known, n)
	return n
}

// take gives a link that serves, which it does not from then on.
func (l *links) take(code string, now time.Time) (n link, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, n := range l.known {
		if n.code == code {
			l.known = append(l.known[:i:i], l.known[i+1:]...)
			return n, now.Before(n.expires)
		}
	}
	return link{}, false
}

// SignInLink makes a link that signs a browser in as the token, once and within ten
// minutes. It leads to server.public_url, or where that is not set, to base.
func (s *Server) SignInLink(token, base string) (interapp.SignInLink, error) {
	a := s.access.Load()
	k := a.named(token)
	if k == nil {
		return interapp.SignInLink{}, huma.Error409Conflict("nobody has to sign in here")
	}
	u := a.public
	if u == nil {
		var err error
		if u, err = url.Parse(base); err != nil {
			return interapp.SignInLink{}, fmt.Errorf("sign-in link: %w", err)
		}
	}
	n := s.links.add(k, time.Now())
	u = u.JoinPath("sign-in")
	u.RawQuery = url.Values{"link": {n.code}}.Encode()
	return interapp.SignInLink{URL: u.String(), Expires: n.expires.UTC()}, nil
}

// signInByLink answers GET /sign-in: a link signs in; without one it is a page. Who is
// signed in and follows a link again, as a browser does that restores a tab, stays so.
func (s *Server) signInByLink(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("link")
	if code == "" || r.Method != http.MethodGet { // a HEAD is somebody's look at the link
		s.page(w, r)
		return
	}
	n, ok := s.links.take(code, time.Now())
	k := s.access.Load().named(n.token)
	if !ok || k == nil || k.hash != n.hash {
		if callerOf(r.Context()).name != "" {
			seeOther(w, "./")
			return
		}
		s.refused(r, tokenRefused)
		seeOther(w, "sign-in?failed=link")
		return
	}
	noteCaller(r.Context(), k.name)
	s.signIn(w, r, k)
	seeOther(w, "./")
}

// signInByToken answers POST /sign-in, the form with the token.
func (s *Server) signInByToken(w http.ResponseWriter, r *http.Request) {
	idly(r, func() { _ = r.ParseForm() }) // what is no form has no token
	next := relative(r.PostFormValue("next"))
	k := s.access.Load().known(strings.TrimSpace(r.PostFormValue("token")))
	if k == nil {
		s.refused(r, tokenRefused)
		seeOther(w, "sign-in?"+url.Values{"failed": {"1"}, "next": {next}}.Encode())
		return
	}
	noteCaller(r.Context(), k.name)
	s.signIn(w, r, k)
	seeOther(w, "./"+next)
}

// signOut ends the session of the cookie.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	if c := callerOf(r.Context()); c.session != "" {
		s.ended.add(c.session)
	}
	s.setCookie(w, r, "", time.Unix(0, 0))
	seeOther(w, "sign-in")
}

// relative is where a sign-in leads on to: a path below the root of the pages, or "".
// It cannot lead to another host.
func relative(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Fragment != "" || strings.HasPrefix(next, "/") ||
		strings.ContainsFunc(next, func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f }) || strings.Contains(u.Path, "..") {
		return ""
	}
	return next
}

// seeOther leads on to an address that is relative to the request's: behind a proxy the
// path is not known. http.Redirect would make it absolute.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}

// page answers what is not the API's: by the pages, for who is signed in. Who is not is
// led to sign in; that page and the assets are open.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	if s.pages == nil || strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/v1/") {
		s.nothing(w, r)
		return
	}
	c := callerOf(r.Context())
	if c.open || c.name != "" || r.URL.Path == pathSignIn || strings.HasPrefix(r.URL.Path, "/assets/") {
		s.pages.ServeHTTP(w, r)
		return
	}
	if c.wrong {
		s.unauthorized(w, r, c, nil)
		return
	}
	deep := strings.Count(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	to := strings.Repeat("../", deep) + "sign-in"
	if next := strings.TrimPrefix(r.URL.RequestURI(), "/"); next != "" && r.Method == http.MethodGet {
		to += "?" + url.Values{"next": {next}}.Encode()
	}
	seeOther(w, to)
}

// requestKey is the context's key of the request that is answered.
type requestKey struct{}

// requestOf gives the request by the context of its operation, for what huma does not read.
func requestOf(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	return r
}
