package sshclient

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/crypto/ssh"
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

// Remembered gives the fingerprints that the known_hosts file has for the host.
func Remembered(cfg Config) ([]string, error) {
	known, err := readKnownHosts(cfg.KnownHosts)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, key := range known.lines(hostAddr(cfg.WithDefaults())).keys() {
		if print := ssh.FingerprintSHA256(key); !slices.Contains(all, print) {
			all = append(all, print)
		}
	}
	return all, nil
}
