package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"sftpconnector/config"
	"sftpconnector/credentialsapi"
	"sftpconnector/status"
	"sftpconnector/store/sftp"
)

// login opens the SFTP end of a connector. What credentials_api gave is fetched
// anew, once, when the server refuses it: it may have expired. Where there is no
// server, it may have moved: the next try fetches. Few logins are under way at one
// server at a time.
func (s stores) login(ctx context.Context, c *config.Connector, observe status.Observer, open func(context.Context, sftp.Config, status.Observer) error) error {
	if !c.SFTP.CredentialsAPI.Enabled() {
		return s.loginWith(ctx, sftpConfig(c), observe, open)
	}
	api, err := s.known.credentials(c.SFTP.CredentialsAPI)
	if err != nil {
		return err
	}
	cfg, given, err := fetched(ctx, api, c, observe)
	if err != nil {
		return err
	}
	// The stages of a try count only if there is no other one after it.
	var stages []status.Stage
	err = s.loginWith(ctx, cfg, func(s status.Stage) { stages = append(stages, s) }, open)
	if outdated(err) {
		api.Refused(given)
	}
	if status.Is(err, status.AuthenticationFailed) {
		again, other, ferr := fetched(ctx, api, c, nil)
		if ferr == nil && (other.Password() != given.Password() || other.String() != given.String()) {
			err := s.loginWith(ctx, again, observe, open)
			if outdated(err) {
				api.Refused(other)
			}
			return ofFetched(err)
		}
	}
	for _, stage := range stages {
		observe.Report(stage)
	}
	return ofFetched(err)
}

// ofFetched gives the refusal of a login that was fetched the advice that goes with
// it: the configuration has no user name and no password. A refusal that has advice
// of its own, such as that of a jump host, keeps it.
func ofFetched(err error) error {
	e, ok := errors.AsType[*status.Error](err)
	if !ok || e.Word != status.AuthenticationFailed || e.Advice() != e.Word.Hint() {
		return err
	}
	own := *e
	own.Hint = "Verify that the credentials haven't expired which the API of sftp.credentials_api gives for its space_id, and that they are for this server; refetch credentials if necessary."
	return &own
}

// outdated reports whether a login failed as one does that is not valid any more: of
// another password, or of a server that has moved.
func outdated(err error) bool {
	for _, word := range []status.Word{status.AuthenticationFailed, status.HostNotFound, status.ConnectionRefused, status.ConnectionTimedOut} {
		if status.Is(err, word) {
			return true
		}
	}
	return false
}

// fetched is a connector's SFTP configuration with the login that its API gives.
func fetched(ctx context.Context, api *credentialsapi.Client, c *config.Connector, observe status.Observer) (sftp.Config, credentialsapi.Login, error) {
	start := time.Now()
	l, err := api.Login(ctx)
	stage := status.Stage{Stage: status.StageCredentials, OK: err == nil, MS: time.Since(start).Milliseconds()}
	if err != nil {
		stage.Detail = err.Error()
		observe.Report(stage)
		return sftp.Config{}, l, err
	}
	stage.Detail = l.String()
	observe.Report(stage)
	cfg := sftpConfig(c)
	cfg.Host, cfg.Port, cfg.Username, cfg.Password = l.Host, l.Port, l.Username, l.Password()
	if cfg.Jump != nil && cfg.Jump.Username == "" {
		cfg.Jump.Username = l.Username
	}
	return cfg, l, nil
}

func (s stores) loginWith(ctx context.Context, cfg sftp.Config, observe status.Observer, open func(context.Context, sftp.Config, status.Observer) error) error {
	server := s.known.server(cfg)
	cfg.Limits, cfg.Prompt = server.limits, s.prompt
	select {
	case server.logins <- struct{}{}:
		defer func() { <-server.logins }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return open(ctx, cfg, observe)
}

// logins is how many logins may be under way at one server. OpenSSH refuses
// some from the tenth on (MaxStartups 10:30:100).
const logins = 4

// known is what was learnt of the servers since the program started, and the
// logins that were fetched.
type known struct {
	mu      sync.Mutex
	servers map[string]*endpoint
	apis    map[config.CredentialsAPI]*credentialsapi.Client
}

type endpoint struct {
	limits *sftp.Limits
	logins chan struct{}
}

func newKnown() *known {
	return &known{servers: map[string]*endpoint{}, apis: map[config.CredentialsAPI]*credentialsapi.Client{}}
}

// server gives what is known of a server, as one user sees it.
func (k *known) server(c sftp.Config) *endpoint {
	key := c.Username + "@" + net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.servers[key] == nil {
		k.servers[key] = &endpoint{limits: new(sftp.Limits), logins: make(chan struct{}, logins)}
	}
	return k.servers[key]
}

// credentials gives the client of an API.
func (k *known) credentials(c config.CredentialsAPI) (*credentialsapi.Client, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if client := k.apis[c]; client != nil {
		return client, nil
	}
	client, err := credentialsapi.New(credentialsapi.Options{URL: c.URL, SecretKey: c.SecretKey.Reveal(), SpaceID: c.SpaceID})
	if err != nil {
		return nil, err
	}
	k.apis[c] = client
	return client, nil
}

func (k *known) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, api := range k.apis {
		_ = api.Close()
	}
}
