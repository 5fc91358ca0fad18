package sftptest

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// conn is one connection of a Faulty server. It can be frozen: then reads and
// writes wait until it is thawed or closed.
type conn struct {
	net.Conn
	srv    *Faulty
	once   sync.Once
	closed chan struct{}

	mu     sync.Mutex
	frozen chan struct{} // closed by thaw; nil when not frozen

	requests    atomic.Int64 // of SFTP
	sent        atomic.Int64 // bytes of file data
	writes      atomic.Int64 // of SFTP
	openFiles   atomic.Int64
	openHandles atomic.Int64 // the same, with directories
	channels    atomic.Int64
}

func newConn(s *Faulty, nc net.Conn) *conn {
	return &conn{Conn: nc, srv: s, closed: make(chan struct{})}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Read gives what came before a freeze, too, only after it.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.once.Do(func() { close(c.closed) })
	}
	if !c.awaitThaw() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.awaitThaw() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func (c *conn) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen == nil {
		c.frozen = make(chan struct{})
	}
}

func (c *conn) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen != nil {
		close(c.frozen)
		c.frozen = nil
	}
}

// awaitThaw reports false for a connection that was closed while frozen.
func (c *conn) awaitThaw() bool {
	c.mu.Lock()
	frozen := c.frozen
	c.mu.Unlock()
	if frozen == nil {
		return true
	}
	select {
	case <-frozen:
		return true
	case <-c.closed:
		return false
	}
}

// die closes the connection if the budget of deaths allows one more.
func (c *conn) die(f *Faults) bool {
	if n := c.srv.deaths.Add(1); f.Deaths > 0 && n > int64(f.Deaths) {
		return false
	}
	c.Close()
	return true
}

// serve handles the connection until it ends.
func (c *conn) serve() {
	f := c.srv.faults.Load()
	switch f.Silent {
	case SilentInHandshake:
		_, _ = io.WriteString(c, "SSH-2.0-sftptest\r\n")
		fallthrough
	case SilentFromAccept:
		_, _ = io.Copy(io.Discard, c) // until the client gives up
		return
	}
	sc, channels, requests, err := ssh.NewServerConn(c, c.config(f))
	if err != nil {
		return
	}
	defer sc.Close()
	c.srv.count(func(n *Counts) { n.Logins++ })
	if f.Silent == SilentAfterLogin {
		c.freeze()
		<-c.closed
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { ssh.DiscardRequests(requests) })
	for nc := range channels {
		f := c.srv.faults.Load()
		limit := f.MaxChannels
		if nc.ChannelType() != "session" {
			_ = nc.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		open := int(c.channels.Add(1))
		if f.IgnoreFrom > 0 && open >= f.IgnoreFrom {
			continue
		}
		if f.DieAtChannel > 0 && open >= f.DieAtChannel && c.die(f) {
			_ = nc.Reject(ssh.ConnectionFailed, "")
			break
		}
		if limit > 0 && open > limit {
			c.channels.Add(-1)
			_ = nc.Reject(ssh.ConnectionFailed, "open failed") // as OpenSSH puts it past MaxSessions
			continue
		}
		c.srv.count(func(n *Counts) {
			n.Channels++
			n.PeakChannels = max(n.PeakChannels, open)
		})
		running.Go(func() {
			defer c.channels.Add(-1)
			c.serveSession(nc)
		})
	}
}

// serveSession answers the requests of a session channel; the subsystem sftp
// runs on it until it ends.
func (c *conn) serveSession(nc ssh.NewChannel) {
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	var running sync.WaitGroup
	defer running.Wait()
	started := false
	for r := range requests {
		var subsystem struct{ Name string }
		wanted := r.Type == "subsystem" && ssh.Unmarshal(r.Payload, &subsystem) == nil && subsystem.Name == "sftp"
		ok := wanted && !started && !c.srv.faults.Load().NoSFTP
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
		if ok {
			started = true
			running.Go(newSession(c, ch).serve)
		}
	}
}

func (c *conn) config(f *Faults) *ssh.ServerConfig {
	config := &ssh.ServerConfig{Config: f.Algorithms, ServerVersion: cmp.Or(f.Banner, "SSH-2.0-sftptest")}
	keys := c.srv.keys
	if f.HostKeys != nil {
		keys = f.HostKeys
	}
	for _, k := range keys {
		config.AddHostKey(k.Signer)
	}
	config.AuthLogCallback = func(_ ssh.ConnMetadata, method string, err error) {
		if err != nil && method != "none" {
			c.srv.count(func(n *Counts) { n.FailedLogins++ })
		}
	}
	refused := errors.New("login refused")
	verdict := func(meta ssh.ConnMetadata, ok bool) error {
		if f.Silent == SilentInLogin {
			<-c.closed
		}
		if !ok || meta.User() != c.srv.User {
			return refused
		}
		return nil
	}
	accepts := func(method string) bool { return f.AuthMethods == nil || slices.Contains(f.AuthMethods, method) }
	// A server without any method at all does not exist: this one has
	// password, and no password is right.
	if passwords := accepts("password"); passwords || len(f.AuthMethods) == 0 {
		config.PasswordCallback = func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return nil, verdict(meta, passwords && string(password) == c.srv.Password)
		}
	}
	if accepts("publickey") {
		config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, verdict(meta, bytes.Equal(key.Marshal(), c.srv.ClientKey.PublicKey().Marshal()))
		}
	}
	if accepts("keyboard-interactive") {
		config.KeyboardInteractiveCallback = func(meta ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return nil, verdict(meta, c.interrogate(f, ask))
		}
	}
	return config
}

// interrogate asks all rounds of questions, and reports whether each was
// answered with the password.
func (c *conn) interrogate(f *Faults, ask ssh.KeyboardInteractiveChallenge) bool {
	rounds := f.Rounds
	if rounds == nil {
		rounds = [][]string{{"Password: "}}
	}
	for _, questions := range rounds {
		answers, err := ask("", "", questions, make([]bool, len(questions)))
		if err != nil {
			return false
		}
		for _, a := range answers {
			if a != c.srv.Password {
				return false
			}
		}
	}
	return true
}
