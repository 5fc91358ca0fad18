package sshclient

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Causes that need other advice than the word of the Connection Status gives.

// negotiationError is the error of a server that has no allowed algorithm of some kind.
type negotiationError struct {
	what    string
	offered []string
	enable  []string // some of ours
	legacy  bool     // one of those on offer is ours with legacy_algorithms, which is not set
}

func newNegotiationError(e *ssh.AlgorithmNegotiationError, legacySet bool) error {
	weak := ssh.InsecureAlgorithms()
	known := slices.Concat(weak.KeyExchanges, weak.Ciphers, weak.MACs, weak.HostKeys)
	return &negotiationError{
		what: e.What, offered: e.RequestedAlgorithms, enable: plainAlgorithms(e.SupportedAlgorithms),
		legacy: !legacySet && slices.ContainsFunc(e.RequestedAlgorithms, func(a string) bool { return slices.Contains(known, a) }),
	}
}

// plainAlgorithms gives the first few algorithms that an administrator may enable.
func plainAlgorithms(algorithms []string) (some []string) {
	for _, a := range algorithms {
		if !isCertAlgorithm(a) && len(some) < 3 {
			some = append(some, a)
		}
	}
	return some
}

// Error names what the server offers.
func (e *negotiationError) Error() string {
	return fmt.Sprintf("no common %s: the server offers %s only", e.what, Printable([]byte(strings.Join(e.offered, ", "))))
}

// Hint names sftp.legacy_algorithms, like the word's own hint, where that would help.
func (e *negotiationError) Hint() string {
	if e.legacy {
		return ""
	}
	return fmt.Sprintf("This program has none of these algorithms: have the server's administrator enable another one, such as %s.",
		strings.Join(e.enable, ", "))
}

// brokenProtocolError is the error of a server that announces SSH and does not follow
// it.
type brokenProtocolError struct{ error }

func (e *brokenProtocolError) Unwrap() error { return e.error }

// Hint is what to check next.
func (e *brokenProtocolError) Hint() string {
	return "The server, or something between here and there, does not keep to the SSH protocol: see the cause, and ask the server's administrator or maker."
}

// hintedError is an error with a hint.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// Hint is what to check next.
func (e *hintedError) Hint() string { return e.hint }
