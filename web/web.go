// Package web is the daemon's pages. They are a client of the API: each page asks it in
// memory, with the credentials that came with the page's own request, and can do what its
// caller may do by the API, and nothing else.
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sftpconnector/interapp"
)

//go:embed templates/*.html
var templates embed.FS

// policy lets a page load what this program serves, and nothing else. Neither scripts nor
// styles may stand in a page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxForm bounds a form, in bytes: the text of a configuration fits.
const maxForm = 4 << 20

// Options are what Pages are made of.
type Options struct {
	API     http.Handler // asked in memory for all that pages show and do
	Version string       // of the program
}

// Pages is the http.Handler of all that is not the API's.
type Pages struct {
	api       http.Handler
	version   string
	mux       *http.ServeMux
	assets    assets
	templates map[string]*template.Template
	drafts    *drafts
	gzips     sync.Pool
	now       func() time.Time
}

// New makes the pages.
func New(o Options) *Pages {
	p := &Pages{api: o.API, version: o.Version, mux: http.NewServeMux(), assets: loadAssets(), drafts: newDrafts(), now: time.Now}
	p.gzips.New = func() any {
		z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // a level that there is
		return z
	}
	p.templates = p.parse()
	p.routes()
	return p
}

// routes says which page is where. A GET shows, a POST changes and leads on to a page.
func (p *Pages) routes() {
	for pattern, h := range map[string]handler{
		"GET /{$}":           overview,
		"GET /add":           addConnector,
		"POST /add":          reviewConnector,
		"POST /add/confirm":  confirmConnector,
		"GET /configuration": configuration,
		"GET /audit":         audit,
		"GET /docs":          docs,
		"GET /sign-in":       signIn,
		"GET /requests":      requests,
		"GET /requests/{id}": request,

		"GET /connectors/{name}":               general,
		"GET /connectors/{name}/configuration": connectorConfiguration,
		"GET /connectors/{name}/files":         files,
		"GET /connectors/{name}/listing":       listing,
		"GET /connectors/{name}/passes":        passes,
		"GET /connectors/{name}/requests":      connectorRequests,
		"GET /connectors/{name}/host-key":      hostKey,
		"GET /connectors/{name}/remove":        removal,
		"GET /spaces/{id}":                     space,

		"POST /connectors/{name}/apply":         apply,
		"POST /connectors/{name}/check":         check,
		"POST /connectors/{name}/save":          review,
		"POST /connectors/{name}/confirm":       confirm,
		"POST /connectors/{name}/pause":         pause,
		"POST /connectors/{name}/resume":        resume,
		"POST /connectors/{name}/trust":         trust,
		"POST /connectors/{name}/schedule":      setSchedule,
		"POST /connectors/{name}/schedule/file": fileSchedule,
		"POST /connectors/{name}/retry":         retry,
		"POST /connectors/{name}/requests":      startRequest,
		"POST /connectors/{name}/subscriptions": subscriptions,
		"POST /connectors/{name}/remove":        remove,
		"POST /spaces/{id}/credentials":         newCredentials,
		"POST /spaces/{id}/revoke":              revoke,
		"POST /spaces/{id}/retry":               retrySpace,
		"POST /requests/{id}/cancel":            cancelRequest,
		"POST /requests/{id}/send":              sendReply,
		"POST /configuration/reload":            reload,

		// The addresses of what a POST answered, for who loads them again.
		"GET /connectors/{name}/{action}": afterPost,
		"GET /spaces/{id}/{action}":       afterPost,

		"/": nothing,
	} {
		p.mux.HandleFunc(pattern, p.serve(h))
	}
	p.mux.Handle("GET /assets/{file}", p.assets)
}

// ServeHTTP implements http.Handler.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	p.mux.ServeHTTP(w, r)
}

// handler answers one route. An error of the API becomes a page that says it.
type handler func(a *ask) error

// ask is one request for a page.
type ask struct {
	*http.Request
	pages *Pages
	w     http.ResponseWriter
	api   *interapp.Client
	view  view
}

// view is what every page has; Data is what the page is about.
type view struct {
	Base    string // leads from here to the overview
	Here    string // this page, seen from the overview
	Title   string
	Tab     string // which entry of the navigation it is
	Failing bool   // the icon says that something needs attention
	Live    string // events of which connector change it; "*": of all; "": none
	Files   bool   // and files that arrive
	Now     time.Time
	Session interapp.Session
	Version string
	Notice  string
	Data    any
}

// Can reports whether the caller has the scope: what it may not do is not shown.
func (v view) Can(scope string) bool { return slices.Contains(v.Session.Scopes, scope) }

// Asset gives the address of an asset, seen from the page.
func (p *Pages) asset(name string) string { return "assets/" + p.assets.names[name] }

