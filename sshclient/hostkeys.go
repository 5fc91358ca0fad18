package sshclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sftpconnector/status"

	"golang.org/x/crypto/ssh"
)

// HostKey is the key that a server showed, and what is known of it.
type HostKey struct {
	Addr        string // host:port, as configured
	Type        string // "ssh-ed25519", "ssh-rsa", …
	Fingerprint string // "SHA256:…", as ssh-keygen prints it
	Known       bool   // it is the trusted one
	Changed     bool   // another one is trusted for this host

	key ssh.PublicKey
}

// hostKeyCheck decides whether a server's key is the right one. It serves the
// attempts of one login, one after the other.
type hostKeyCheck struct {
	addr   string
	policy string
	hosts  KnownHosts
	prompt func(context.Context, HostKey) (bool, error)

	tried     []HostKey // keys that are not pinned, of different types
	left      bool      // the server may have more types
	fetchOnly *HostKey  // not nil: take the key and go
}

func newHostKeyCheck(cfg Config) *hostKeyCheck {
	return &hostKeyCheck{addr: hostAddr(cfg), policy: cfg.HostKey, hosts: cfg.KnownHosts, prompt: cfg.Prompt}
}

// hostAddr is the name under which a host is known: OpenSSH lowers its case.
func hostAddr(cfg Config) string { return strings.ToLower(cfg.Addr()) }

// errNotPinned is a key that is not pinned.
var errNotPinned = errors.New("the server's key is not the configured one")

// errFetched ends a handshake that only wanted the key.
var errFetched = errors.New("host key fetched")

// keyError is a key that is refused, with the word for it.
func (c *hostKeyCheck) keyError(word status.Word, err error) error {
	return &status.Error{Word: word, Op: "check the host key of", Target: c.addr, Err: err}
}

// pinned are the configured fingerprints; none: the known_hosts file counts.
func (c *hostKeyCheck) pinned() []string {
	if !strings.HasPrefix(c.policy, "SHA256:") {
		return nil
	}
	pins := strings.Fields(c.policy)
	for i := range pins {
		pins[i] = strings.TrimRight(pins[i], "=")
	}
	return pins
}

// algorithms orders the allowed algorithms so that the server shows the key
// that can be checked.
func (c *hostKeyCheck) algorithms(allowed []string) []string {
	if c.pinned() != nil {
		left := slices.DeleteFunc(hostKeyAlgorithms(allowed, nil, false), func(a string) bool {
			return slices.ContainsFunc(c.tried, func(k HostKey) bool { return k.Type == keyTypeOf(a) })
		})
		c.left = slices.ContainsFunc(left, func(a string) bool { return keyTypeOf(a) != keyTypeOf(left[0]) })
		return left
	}
	known, err := readKnownHosts(c.hosts)
	if err != nil {
		return hostKeyAlgorithms(allowed, nil, false) // verify will say why
	}
	types, authority := known.algorithms(c.addr)
	return hostKeyAlgorithms(allowed, types, authority)
}

// triesAgain says whether the login failed only because the server showed a key
// of another type than a pinned one.
func (c *hostKeyCheck) triesAgain(err error) bool {
	return c.left && errors.Is(err, errNotPinned)
}

// noneLeft is the failure of a login that went through all types of key.
func (c *hostKeyCheck) noneLeft() error {
	c.left = false
	shown := make([]string, len(c.tried))
	for i, k := range c.tried {
		shown[i] = k.Type + " " + k.Fingerprint
	}
	return c.keyError(status.HostKeyVerificationFailed,
		fmt.Errorf("%w %s: it shows %s", errNotPinned, strings.Join(c.pinned(), " or "), strings.Join(shown, ", ")))
}

// verify judges the key. The detail says how it was accepted.
func (c *hostKeyCheck) verify(ctx context.Context, key ssh.PublicKey) (detail string, err error) {
	k := c.describe(key)
	if c.pinned() != nil {
		return c.verifyPinned(k)
	}
	known, err := readKnownHosts(c.hosts)
	if err != nil {
		return "", c.keyError(status.HostKeyVerificationFailed, err)
	}
	verdict, why := known.judge(c.addr, key)
	k.Known, k.Changed = verdict == keyKnown, verdict == keyChanged
	if c.fetchOnly != nil && verdict != keyRevoked {
		*c.fetchOnly = k
		return "", errFetched
	}
	named := k.Type + " " + k.Fingerprint
	if verdict == keyUncertified && c.policy == PolicyAcceptNew {
		verdict = keyUnknown // who accepts a key without a certificate gains nothing here
	}
	switch verdict {
	case keyKnown:
		return fmt.Sprintf("%s, %s", named, why), nil
	case keyUnknown:
		return c.decideUnknown(ctx, k, named, why)
	case keyUncertified:
		return "", c.keyError(status.HostKeyVerificationFailed, fmt.Errorf("%s %s", named, why))
	default:
		return "", c.keyError(status.HostKeyVerificationFailed, fmt.Errorf("%s: %s", named, why))
	}
}

// verifyPinned compares the key with the configured fingerprints.
func (c *hostKeyCheck) verifyPinned(k HostKey) (string, error) {
	k.Known = slices.Contains(c.pinned(), k.Fingerprint)
	k.Changed = !k.Known
	if !k.Known {
		c.tried = append(c.tried, k)
		if c.left {
			return "", errNotPinned
		}
	}
	if c.fetchOnly != nil {
		*c.fetchOnly = k
		return "", errFetched
	}
	if !k.Known {
		return "", c.noneLeft()
	}
	return fmt.Sprintf("%s %s, the configured fingerprint", k.Type, k.Fingerprint), nil
}

// decideUnknown decides on the key of a host that has none in the known_hosts file.
func (c *hostKeyCheck) decideUnknown(ctx context.Context, k HostKey, named, why string) (string, error) {
	how := "accepted as new and remembered"
	switch {
	case c.policy == PolicyAcceptNew:
	case c.prompt == nil:
		return "", c.keyError(status.HostKeyUnknown, fmt.Errorf("%s %s", named, why))
	default:
		yes, err := c.prompt(ctx, k)
		if err != nil {
			return "", c.keyError(status.HostKeyUnknown, fmt.Errorf("%s: %w", named, err))
		}
		if !yes {
			return "", c.keyError(status.HostKeyUnknown, fmt.Errorf("%s was not accepted", named))
		}
		how = "confirmed and remembered"
	}
	if err := addKnownHost(ctx, c.hosts, k); err != nil {
		if errors.Is(err, errOtherKey) {
			return "", c.keyError(status.HostKeyVerificationFailed, fmt.Errorf("%s: %w", named, err))
		}
		return "", c.keyError(status.HostKeyUnknown, fmt.Errorf("%s cannot be remembered: %w", named, err))
	}
	return named + ", " + how, nil
}

// describe names a key; a certificate is named by the key that it certifies.
func (c *hostKeyCheck) describe(key ssh.PublicKey) HostKey {
	key = plainKey(key)
	return HostKey{Addr: c.addr, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), key: key}
}

// plainKey is the key itself, without a certificate around it.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}
