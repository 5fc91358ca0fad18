package server

import (
	"io"
	"log/slog"
	"net/http"

	"sftpconnector/space/authdelay"
)

// Panicking is a Server with nothing but handlers that panic.
func Panicking(log io.Writer) http.Handler {
	s := &Server{log: slog.New(slog.NewTextHandler(log, nil))}
	return s.observe(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		panic("out of cheese")
	}))
}

// Held is how many refusals are held back.
func Held(s *Server) int { return int(s.authFailures.held.Load()) }

// End is what the shutdown of the http.Server does to s.
func End(s *Server) { s.end() }

// Actions are the words of the audit, by routes.
func Actions() map[string]string { return actions() }

// ForgetFailures has the next wrong secret answered at once.
func ForgetFailures(s *Server) { s.authFailures.failures = authdelay.New() }

// Open is how many connections l counts.
func Open(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}
