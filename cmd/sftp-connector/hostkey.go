package main

import (
	"context"
	"fmt"
	"strings"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/sshclient"
)

// hostKey asks the server of a connector for its host key, and remembers it if trust,
// which may be nil, has its fingerprint.
func (s stores) hostKey(ctx context.Context, c *config.Connector, trust *interapp.TrustRequest) (interapp.ServerHostKey, error) {
	cfg := sftpConfig(c)
	var key sshclient.HostKey
	err := s.servers.of(cfg).loggedIn(ctx, func() (err error) {
		key, err = sshclient.FetchHostKey(ctx, cfg.Config)
		return err
	})
	if err != nil {
		return interapp.ServerHostKey{}, err
	}
	out := interapp.ServerHostKey{
		Connector: c.Name, Host: key.Addr, Type: key.Type, Fingerprint: key.Fingerprint,
		Trusted: key.Known, Changed: key.Changed, KnownHosts: c.SFTP.KnownHostsPath,
	}
	if pins := c.SFTP.HostKey.String(); strings.HasPrefix(pins, "SHA256:") {
		out.Pinned = strings.Fields(pins)
	}
	if trust != nil {
		if why := refusal(out, *trust); why != "" {
			return out, fmt.Errorf("%w: %s", connector.ErrNotTrusted, why)
		}
		if !out.Trusted {
			if err := sshclient.Remember(ctx, cfg.KnownHosts, key); err != nil {
				return out, err
			}
			out.Trusted, out.Changed = true, false
		}
	}
	out.Remembered, err = sshclient.Remembered(cfg.Config)
	if out.Remembered == nil {
		out.Remembered = []string{}
	}
	return out, err
}

// refusal says why a key is not to be trusted; "" if it is.
func refusal(key interapp.ServerHostKey, trust interapp.TrustRequest) string {
	switch {
	case key.Fingerprint != trust.Fingerprint:
		return fmt.Sprintf("%s shows %s now, which is not the one that was looked at: compare it anew", key.Host, key.Fingerprint)
	case key.Trusted:
	case len(key.Pinned) > 0:
		return fmt.Sprintf("sftp.host_key pins %s, and the server shows another key: if it is the right one, change sftp.host_key", strings.Join(key.Pinned, " "))
	case key.Changed && !trust.Replace:
		return fmt.Sprintf("another key is trusted for %s: if the new one is the right one, have it take the other one's place", key.Host)
	}
	return ""
}
