package sftp

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/kayrus/putty"
)

// Bounds of PuTTY's key derivation. puttygen takes 8 MiB and as many passes as
// fit into 100 ms, some dozens.
const (
	maxArgon2KiB    = 256 << 10
	maxArgon2Passes = 1024
	maxArgon2Lanes  = 64
	maxArgon2Work   = 2 << 20 // KiB times passes: some seconds
)

// parsePPK reads a PuTTY private key of version 2 or 3
// (https://the.earth.li/~sgtatham/putty/0.83/htmldoc/AppendixC.html). The
// library takes the costs of the key derivation as the file gives them, so they
// are bounded here; it may panic, which parseKey catches.
func parsePPK(data, passphrase []byte) (any, error) {
	key, err := putty.New(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoKey, err)
	}
	if key.Encryption != "none" && len(passphrase) == 0 {
		return nil, errPassphraseMissing
	}
	if key.Encryption == "none" {
		key.KeyDerivation, passphrase = "", nil
	}
	if key.KeyDerivation != "" && (key.Argon2Memory > maxArgon2KiB || key.Argon2Passes > maxArgon2Passes ||
		key.Argon2Parallelism > maxArgon2Lanes ||
		uint64(key.Argon2Memory)*uint64(key.Argon2Passes) > maxArgon2Work) {
		return nil, errors.New("its passphrase is hashed at an unreasonable cost: save it again with puttygen")
	}
	raw, err := key.ParseRawPrivateKey(passphrase)
	if err != nil {
		if key.Encryption != "none" {
			return nil, errPassphraseWrong
		}
		return nil, fmt.Errorf("%w: it is damaged", errNoKey)
	}
	if k, ok := raw.(*ed25519.PrivateKey); ok {
		// A public half that does not belong to the seed would give the key away.
		if !bytes.Equal(ed25519.NewKeyFromSeed(k.Seed()), *k) {
			return nil, fmt.Errorf("%w: it is damaged", errNoKey)
		}
	}
	return raw, nil
}
