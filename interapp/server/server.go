package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
	"sftpconnector/space"
	"sftpconnector/space/authdelay"
	"sftpconnector/sync/ledger"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// Options are what a Server is made of. Set is needed, the rest is not.
type Options struct {
	Set      *connector.Set
	Requests *requests.Service // nil: no requests, no subscriptions
	Spaces   *space.Spaces     // whose connectors are in Set; nil: no uploads are received
	Ledger   *ledger.Ledger    // that has the audit; nil: there is none
	Server   config.Server     // its tokens; see SetServer
	Pages    http.Handler      // answers what is not the API's; nil: there are no pages
	// Configuration is the configuration file; nil: there is none.
	Configuration Configuration
	Version       string   // of the program
	Metrics       *Metrics // that hear of every pass; nil: passes are not timed
	Events        *Events  // that hear of everything; nil: only progress is told
	Log           *slog.Logger
	Pprof         bool // serve /debug/pprof/
}

// Server is the http.Handler of the daemon. What it answers is in types over it, one a
// resource and each in its file: connectorRoutes, requestRoutes and so on.
type Server struct {
	set          *connector.Set
	requests     *requests.Service
	spaces       *space.Spaces
	ledger       *ledger.Ledger
	refusals     refusals
	authFailures authFailures
	metrics      *Metrics
	pages        http.Handler
	ended        endedSessions
	links        links
	events       *Events
	// configuration is nil where there is no file.
	configuration Configuration
	log           *slog.Logger
	mux           *http.ServeMux
	handler       http.Handler // mux behind the guards
	access        atomic.Pointer[access]
	serving       context.Context // until the http.Server shuts down
	end           context.CancelFunc
}

// New makes a Server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(o.Version)
	}
	if o.Events == nil {
		o.Events = NewEvents()
	}
	s := &Server{set: o.Set, requests: o.Requests, spaces: o.Spaces, ledger: o.Ledger, events: o.Events, log: o.Log, mux: http.NewServeMux(), metrics: o.Metrics, pages: o.Pages, configuration: o.Configuration}
	s.authFailures.failures = authdelay.New()
	s.serving, s.end = context.WithCancel(context.Background())
	s.SetServer(o.Server)
	s.describe(o.Version)
	s.mux.Handle("GET /metrics", s.require(config.ScopeRead, o.Metrics.handler(o.Set, o.Spaces, o.Log)))
	if o.Pprof {
		s.mux.Handle("/debug/pprof/", s.require(config.ScopeConfigure, http.HandlerFunc(pprof.Index)))
		s.mux.Handle("/debug/pprof/cmdline", s.require(config.ScopeConfigure, http.HandlerFunc(pprof.Cmdline)))
		s.mux.Handle("/debug/pprof/profile", s.require(config.ScopeConfigure, http.HandlerFunc(pprof.Profile)))
		s.mux.Handle("/debug/pprof/symbol", s.require(config.ScopeConfigure, http.HandlerFunc(pprof.Symbol)))
		s.mux.Handle("/debug/pprof/trace", s.require(config.ScopeConfigure, http.HandlerFunc(pprof.Trace)))
	}
	s.mux.HandleFunc("GET "+pathSFTPCredentials, credentialRoutes{s}.sftpCredentials)
	s.mux.HandleFunc("GET "+pathSignIn, s.signInByLink)
	s.mux.HandleFunc("POST "+pathSignIn, s.signInByToken)
	s.mux.HandleFunc("POST "+pathSignOut, s.signOut)
	s.mux.HandleFunc("/", s.page)
	s.handler = s.observe(s.identify(s.audit(s.guard(s.mux))))
	return s
}

// SetServer goes over to the tokens, the trusted proxies and the public URL of another
// configuration, at once and for all requests that come after. Sessions of tokens that
// went end. A stream of events whose caller may not read any
// more ends within a second. Listen and TLS are the listener's business.
func (s *Server) SetServer(c config.Server) { s.access.Store(newAccess(c)) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// NewHTTPServer makes the http.Server for s, with limits on what a client may
// take its time for. An answer may take as long as an Apply may be waited for.
// Its Shutdown ends the streams of events.
func NewHTTPServer(s *Server) *http.Server {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      interapp.MaxWait + answerTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	h.RegisterOnShutdown(s.end)
	return h
}

// How long a client may take to send its request, and to take an answer.
const (
	bodyTimeout   = 30 * time.Second
	answerTimeout = time.Minute
)
