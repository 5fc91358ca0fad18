package sshclient

import (
	"context"
	"errors"
)

// FetchHostKey gets the key that the server shows, without trusting it and
// without logging in; a jump host is logged in to, and its key is checked as
// always. Pass the result to Remember once somebody has compared the
// fingerprint. A key that known_hosts marks as revoked is an error.
func FetchHostKey(ctx context.Context, cfg Config) (HostKey, error) {
	cfg = cfg.WithDefaults()
	check := newHostKeyCheck(cfg)
	var key HostKey
	check.fetchOnly = &key
	for {
		t, err := reach(ctx, cfg, nil)
		if err != nil {
			return HostKey{}, err
		}
		_, err = handshake(ctx, t, cfg, check, nil)
		switch {
		case errors.Is(err, errFetched):
			return key, nil
		case check.triesAgain(err):
		case errors.Is(err, errNotPinned):
			return check.tried[0], nil // what an administrator is asked about
		default:
			return HostKey{}, err
		}
	}
}
