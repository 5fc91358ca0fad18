package sftptest

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Faulty is an SFTP server inside the test, over a directory on disk, with
// switches for what servers do wrong. Its methods may be called at any time
// from any goroutine.
type Faulty struct {
	Endpoint

	tb     testing.TB
	faults atomic.Pointer[Faults]
	keys   []Key
	deaths atomic.Int64 // since the last Set
	stored atomic.Int64 // bytes of WRITEs
	hold   atomic.Pointer[Hold]

	mu       sync.Mutex
	counts   Counts
	listener net.Listener
	writers  map[string]int // how often files are open for writing
	conns    map[*conn]bool
	running  *sync.WaitGroup // every goroutine since the last Restart
}

// Counts is what a Faulty server has seen.
type Counts struct {
	Connections, OpenConnections, PeakConnections int
	Logins, FailedLogins                          int
	Channels, PeakChannels                        int // session channels; the peak is that of one connection
	Requests                                      int // of SFTP, all kinds
	PeakOpenFiles                                 int // of one connection
	BytesRead                                     int64
	Ops                                           map[Op]int
}

// StartFaulty starts a Faulty server on a free port of loopback.
func StartFaulty(tb testing.TB, f Faults) *Faulty {
	tb.Helper()
	keys := HostKeys(tb)
	if f.HostKeys != nil {
		keys = f.HostKeys
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	s := &Faulty{
		Endpoint: newEndpoint(tb, workDir(tb), l.Addr().(*net.TCPAddr).Port, signers(keys)),
		tb:       tb,
		keys:     keys,
		counts:   Counts{Ops: map[Op]int{}},
		writers:  map[string]int{},
	}
	s.User, s.Password = "collector", randomPassword()
	s.faults.Store(&f)
	s.serve(l)
	tb.Cleanup(s.Stop)
	return s
}

// Set flips switches: it hands change a copy of them, and what change leaves holds.
func (s *Faulty) Set(change func(f *Faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := *s.faults.Load()
	change(&f)
	s.deaths.Store(0)
	s.faults.Store(&f)
}

// Counts gives what was counted since the start or the last ResetCounts.
func (s *Faulty) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.OpenConnections = len(s.conns)
	c.Ops = map[Op]int{}
	for op, n := range s.counts.Ops {
		c.Ops[op] = n
	}
	return c
}

// ResetCounts starts the counts again from zero.
func (s *Faulty) ResetCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts = Counts{Ops: map[Op]int{}}
}

func (s *Faulty) count(change func(c *Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}

// Cut closes every connection and goes on listening.
func (s *Faulty) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Freeze makes every connection that is open now fall silent, as when the
// network is gone; Thaw lets them go on.
func (s *Faulty) Freeze() { s.eachConn((*conn).freeze) }

// Thaw ends a Freeze.
func (s *Faulty) Thaw() { s.eachConn((*conn).thaw) }

func (s *Faulty) eachConn(do func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		do(c)
	}
}

// Stop ends the server with all of its connections; new ones are refused.
func (s *Faulty) Stop() {
	s.tb.Helper()
	s.mu.Lock()
	l, running := s.listener, s.running
	s.listener = nil
	s.mu.Unlock()
	if l == nil {
		return
	}
	l.Close()
	s.Cut()
	ended := make(chan struct{})
	go func() {
		running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		s.tb.Errorf("sftptest: the server at %s did not end within %v: is a callback stuck?", s.Addr, stopTimeout)
	}
}

// Restart listens again on the same port, after a Stop if the server runs.
func (s *Faulty) Restart() {
	s.tb.Helper()
	s.Stop()
	l, err := net.Listen("tcp", s.Addr)
	must(s.tb, err)
	s.serve(l)
}

func (s *Faulty) serve(l net.Listener) {
	running := &sync.WaitGroup{}
	s.mu.Lock()
	s.listener, s.running, s.conns = l, running, map[*conn]bool{}
	s.mu.Unlock()
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			c := s.admit(nc, l)
			if c == nil {
				nc.Close()
				continue
			}
			running.Go(func() {
				c.serve()
				c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
	})
}

// admit registers a connection, or gives nil for one too many, and for one
// that was accepted while the server was being stopped.
func (s *Faulty) admit(nc net.Conn, l net.Listener) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Connections++
	limit := s.faults.Load().MaxConnections
	if s.listener != l || limit > 0 && len(s.conns) >= limit {
		return nil
	}
	c := newConn(s, nc)
	s.conns[c] = true
	s.counts.PeakConnections = max(s.counts.PeakConnections, len(s.conns))
	return c
}

// String names the server in a test's messages.
func (s *Faulty) String() string { return fmt.Sprintf("faulty server at %s", s.Addr) }

// writing counts the files that are open for writing by one more or less, and
// gives how often this one is.
func (s *Faulty) writing(path string, more int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writers[path] += more
	n := s.writers[path]
	if n == 0 {
		delete(s.writers, path)
	}
	return n
}
