package sftpd

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/tcpport"
)

const defaultHandles = 1000

// Options say what is served, to whom, and how.
type Options struct {
	// Root is the directory that is served. No link leads out of it.
	Root string
	// User logs in with Password, unless it is empty, or with Key, unless it is nil.
	User, Password string
	Key            ssh.PublicKey
	// HostKey is the server's; nil: an Ed25519 key is made.
	HostKey ssh.Signer
	// Listen is host:port; empty is a free port of loopback.
	Listen string
	// Without are extensions that are not offered: PosixRename, Fsync, …
	Without []string
	// MaxHandles bounds the handles of a session; 0: 1000.
	MaxHandles int
	// Seed is of all that happens by chance.
	Seed uint64
}

// Server is a server that runs, or was stopped. Its methods may be called from
// any goroutine.
type Server struct {
	options Options
	root    *os.Root
	port    *tcpport.Port
	faults  *faults

	switching sync.Mutex // held while the server is started or stopped; never with mu
	running   *run       // nil while it is stopped

	mu             sync.Mutex
	password       string
	hostKey        ssh.Signer
	refuseLogins   bool
	refuseSessions bool
	maxSessions    int
	onChange       func(Change)
}

// Start starts a server. It ends with Close.
func Start(o Options) (*Server, error) {
	if o.MaxHandles == 0 {
		o.MaxHandles = defaultHandles
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.HostKey == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		if o.HostKey, err = ssh.NewSignerFromKey(key); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, fmt.Errorf("start SFTP server: %w", err)
	}
	p, err := tcpport.Reserve(o.Listen)
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("start SFTP server: %w", err)
	}
	s := &Server{options: o, root: root, port: p, faults: newFaults(o.Seed), password: o.Password, hostKey: o.HostKey}
	if err := s.StartAgain(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Addr is where the server listens: host:port. It stays the same.
func (s *Server) Addr() string { return s.port.Addr() }

// HostKey is the server's key now.
func (s *Server) HostKey() ssh.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hostKey.PublicKey()
}

// Stop refuses connections and ends those that are open. It returns when all of
// them have ended. A stopped server stays stopped until StartAgain.
func (s *Server) Stop() {
	s.switching.Lock()
	defer s.switching.Unlock()
	if s.running != nil {
		s.running.stop()
		s.running = nil
	}
}

// StartAgain starts a server that was stopped, at the same address.
func (s *Server) StartAgain() error {
	s.switching.Lock()
	defer s.switching.Unlock()
	if s.running != nil {
		return nil
	}
	listener, err := s.port.Listen(context.Background())
	if err != nil {
		return fmt.Errorf("start SFTP server: %w", err)
	}
	s.running = serve(s, listener)
	return nil
}

// Restart stops the server and starts it again after a while.
func (s *Server) Restart(ctx context.Context, down time.Duration) error {
	s.Stop()
	timer := time.NewTimer(down)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.StartAgain()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops the server for good.
func (s *Server) Close() error {
	s.Stop()
	return errors.Join(s.port.Close(), s.root.Close())
}

// SetPassword changes what opens logins to come.
func (s *Server) SetPassword(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

// SetHostKey changes the key that connections to come are shown.
func (s *Server) SetHostKey(key ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKey = key
}

// RefuseLogins refuses all logins, right ones, too, or does not any more.
func (s *Server) RefuseLogins(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseLogins = refuse
}

// RefuseSessions refuses all channels, after the login, or does not any more.
func (s *Server) RefuseSessions(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseSessions = refuse
}

// MaxSessions bounds the channels of a connection, for channels to come; 0 is
// any number.
func (s *Server) MaxSessions(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxSessions = n
}

func (s *Server) offers(extension string) bool {
	return !slices.Contains(s.options.Without, extension)
}

// mayOpen says whether a connection with so many channels may have one more.
func (s *Server) mayOpen(sessions int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.refuseSessions && (s.maxSessions == 0 || sessions < s.maxSessions)
}
