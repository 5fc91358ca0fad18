package main

import (
	"context"
	"net"
	"strconv"
	"sync"

	"sftpconnector/config"
	"sftpconnector/status"
	"sftpconnector/store/sftp"
)

// limitLogins opens the SFTP end of a connector once few enough other logins are under
// way at its server. What was learnt of the server serves the next session.
func (s stores) limitLogins(ctx context.Context, c *config.Connector, observe status.Observer, open func(context.Context, sftp.Config, status.Observer) error) error {
	cfg := sftpConfig(c)
	server := s.servers.of(cfg)
	cfg.Limits, cfg.Prompt = server.limits, s.prompt
	select {
	case server.logins <- struct{}{}:
		defer func() { <-server.logins }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return open(ctx, cfg, observe)
}

// maxLogins is how many logins may be under way at one server. OpenSSH refuses
// some from the tenth on (MaxStartups 10:30:100).
const maxLogins = 4

// servers is what was learnt of the servers since the program started. It may be
// used concurrently. The zero servers is ready to use.
type servers struct {
	mu    sync.Mutex
	known map[string]*serverState
}

// serverState is one server as one user sees it.
type serverState struct {
	limits *sftp.Limits
	logins chan struct{} // has room for the logins that may be under way
}

// of gives the server that a configuration reaches.
func (s *servers) of(c sftp.Config) *serverState {
	key := c.Username + "@" + net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]*serverState{}
	}
	if s.known[key] == nil {
		s.known[key] = &serverState{limits: new(sftp.Limits), logins: make(chan struct{}, maxLogins)}
	}
	return s.known[key]
}
