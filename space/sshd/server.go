package sshd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/backoff"
	"sftpconnector/space/authdelay"
)

// Options say who may log in, and how many. Zero numbers and durations stand for the
// default that is given with each.
type Options struct {
	// HostKeys has an Ed25519, an ECDSA and an RSA key. Missing ones are made.
	HostKeys HostKeys

	// Authenticate reports whether the password opens the Space. It is called
	// concurrently, also for Spaces that do not exist, and should take the same time
	// for every answer. The address is the client's IP. The password is overwritten
	// after the call. ctx ends with the connection.
	Authenticate func(ctx context.Context, space, address string, password []byte) bool
	// AuthenticateKey is the same for a public key; nil: no keys. The server then
	// checks that the client has the private key.
	AuthenticateKey func(ctx context.Context, space string, key ssh.PublicKey) bool
	// Handlers gives the files of a Space, once for each SFTP session. They are
	// called concurrently. A panic in one ends the session, not the program.
	Handlers func(space string) (sftp.Handlers, error)

	MaximumConnections         int // logged in: 500
	MaximumConnectionsPerSpace int // logged in: 100
	// How many may log in at a time. Four times as many wait, and take the place of
	// clients that failed, or did nothing for some seconds.
	MaximumUnauthenticated           int // 256
	MaximumUnauthenticatedPerAddress int // 64; an IPv6 address is its /64
	// Open files and directories: of a connection, of a Space, and of all.
	MaximumOpenFiles         int // 256
	MaximumOpenFilesPerSpace int // 1,024
	MaximumOpenFilesInAll    int // 4,096

	// Descriptors lowers these numbers to what so many file descriptors suffice for; 0:
	// they are as they are.
	Descriptors int

	// Handshake is how long a client may take until it is logged in: 2 minutes, as in
	// OpenSSH. People need it to compare a fingerprint and find a password.
	Handshake time.Duration
	// Idle closes a session without requests and answers for so long: 15 minutes. A
	// keepalive of the client counts as a request. Its answer to ours does not.
	Idle time.Duration
	// Keepalive is how often the server asks whether the client is alive: 30 s. A
	// client that is silent for three times that is taken for dead.
	Keepalive time.Duration
	// Grace is how long a session may go on writing its open files when the server
	// stops: 5 s.
	Grace time.Duration

	Log *slog.Logger // nil: none
	// OnEvent receives logins and ends; may be nil. It is called concurrently and must
	// not block.
	OnEvent func(Event)
}

func (o Options) withDefaults() Options {
	o.MaximumConnections = cmp.Or(o.MaximumConnections, 500)
	o.MaximumConnectionsPerSpace = cmp.Or(o.MaximumConnectionsPerSpace, 100)
	o.MaximumUnauthenticated = cmp.Or(o.MaximumUnauthenticated, 256)
	o.MaximumUnauthenticatedPerAddress = cmp.Or(o.MaximumUnauthenticatedPerAddress, 64)
	o.MaximumOpenFiles = cmp.Or(o.MaximumOpenFiles, 256)
	o.MaximumOpenFilesPerSpace = cmp.Or(o.MaximumOpenFilesPerSpace, 1024)
	o.MaximumOpenFilesInAll = cmp.Or(o.MaximumOpenFilesInAll, 4096)
	if o.Descriptors > 0 {
		o.fit()
	}
	o.Handshake = cmp.Or(o.Handshake, 2*time.Minute)
	o.Idle = cmp.Or(o.Idle, 15*time.Minute)
	o.Keepalive = cmp.Or(o.Keepalive, 30*time.Second)
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	return o
}

// fit divides the descriptors: five of sixteen for clients that log in, most of which
// wait, four for those that have, and seven for their files.
func (o *Options) fit() {
	lower := func(n *int, to int) { *n = max(1, min(*n, to)) }
	lower(&o.MaximumUnauthenticated, o.Descriptors*5/16/(1+waitingPerActive))
	lower(&o.MaximumUnauthenticatedPerAddress, o.MaximumUnauthenticated/2)
	lower(&o.MaximumConnections, o.Descriptors*4/16)
	lower(&o.MaximumConnectionsPerSpace, o.MaximumConnections)
	lower(&o.MaximumOpenFilesInAll, o.Descriptors*7/16)
}

// Server accepts clients and serves them. Its methods may be called concurrently.
type Server struct {
	options  Options
	config   ssh.ServerConfig // without callbacks: these belong to a connection
	keys     []ssh.PublicKey
	logins   *loginQueue
	failures *authdelay.Failures
	open     openFiles

	refusing    atomic.Int64 // clients that are being refused after their login
	lastWarning atomic.Int64 // when warnTooManyLogins last warned, in Unix seconds

	mu       sync.Mutex
	sessions map[*session]struct{}
	cuts     map[string]int // by Space: how often its sessions were cut
}

