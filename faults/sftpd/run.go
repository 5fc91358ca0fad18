package sftpd

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// loginTime is how long a client may take to log in.
const loginTime = time.Minute

var errDenied = errors.New("permission denied")

// run is a server between one start and the next stop.
type run struct {
	server   *Server
	ctx      context.Context
	cancel   context.CancelFunc
	listener net.Listener
	all      sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func serve(s *Server, listener net.Listener) *run {
	r := &run{server: s, listener: listener, conns: map[net.Conn]bool{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.all.Go(r.accept)
	return r
}

// stop ends all connections and waits until they have ended.
func (r *run) stop() {
	r.cancel()
	r.listener.Close()
	r.mu.Lock()
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.all.Wait()
}

func (r *run) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.all.Go(func() { r.connection(conn) })
	}
}

// enter makes a connection end with the run.
func (r *run) enter(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[conn] = true
	return r.ctx.Err() == nil
}

func (r *run) leave(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

// connection serves one connection until it ends.
func (r *run) connection(conn net.Conn) {
	defer conn.Close()
	defer r.leave(conn)
	if !r.enter(conn) {
		return
	}
	conn.SetDeadline(time.Now().Add(loginTime))
	client, channels, requests, err := ssh.NewServerConn(conn, r.server.login())
	if err != nil {
		return
	}
	conn.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(r.ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	defer client.Close()
	all.Go(func() { ssh.DiscardRequests(requests) })
	var sessions atomic.Int64
	for asked := range channels {
		switch {
		case asked.ChannelType() != "session":
			asked.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		case !r.server.mayOpen(int(sessions.Load())):
			asked.Reject(ssh.ResourceShortage, "open failed")
			continue
		}
		channel, requests, err := asked.Accept()
		if err != nil {
			continue
		}
		sessions.Add(1)
		all.Go(func() {
			defer sessions.Add(-1)
			r.channel(ctx, client, channel, requests)
		})
	}
}

// channel waits for the request of SFTP and serves it.
func (r *run) channel(ctx context.Context, conn ssh.Conn, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	var serving sync.WaitGroup
	defer serving.Wait()
	started := false
	for req := range requests {
		if started || req.Type != "subsystem" || !bytes.HasSuffix(req.Payload, []byte("\x04sftp")) {
			req.Reply(false, nil)
			continue
		}
		started = true
		req.Reply(true, nil)
		s := &session{ctx: ctx, server: r.server, conn: conn, channel: channel, root: r.server.root,
			handles: handles{open: map[string]*handle{}, limit: r.server.options.MaxHandles}}
		serving.Go(s.run)
	}
}

// login is how clients log in just now.
func (s *Server) login() *ssh.ServerConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	allowed := func(user string) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.refuseLogins && user == s.options.User
	}
	config := &ssh.ServerConfig{ServerVersion: "SSH-2.0-faults", MaxAuthTries: 6}
	if s.password != "" {
		config.PasswordCallback = func(c ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
			if allowed(c.User()) && subtle.ConstantTimeCompare(given, []byte(s.currentPassword())) == 1 {
				return nil, nil
			}
			return nil, errDenied
		}
	}
	if key := s.options.Key; key != nil {
		config.PublicKeyCallback = func(c ssh.ConnMetadata, given ssh.PublicKey) (*ssh.Permissions, error) {
			if allowed(c.User()) && bytes.Equal(given.Marshal(), key.Marshal()) {
				return nil, nil
			}
			return nil, errDenied
		}
	}
	config.AddHostKey(s.hostKey)
	return config
}

func (s *Server) currentPassword() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.password
}