// serve makes an http.HandlerFunc of a handler.
func (p *Pages) serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		a := &ask{Request: r, pages: p, w: w, api: newClient(p.api, r)}
		a.view = view{Base: base(r.URL.EscapedPath()), Here: here(r), Now: p.now(), Version: p.version, Notice: notices[r.URL.Query().Get("done")]}
		err := a.identify()
		if err == nil && r.Method == http.MethodPost {
			err = a.ParseForm()
		}
		if err == nil {
			err = h(a)
		}
		if err != nil {
			a.fail(err)
		}
	}
}

// identify finds out who asks. A server that does not say lets everybody do everything.
func (a *ask) identify() error {
	var err error
	a.view.Session, err = a.api.Session(a.Context())
	switch status(err) {
	case http.StatusNotFound:
		a.view.Session = interapp.Session{Scopes: []string{"read", "request", "apply", "configure"}}
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil // the page itself may be open, as sign-in is
	}
	return err
}

// base leads from a path to the root of the pages: relative, as a proxy may have them
// below a path that is not known here.
func base(escapedPath string) string {
	deep := strings.Count(strings.TrimPrefix(escapedPath, "/"), "/")
	if deep == 0 {
		return "./"
	}
	return strings.Repeat("../", deep)
}

// here is the page of a request, seen from the root of the pages, for the way back to it.
func here(r *http.Request) string {
	path := strings.TrimLeft(r.URL.EscapedPath(), "/")
	if r.Method == http.MethodGet && r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	return path
}

// redirect leads to another page, seen from the root of the pages. The outcome is one of
// notices, so that no address makes a page say what its author likes.
func (a *ask) redirect(to, outcome string) error {
	if outcome != "" {
		by := "?"
		if strings.Contains(to, "?") {
			by = "&"
		}
		to += by + "done=" + outcome
	}
	a.w.Header().Set("Location", a.view.Base+to) // http.Redirect would make it absolute
	a.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// show draws a page.
func (a *ask) show(code int, name, title string, data any) error {
	a.view.Title, a.view.Data = title, data
	if a.Method == http.MethodPost {
		a.view.Live = "" // the page is an answer, which cannot be fetched again
	}
	t, ok := a.pages.templates[name]
	if !ok {
		return fmt.Errorf("there is no template %s", name)
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, "layout.html", a.view); err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	h := a.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Vary", "Accept-Encoding")
	if name == "credentials" || !takesGzip(a.Request) { // the length of a secret's page tells nothing
		a.w.WriteHeader(code)
		_, _ = a.w.Write(out.Bytes()) // the browser may be gone
		return nil
	}
	h.Set("Content-Encoding", "gzip")
	a.w.WriteHeader(code)
	z := a.pages.gzips.Get().(*gzip.Writer)
	defer a.pages.gzips.Put(z)
	z.Reset(a.w)
	_, _ = z.Write(out.Bytes())
	_ = z.Close()
	return nil
}

func takesGzip(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
}

// fail draws an error: a sign-in for who is not known, else what the API says.
func (a *ask) fail(err error) {
	code := status(err)
	if code == http.StatusUnauthorized && a.Method == http.MethodGet {
		_ = a.redirect("sign-in?next="+queryEscape(a.view.Here), "")
		return
	}
	if code == 0 {
		code = http.StatusInternalServerError
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		code = http.StatusRequestEntityTooLarge
	}
	detail := err.Error()
	if p, ok := errors.AsType[*interapp.Problem](err); ok {
		detail = p.Error()
	}
	a.view.Live = ""
	if err := a.show(code, "error", http.StatusText(code), failure{code, detail}); err != nil {
		http.Error(a.w, err.Error(), http.StatusInternalServerError)
	}
}

// failure is what the page of an error has.
type failure struct {
	Code   int
	Detail string
}

// nothing answers where no page is.
// afterPost leads who loads the address of a form's answer to the page of the form.
func afterPost(a *ask) error {
	post := a.Clone(a.Context())
	post.Method = http.MethodPost
	if _, pattern := a.pages.mux.Handler(post); pattern == "/" {
		return nothing(a)
	}
	at := strings.TrimLeft(a.URL.EscapedPath(), "/")
	return a.redirect(at[:strings.LastIndexByte(at, '/')], "")
}

func nothing(a *ask) error {
	return &interapp.Problem{Status: http.StatusNotFound, Title: "Not Found", Detail: "There is no page at this address."}
}

// status gives the HTTP status of an error of the API; 0 for nil and for other errors.
func status(err error) int {
	if p, ok := errors.AsType[*interapp.Problem](err); ok {
		return p.Status
	}
	return 0
}

// optional takes an answer that there may not be: a daemon may have no Spaces, or no
// configuration file. It gives whether there is one, and the other errors.
func optional(err error) (bool, error) {
	if status(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}
