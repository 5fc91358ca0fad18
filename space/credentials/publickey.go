package credentials

import (
	"bytes"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// minRSA is the length from which an RSA key is taken, in bits.
const minRSA = 2048

// PublicKeys are the keys that open a Space.
type PublicKeys []ssh.PublicKey

// ParseKeys reads lines of OpenSSH's authorized_keys format, one key each.
// DSA, RSA below 2048 bits and certificates are refused, and so are options: a
// restriction that is not obeyed would open more than the line says. Errors
// count the lines from 1 and repeat nothing of them: somebody may have put the
// private key there.
func ParseKeys(lines []string) (PublicKeys, error) {
	var keys PublicKeys
	var errs []error
	for i, line := range lines {
		key, err := parseKey(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("public key %d: %w", i+1, err))
		}
		keys = append(keys, key)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return keys, nil
}

func parseKey(line string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case bytes.Contains([]byte(line), []byte("PRIVATE KEY")):
		return nil, errors.New("that is a private key: give the line of the .pub file, and make a new pair if others could read this one")
	case err != nil:
		return nil, errors.New("not a line of authorized_keys; allowed: ssh-ed25519 AAAA… comment")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("more than one line; give each key an item of its own")
	case len(options) > 0:
		return nil, errors.New("options before the key are not supported; remove them")
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return key, nil
	case ssh.KeyAlgoRSA:
		if bits := rsaBits(key); bits < minRSA {
			return nil, fmt.Errorf("an RSA key of %d bits is too weak; use Ed25519, or RSA from %d bits on", bits, minRSA)
		}
		return key, nil
	}
	return nil, fmt.Errorf("keys of type %s are not accepted; use Ed25519", key.Type())
}

func rsaBits(key ssh.PublicKey) int {
	if k, ok := key.(ssh.CryptoPublicKey); ok {
		if r, ok := k.CryptoPublicKey().(*rsa.PublicKey); ok {
			return r.N.BitLen()
		}
	}
	return 0
}

// Has reports whether key is one of them. A certificate never is.
func (k PublicKeys) Has(key ssh.PublicKey) bool {
	given, found := key.Marshal(), 0
	for _, has := range k {
		found |= subtle.ConstantTimeCompare(given, has.Marshal())
	}
	return found == 1
}
