package connector

import (
	"context"
	"errors"
	"sync"
	"time"

	"sftpconnector/config"
	"sftpconnector/credentialsapi"
	"sftpconnector/status"
)

// Credentials fetches the logins of connectors whose configuration names a
// credentials API. A fetched login is kept until a server has refused it. Its
// methods may be called concurrently. The zero Credentials is ready to use.
type Credentials struct {
	mu      sync.Mutex
	clients map[config.CredentialsAPI]*credentialsapi.Client
}

// Resolve gives c with the host, port, user name and password that its
// credentials API tells. A connector without one is given back as it is. Errors of
// the API are a *status.Error.
func (k *Credentials) Resolve(ctx context.Context, cfg *config.Connector) (*config.Connector, error) {
	if !cfg.SFTP.CredentialsAPI.Enabled() {
		return cfg, nil
	}
	api, err := k.client(cfg.SFTP.CredentialsAPI)
	if err != nil {
		return nil, err
	}
	resolved, _, err := fetchLogin(ctx, api, cfg, nil)
	return resolved, err
}

// Close ends the fetches that are under way and forgets the logins.
func (k *Credentials) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, api := range k.clients {
		_ = api.Close()
	}
}

// client gives the client of an API.
func (k *Credentials) client(c config.CredentialsAPI) (*credentialsapi.Client, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if client := k.clients[c]; client != nil {
		return client, nil
	}
	client, err := credentialsapi.New(credentialsapi.Options{URL: c.URL, SecretKey: c.SecretKey.Reveal(), SpaceID: c.SpaceID})
	if err != nil {
		return nil, err
	}
	if k.clients == nil {
		k.clients = map[config.CredentialsAPI]*credentialsapi.Client{}
	}
	k.clients[c] = client
	return client, nil
}

// opener opens an end of a connector: Parts.Source, or Parts.Destination in an epoch.
type opener[T any] func(ctx context.Context, cfg *config.Connector, observe status.Observer) (T, error)

// withCredentials opens the SFTP end of c. A fetched login that the server refuses
// may have expired: it is fetched again, once, and tried if it differs. A server
// that is not reached may have moved: the next call fetches again. The stages of a
// try are reported only if no other one follows it.
func withCredentials[T any](ctx context.Context, k *Credentials, cfg *config.Connector, observe status.Observer, open opener[T]) (T, error) {
	var none T
	if !cfg.SFTP.CredentialsAPI.Enabled() {
		return open(ctx, cfg, observe)
	}
	api, err := k.client(cfg.SFTP.CredentialsAPI)
	if err != nil {
		return none, err
	}
	resolved, login, err := fetchLogin(ctx, api, cfg, observe)
	if err != nil {
		return none, err
	}
	var stages []status.Stage
	end, err := open(ctx, resolved, func(s status.Stage) { stages = append(stages, s) })
	if mayBeOutdated(err) {
		api.Refused(login)
	}
	if status.Is(err, status.AuthenticationFailed) {
		resolved, other, fetchErr := fetchLogin(ctx, api, cfg, nil)
		if fetchErr == nil && (other.Password() != login.Password() || other.String() != login.String()) {
			end, err := open(ctx, resolved, observe)
			if mayBeOutdated(err) {
				api.Refused(other)
			}
			return end, withAdvice(err)
		}
	}
	for _, stage := range stages {
		observe.Report(stage)
	}
	return end, withAdvice(err)
}

// fetchLogin gives c with the login that its API tells, and that login. It reports
// the stage "credentials".
func fetchLogin(ctx context.Context, api *credentialsapi.Client, cfg *config.Connector, observe status.Observer) (*config.Connector, credentialsapi.Login, error) {
	start := time.Now()
	login, err := api.Login(ctx)
	stage := status.Stage{Stage: status.StageCredentials, OK: err == nil, MS: time.Since(start).Milliseconds()}
	if err != nil {
		stage.Detail = err.Error()
		observe.Report(stage)
		return nil, login, err
	}
	stage.Detail = login.String()
	observe.Report(stage)
	resolved := *cfg
	resolved.SFTP.Host, resolved.SFTP.Port = login.Host, login.Port
	resolved.SFTP.Username, resolved.SFTP.Password = login.Username, config.Secret(login.Password())
	return &resolved, login, nil
}

// mayBeOutdated reports whether a login failed as one does that is not valid any
// more: with another password, or on a server that has moved.
func mayBeOutdated(err error) bool {
	switch status.Of(err) {
	case status.AuthenticationFailed, status.HostNotFound, status.ConnectionRefused, status.ConnectionTimedOut:
		return true
	}
	return false
}

// withAdvice gives the refusal of a fetched login advice about the API, as the
// configuration has no user name and no password to verify. A refusal that has
// advice of its own, such as that of a jump host, keeps it.
func withAdvice(err error) error {
	refused, ok := errors.AsType[*status.Error](err)
	if !ok || refused.Word != status.AuthenticationFailed || refused.Advice() != refused.Word.Hint() {
		return err
	}
	own := *refused
	own.Hint = "Verify that the credentials haven't expired which the API of sftp.credentials_api gives for its space_id, and that they are for this server; refetch credentials if necessary."
	return &own
}
