package sshclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"sftpconnector/status"

	"golang.org/x/crypto/ssh"
)

// clientHandshake is one SSH handshake with its login. x/crypto runs both in one call:
// its callbacks mark where one stage ends and the next begins.
type clientHandshake struct {
	ctx      context.Context
	t        *transport
	check    *hostKeyCheck
	auth     *authenticator
	stages   *stages
	stage    string // the one that is running
	deadline *time.Timer
	limit    time.Duration
	accepted ssh.PublicKey
}

// handshake makes an SSH connection out of the stream t: stages handshake,
// host-key and authenticate. It closes t when it fails.
func handshake(ctx context.Context, t *transport, cfg Config, check *hostKeyCheck, s *stages) (*ssh.Client, error) {
	limit := cfg.Timeouts.Handshake
	h := &clientHandshake{ctx: ctx, t: t, check: check, auth: newAuthenticator(ctx, cfg, t.over.Load), stages: s, stage: status.StageHandshake, limit: limit}
	h.deadline = time.AfterFunc(limit, func() { t.abort(&timeoutError{limit, "no answer"}) })
	defer h.deadline.Stop()
	release := context.AfterFunc(ctx, func() { t.abort(context.Cause(ctx)) })

	client, err := h.run(cfg)
	h.auth.close()
	if !release() && err == nil {
		client.Close()
		err = context.Cause(ctx)
	}
	if err == nil {
		h.stages.passed(status.StageAuthenticate, h.auth.succeeded())
		return client, nil
	}
	err = handshakeError(h, cfg, err)
	if !check.triesAgain(err) {
		s.failed(h.stage, err)
	}
	return nil, err
}

// run is the call of x/crypto.
func (h *clientHandshake) run(cfg Config) (*ssh.Client, error) {
	allowed := allowedAlgorithms(cfg.LegacyAlgorithms)
	conn, channels, requests, err := ssh.NewClientConn(h.t, cfg.Addr(), &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: allowed.KeyExchanges, Ciphers: allowed.Ciphers, MACs: allowed.MACs},
		User:              cfg.Username,
		AuthCallback:      h.chooseMethod,
		BannerCallback:    func(text string) error { h.auth.note(text); return nil },
		HostKeyCallback:   func(_ string, _ net.Addr, key ssh.PublicKey) error { return h.hostKey(key) },
		HostKeyAlgorithms: h.check.algorithms(allowed.HostKeys),
		ClientVersion:     clientVersion,
	})
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(ssh.AlgorithmsConnMetadata); ok {
		h.stages.release(agreed(c.Algorithms()))
	}
	return ssh.NewClient(conn, channels, requests), nil
}

// hostKey is called once the server has proved that it owns the key, and again
// whenever keys are exchanged anew in a long session.
func (h *clientHandshake) hostKey(key ssh.PublicKey) error {
	if h.accepted != nil {
		if string(h.accepted.Marshal()) != string(key.Marshal()) {
			return errors.New("the server changed its key within the session")
		}
		return nil
	}
	h.stages.hold(status.StageHandshake, h.t.greeting.said())
	h.stage = status.StageHostKey
	h.deadline.Stop() // the administrator may be asked
	detail, err := h.check.verify(h.ctx, key)
	if err != nil {
		return err
	}
	h.deadline.Reset(h.limit)
	h.accepted = key
	h.stages.hold(status.StageHostKey, detail)
	h.stage = status.StageAuthenticate
	return nil
}

// chooseMethod gives the next method of the login, or none.
func (h *clientHandshake) chooseMethod(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	h.stages.release(agreed(c.Algorithms))
	return h.auth.next(c)
}

// agreed names the algorithms of a connection.
func agreed(a ssh.NegotiatedAlgorithms) string {
	return fmt.Sprintf("%s, %s, %s", a.KeyExchange, a.HostKey, a.Read.Cipher)
}
