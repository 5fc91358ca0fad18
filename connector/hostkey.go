package connector

import (
	"context"
	"errors"
	"fmt"

	"sftpconnector/interapp"
)

// ErrNotTrusted: a host key is not remembered, for a reason that follows.
var ErrNotTrusted = errors.New("the host key is not trusted")

// HostKey asks the server for its host key, and tells what is known of it. It logs in
// nowhere. An error of the connection is a *status.Error.
func (c *Connector) HostKey(ctx context.Context) (interapp.ServerHostKey, error) {
	return c.hostKey(ctx, nil)
}

// Trust remembers the host key that the server shows, if its fingerprint is the one that
// was looked at; else ErrNotTrusted is in the chain of the error.
func (c *Connector) Trust(ctx context.Context, t interapp.TrustRequest) (interapp.ServerHostKey, error) {
	key, err := c.hostKey(ctx, &t)
	if err == nil {
		c.log.Info("host key trusted", "host", key.Host, "type", key.Type, "fingerprint", key.Fingerprint)
	}
	return key, err
}

func (c *Connector) hostKey(ctx context.Context, trust *interapp.TrustRequest) (interapp.ServerHostKey, error) {
	if c.parts.HostKey == nil {
		return interapp.ServerHostKey{}, fmt.Errorf("ask for the host key: %w", errors.ErrUnsupported)
	}
	cfg, err := c.parts.Credentials.Resolve(ctx, c.cfg)
	if err != nil {
		return interapp.ServerHostKey{}, err
	}
	return c.parts.HostKey(ctx, cfg, trust)
}
