package sftptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// KeyType is a kind of SSH key.
type KeyType string

// The kinds of keys that NewKey makes.
const (
	Ed25519 KeyType = "ed25519"
	ECDSA   KeyType = "ecdsa" // P-256
	RSA     KeyType = "rsa"   // 2048 bits
)

// Key is a private key in the forms that servers and clients want.
type Key struct {
	Type   KeyType
	Signer ssh.Signer
	Crypto crypto.Signer // the key itself, to be written in other formats
	PEM    []byte        // unencrypted OpenSSH format
}

// NewKey makes a key that nobody has seen before.
func NewKey(tb testing.TB, t KeyType) Key {
	tb.Helper()
	k, err := newKey(t)
	must(tb, err)
	return k
}

func newKey(t KeyType) (Key, error) {
	k := Key{Type: t}
	var err error
	switch t {
	case Ed25519:
		_, k.Crypto, err = ed25519.GenerateKey(rand.Reader)
	case ECDSA:
		k.Crypto, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA:
		k.Crypto, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("no such key type: %q", t)
	}
	if err != nil {
		return k, err
	}
	if k.Signer, err = ssh.NewSignerFromSigner(k.Crypto); err != nil {
		return k, err
	}
	block, err := ssh.MarshalPrivateKey(k.Crypto, "sftptest")
	if err != nil {
		return k, err
	}
	k.PEM = pem.EncodeToMemory(block)
	return k, nil
}

// sharedHostKeys are made once for a test binary: RSA keys are slow to find.
var sharedHostKeys = sync.OnceValues(func() ([]Key, error) {
	var keys []Key
	for _, t := range []KeyType{Ed25519, ECDSA, RSA} {
		k, err := newKey(t)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
})

// HostKeys gives the host keys that servers of this test binary show unless
// they are told otherwise: one of each type.
func HostKeys(tb testing.TB) []Key {
	tb.Helper()
	keys, err := sharedHostKeys()
	must(tb, err)
	return keys
}

func signers(keys []Key) []ssh.Signer {
	var s []ssh.Signer
	for _, k := range keys {
		s = append(s, k.Signer)
	}
	return s
}

// writeHostKeys writes the keys as files that a daemon can load, and gives their paths.
func writeHostKeys(tb testing.TB, dir string, keys []Key) []string {
	tb.Helper()
	var paths []string
	for i, k := range keys {
		p := filepath.Join(dir, fmt.Sprintf("ssh_host_%d_%s", i, k.Type))
		must(tb, os.WriteFile(p, k.PEM, 0o600))
		paths = append(paths, p)
	}
	return paths
}
