package main

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"sftpconnector/config"
	"sftpconnector/status"
	"sftpconnector/store/sftp"
)

// limitLogins opens the SFTP end of a connector once few enough other logins are under
// way at its server. What was learnt of the server serves the next session, and the next
// start of the program.
func (s stores) limitLogins(ctx context.Context, c *config.Connector, observe status.Observer, open func(context.Context, sftp.Config, status.Observer) error) error {
	cfg := sftpConfig(c)
	server := s.servers.of(cfg)
	cfg.Limits, cfg.Prompt = server.limits, s.prompt
	if err := server.loggedIn(ctx, func() error { return open(ctx, cfg, observe) }); err != nil {
		return err
	}
	s.servers.save(ctx, server)
	return nil
}

// maxLogins is how many logins may be under way at one server. OpenSSH refuses
// some from the tenth on (MaxStartups 10:30:100).
const maxLogins = 4

// limitsKeeper keeps what was learnt of servers. *ledger.Ledger is one.
type limitsKeeper interface {
	ServerLimits(ctx context.Context) (map[string][]byte, error)
	SetServerLimits(ctx context.Context, server string, document []byte, at, oldest time.Time) error
}

// servers is what was learnt of the servers. It is kept at each login and at the end of
// the program, where that is something else than what is kept. It may be used
// concurrently.
type servers struct {
	keeper limitsKeeper
	kept   map[string][]byte // at the start

	mu    sync.Mutex
	known map[string]*serverState
}

// newServers begins with what is kept. Where that cannot be read, it is learnt again: the
// ledger's own use of the file tells what is wrong with it.
func newServers(ctx context.Context, keeper limitsKeeper) *servers {
	kept, err := keeper.ServerLimits(ctx)
	if err != nil {
		kept = nil
	}
	return &servers{keeper: keeper, kept: kept, known: map[string]*serverState{}}
}

// serverState is one server as one user sees it.
type serverState struct {
	name   string // user@host:port
	limits *sftp.Limits
	logins chan struct{} // has room for the logins that may be under way
	saving chan struct{} // has room for one: who looks at saved
	saved  []byte        // the document that is kept
}

// loggedIn runs a login once few enough others are under way.
func (s *serverState) loggedIn(ctx context.Context, login func() error) error {
	select {
	case s.logins <- struct{}{}:
		defer func() { <-s.logins }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return login()
}

// of gives the server that a configuration reaches.
func (s *servers) of(c sftp.Config) *serverState {
	name := c.Username + "@" + net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[name] == nil {
		state := &serverState{name: name, limits: new(sftp.Limits), logins: make(chan struct{}, maxLogins), saving: make(chan struct{}, 1), saved: s.kept[name]}
		state.limits.Restore(state.saved)
		s.known[name] = state
	}
	return s.known[name]
}

// save keeps what was learnt of a server, unless that is kept. It keeps nobody from
// working: what fails, or is being saved by another login, is left to the next login.
func (s *servers) save(ctx context.Context, server *serverState) {
	select {
	case server.saving <- struct{}{}:
		defer func() { <-server.saving }()
	default:
		return
	}
	ctx, cancel := context.WithTimeout(ctx, saveWithin)
	defer cancel()
	now := time.Now()
	document := server.limits.Document(now)
	if slices.Equal(document, server.saved) {
		return
	}
	if s.keeper.SetServerLimits(ctx, server.name, document, now, now.Add(-sftp.LimitsAge)) == nil {
		server.saved = document
	}
}

// saveWithin bounds how long a save takes.
const saveWithin = 5 * time.Second

// saveAll keeps what was learnt of all servers, within saveWithin.
func (s *servers) saveAll() {
	ctx, cancel := context.WithTimeout(context.Background(), saveWithin)
	defer cancel()
	s.mu.Lock()
	var all []*serverState
	for _, server := range s.known {
		all = append(all, server)
	}
	s.mu.Unlock()
	for _, server := range all {
		s.save(ctx, server)
	}
}