// New reads the host keys, or makes them.
func New(o Options) (*Server, error) {
	if o.Authenticate == nil || o.Handlers == nil {
		return nil, errors.New("sshd: Authenticate and Handlers are needed")
	}
	o = o.withDefaults()
	signers, err := loadHostKeys(o.HostKeys)
	if err != nil {
		return nil, err
	}
	s := &Server{
		options:  o,
		config:   baseConfig(),
		logins:   newLoginQueue(o.MaximumUnauthenticated, o.MaximumUnauthenticatedPerAddress),
		failures: authdelay.New(),
		sessions: map[*session]struct{}{},
		cuts:     map[string]int{},
		open: openFiles{
			perConnection: o.MaximumOpenFiles, perSpace: o.MaximumOpenFilesPerSpace, total: o.MaximumOpenFilesInAll,
			spaces: map[string]int{},
		},
	}
	for _, k := range signers {
		s.config.AddHostKey(k)
		s.keys = append(s.keys, k.PublicKey())
	}
	return s, nil
}

// HostKeys are the keys that clients are shown, Ed25519 first.
func (s *Server) HostKeys() []ssh.PublicKey { return slices.Clone(s.keys) }

// Sessions lists the clients that are logged in, the longest first.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Session
	for one := range s.sessions {
		all = append(all, one.info())
	}
	slices.SortFunc(all, func(a, b Session) int { return a.Since.Compare(b.Since) })
	return all
}

// Disconnect cuts the sessions of a Space, such as after its password was revoked, and
// gives their number. Clients that Authenticate let in before do not get a session any
// more.
func (s *Server) Disconnect(space string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts[space]++
	n := 0
	for one := range s.sessions {
		if one.space == space {
			one.cut(EndDisconnected)
			n++
		}
	}
	return n
}

// grantOf is the grant of a Space to a client that logs in now.
func (s *Server) grantOf(space string) grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return grant{space, s.cuts[space]}
}

// Serve serves the clients that connect to l, until ctx ends. Then it closes l, lets
// sessions finish what they write for Options.Grace, waits until all are gone, and
// gives nil. It gives an error when l fails.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var connections sync.WaitGroup
	err := s.accept(ctx, l, func(c net.Conn) {
		connections.Go(func() { s.serveConn(ctx, c) })
	})
	cancel()
	connections.Wait()
	return err
}

// accept accepts connections until ctx ends or the listener is closed. It goes on after
// other errors, such as too many open files.
func (s *Server) accept(ctx context.Context, l net.Listener, serve func(net.Conn)) error {
	failures := 0 // in a row
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			failures = 0
			serve(c)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		failures++
		s.options.Log.Error("a connection could not be accepted", "err", err)
		select {
		case <-time.After(backoff.Listen.Wait(failures)):
		case <-ctx.Done():
			return nil
		}
	}
}

// serveConn serves one connection from its first byte to its last.
func (s *Server) serveConn(ctx context.Context, raw net.Conn) {
	defer raw.Close()
	defer func() {
		if p := recover(); p != nil {
			s.options.Log.Error("panic in an SSH connection", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	c := newClient(ctx, raw, s.options.Handshake)
	defer c.release()
	defer s.logins.remove(c)
	if !s.logins.wait(c) {
		if c.dropped.Load() {
			s.logRefused(c, &refusedError{err: errTooManyLogins})
		}
		return
	}
	conn, channels, requests, err := s.login(c)
	if err != nil {
		s.logRefused(c, err)
		return
	}
	one := newSession(s, c, conn)
	if why := s.addSession(one); why != "" {
		s.refuse(one, why, channels, requests)
		return
	}
	defer s.removeSession(one)
	c.loggedIn(3 * s.options.Keepalive)
	one.run(ctx, channels, requests)
}

// addSession counts the session in, or says why not.
func (s *Server) addSession(one *session) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.cuts != s.cuts[one.space] {
		return RefusedCut
	}
	if len(s.sessions) >= s.options.MaximumConnections {
		return RefusedFull
	}
	same := 0
	for other := range s.sessions {
		if other.space == one.space {
			same++
		}
	}
	if same >= s.options.MaximumConnectionsPerSpace {
		return RefusedSpaceFull
	}
	s.sessions[one] = struct{}{}
	return ""
}

func (s *Server) removeSession(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, one)
}

// refuse tells a client that is logged in why it may not stay. x/crypto cannot send
// SSH's message for that. But every client shows the text with which its channel is
// refused, and none of them takes that for a wrong password, asks for another, or gives
// the password up.
func (s *Server) refuse(one *session, why Reason, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	const patience = 5 * time.Second
	text := "the server has all the connections that it takes; try again later"
	switch why {
	case RefusedSpaceFull:
		text = fmt.Sprintf("this Space has %d connections, which is all that it may have; close one, or try again later", s.options.MaximumConnectionsPerSpace)
	case RefusedCut:
		text = "the connections of this Space were closed just now; try again"
	}
	s.options.Log.Warn("login refused", "space", one.space, "address", one.address, "why", why)
	s.options.OnEvent(Event{Kind: Refused, Reason: why, Session: one.info()})
	if s.refusing.Add(1) > int64(s.options.MaximumUnauthenticated) {
		one.conn.Close() // so many at a time are no mistake
	}
	defer s.refusing.Add(-1)
	timer := time.AfterFunc(patience, func() { one.conn.Close() })
	defer timer.Stop()
	var answering sync.WaitGroup
	answering.Go(func() { ssh.DiscardRequests(requests) })
	for c := range channels {
		_ = c.Reject(ssh.ResourceShortage, text) // a failed write ends the connection, and the loop
	}
	answering.Wait()
}
