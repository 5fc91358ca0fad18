package sshd

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxSpaceName is the longest user name that is looked up.
const maxSpaceName = 256

// grant is the Space that a client was let in to. It goes from the callbacks to the
// session with the permissions, as the user name of the connection may have been
// another one before.
type grant struct {
	space string
	cuts  int // how often the Space's sessions had been cut when the login began
}

// grantKey is the key of the grant in the permissions.
type grantKey struct{}

func (g grant) permissions() *ssh.Permissions {
	return &ssh.Permissions{ExtraData: map[any]any{grantKey{}: g}}
}

// errRefused is the only answer to a failed login, whatever was wrong.
var errRefused = errors.New("authentication failed")

// errTooManyLogins is the end of a client that had to make room while it waited.
var errTooManyLogins = errors.New("too many connections want to log in")

// login is the login of one client. Its callbacks are called one at a time.
type login struct {
	server    *Server
	client    *client
	passwords int    // passwords that were checked
	space     string // the Space that the client last asked for
	tried     bool   // it has shown a password or a key
}

// login exchanges keys and authenticates the client, under the deadline of the client.
func (s *Server) login(c *client) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	l := &login{server: s, client: c}
	config := s.config
	config.PasswordCallback = l.password
	config.KeyboardInteractiveCallback = l.interactive
	if s.options.AuthenticateKey != nil {
		config.PublicKeyCallback = l.publicKey
		config.VerifiedPublicKeyCallback = l.verified
	}
	conn, channels, requests, err := ssh.NewServerConn(c, &config)
	if err != nil && (l.tried || c.dropped.Load()) {
		err = &refusedError{space: l.space, passwords: l.passwords, err: err}
	}
	return conn, channels, requests, err
}

// refusedError is the end of a client that tried to log in and failed.
type refusedError struct {
	space     string
	passwords int
	err       error
}

func (e *refusedError) Error() string { return e.err.Error() }

// password answers the method "password" (RFC 4252, section 8).
func (l *login) password(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	defer clear(password)
	l.tried, l.space = true, meta.User()
	if l.passwords++; l.passwords > maxPasswords {
		return nil, errRefused
	}
	g := l.server.grantOf(l.space)
	if len(l.space) <= maxSpaceName && l.server.options.Authenticate(l.client.ctx, l.space, l.client.address, password) {
		return l.admitted(g.permissions()), nil
	}
	l.server.logins.passwordFailed(l.client)
	l.delay(l.server.failures.Add(l.client.source))
	return nil, errRefused
}

// interactive asks for the password by "keyboard-interactive" (RFC 4256). Some clients
// support only that.
func (l *login) interactive(meta ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	if l.passwords >= maxPasswords {
		return nil, errRefused
	}
	answers, err := ask("", "", []string{"Password: "}, []bool{false})
	if err != nil || len(answers) != 1 {
		return nil, errRefused
	}
	return l.password(meta, []byte(answers[0]))
}

// publicKey reports whether a key would be accepted. A wrong key does not count as a
// failure that delays: agents offer all keys that they have, and a key cannot be
// guessed.
func (l *login) publicKey(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	l.tried, l.space = true, meta.User()
	g := l.server.grantOf(l.space)
	if len(l.space) <= maxSpaceName && l.server.options.AuthenticateKey(l.client.ctx, l.space, key) {
		return g.permissions(), nil
	}
	return nil, errRefused
}

// verified is called when the client has proven that it has the private key.
func (l *login) verified(_ ssh.ConnMetadata, _ ssh.PublicKey, p *ssh.Permissions, _ string) (*ssh.Permissions, error) {
	return l.admitted(p), nil
}

// admitted removes the client from the login queue, where others may take its place.
func (l *login) admitted(p *ssh.Permissions) *ssh.Permissions {
	l.server.logins.remove(l.client)
	return p
}

// delay waits for d, or until the client disconnects.
func (l *login) delay(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.client.ctx.Done():
	}
}

// logRefused reports a client that was not let in. Mistyped passwords are logged at
// level info, floods and connections without a login at level debug.
func (s *Server) logRefused(c *client, err error) {
	refused, tried := errors.AsType[*refusedError](err)
	if !tried {
		s.options.Log.Debug("a connection ended before a login", "address", c.address, "err", printable(err.Error()))
		return
	}
	e := Event{Kind: Refused, Reason: RefusedLogin, Session: Session{
		Space: printable(refused.space), Address: c.address, Since: time.Now(),
	}}
	level := slog.LevelInfo
	if c.dropped.Load() {
		e.Reason = RefusedDropped
		level = slog.LevelDebug
		s.warnTooManyLogins()
	} else if s.failures.AtMaxDelay(c.source) {
		level = slog.LevelDebug
	}
	s.options.Log.Log(c.ctx, level, "login refused", "space", e.Session.Space, "address", c.address,
		"why", e.Reason, "passwords", fmt.Sprint(min(refused.passwords, maxPasswords)))
	s.options.OnEvent(e)
}

// warnTooManyLogins warns, once a minute, that too many clients log in.
func (s *Server) warnTooManyLogins() {
	now := time.Now().Unix()
	if last := s.lastWarning.Load(); now-last >= 60 && s.lastWarning.CompareAndSwap(last, now) {
		s.options.Log.Warn("more connections want to log in than there is room for; some are dropped",
			"at_a_time", s.options.MaximumUnauthenticated, "of_an_address", s.options.MaximumUnauthenticatedPerAddress)
	}
}
