package sshclient

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// clientVersion is how we introduce ourselves (RFC 4253, section 4.2).
const clientVersion = "SSH-2.0-sftp-connector"

// allowedAlgorithms lists what may be negotiated, in order of preference. The
// order of x/crypto puts AES-GCM first, which is more than twice as fast as
// ChaCha20 and three times as fast as AES-CTR. With legacy, the algorithms with
// known weaknesses (SHA-1, CBC, DSA) follow behind the others.
func allowedAlgorithms(legacy bool) ssh.Algorithms {
	a := ssh.SupportedAlgorithms()
	slices.SortStableFunc(a.HostKeys, func(x, y string) int { return hostKeyRank(x) - hostKeyRank(y) })
	if legacy {
		weak := ssh.InsecureAlgorithms()
		a.KeyExchanges = append(a.KeyExchanges, weak.KeyExchanges...)
		a.Ciphers = append(a.Ciphers, weak.Ciphers...)
		a.MACs = append(a.MACs, weak.MACs...)
		a.HostKeys = append(a.HostKeys, weak.HostKeys...)
		a.PublicKeyAuths = append(a.PublicKeyAuths, weak.PublicKeyAuths...)
	}
	return a
}

// hostKeyRank puts Ed25519 first, as OpenSSH does: it is the key whose
// fingerprint administrators give.
func hostKeyRank(algorithm string) int {
	for i, family := range []string{"ssh-ed25519", "ecdsa-", ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256} {
		if strings.HasPrefix(algorithm, family) {
			return i
		}
	}
	return 4
}

// hostKeyAlgorithms orders the allowed host key algorithms so that the server
// shows a key that can be checked, as OpenSSH's client does: first those of the
// known types of key, then the others, so that a server that no longer has a
// known key shows a changed one instead of failing the negotiation.
// Certificates are asked for only where an authority is known, because a server
// that has one would show it in place of the key; an authority signs keys of
// any type, whatever its own.
func hostKeyAlgorithms(allowed, knownTypes []string, certificates bool) []string {
	var certs, first, rest []string
	for _, a := range allowed {
		switch {
		case isCertAlgorithm(a):
			certs = append(certs, a)
		case slices.Contains(knownTypes, keyTypeOf(a)):
			first = append(first, a)
		default:
			rest = append(rest, a)
		}
	}
	if !certificates {
		certs = nil
	}
	return slices.Concat(certs, first, rest)
}

func isCertAlgorithm(a string) bool { return strings.Contains(a, "-cert-v01") }

// keyTypeOf gives the type of key behind a signature algorithm: RSA keys sign
// under three names (RFC 8332).
func keyTypeOf(algorithm string) string {
	switch algorithm {
	case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512:
		return ssh.KeyAlgoRSA
	}
	return algorithm
}
