package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"sftpconnector/space/authdelay"
)

// maxHeld is how many answers to wrong secrets are held back at a time. Any more go
// out at once, to bound the memory that they take.
const maxHeld = 64

// authFailures delays the answers to wrong tokens and wrong secret keys, by address.
// A right one is never delayed.
type authFailures struct {
	failures *authdelay.Failures
	held     atomic.Int64
}

// add counts a failure of an address, and gives how long its answer is to be held back,
// and whether it is one of a flood.
func (f *authFailures) add(address string) (hold time.Duration, flood bool) {
	at, _ := netip.ParseAddr(address) // all that are no IP count as one
	source := authdelay.PrefixOf(at)
	hold = f.failures.Add(source)
	return hold, f.failures.AtMaxDelay(source)
}

// hold waits for d, unless maxHeld answers wait already, or one of the ends comes
// first.
func (f *authFailures) hold(d time.Duration, gone, ended <-chan struct{}) {
	defer f.held.Add(-1)
	if f.held.Add(1) > maxHeld || d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-ended:
	}
}

// refused logs and counts a wrong secret, and holds its answer back. The line of the log
// is what fail2ban reads (docs/operating.md); a flood goes to the debug level.
func (s *Server) refused(r *http.Request, message string) {
	address := s.clientAddress(r)
	hold, flood := s.authFailures.add(address)
	level := slog.LevelInfo
	if flood {
		level = slog.LevelDebug
	}
	s.log.Log(context.WithoutCancel(r.Context()), level, message, "address", address)
	s.metrics.refusals.WithLabelValues(message).Inc()
	idly(r, func() { s.authFailures.hold(hold, r.Context().Done(), s.serving.Done()) })
}

// What is logged of wrong secrets.
const (
	tokenRefused       = "token refused"
	credentialsRefused = "credentials refused"
)
