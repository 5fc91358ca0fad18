package sshclient

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

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

// ppkHeader starts the file, with the version behind it.
const ppkHeader = "PuTTY-User-Key-File-"

// parsePPK reads a PuTTY private key of version 2 or 3
// (https://the.earth.li/~sgtatham/putty/0.83/htmldoc/AppendixC.html). The
// library takes the costs of the key derivation as the file gives them, so they
// are bounded here; it may panic, which parseKey catches.
func parsePPK(data, passphrase []byte) (any, error) {
	if err := ppkForm(data); err != nil {
		return nil, err
	}
	key, err := putty.New(ppkLines(data))
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", errDamaged, err)
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
	if key.Encryption != "none" && (len(key.PrivateKey) == 0 || len(key.PrivateKey)%aes.BlockSize != 0) {
		return nil, errDamaged
	}
	raw, err := key.ParseRawPrivateKey(passphrase)
	switch {
	case err == nil:
		return raw, nil
	case key.Encryption != "none" && !startsWithLength(key.PrivateKey):
		return nil, errPassphraseWrong
	}
	return nil, errDamaged
}

// ppkLines is the key without blanks at the ends of lines, and without what
// stands behind it. A comment keeps its blanks: the MAC covers them.
func ppkLines(data []byte) []byte {
	var lines []byte
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, "\n")
		if !bytes.HasPrefix(line, []byte("Comment:")) {
			line = bytes.TrimRight(line, " \t")
		}
		lines = append(append(lines, line...), '\n')
		if bytes.HasPrefix(line, []byte("Private-MAC:")) || bytes.HasPrefix(line, []byte("Private-Hash:")) {
			break
		}
	}
	return lines
}

// startsWithLength tells whether a decrypted key starts as all do, with the
// length of its first number. Its MAC covers the readable part of the file too,
// so that it does not tell a wrong passphrase from a change there.
func startsWithLength(private []byte) bool {
	return len(private) > 4 && uint64(binary.BigEndian.Uint32(private)) <= uint64(len(private)-4)
}

// ppkForm names what the library does not read.
func ppkForm(data []byte) error {
	first, _, _ := strings.Cut(string(data[len(ppkHeader):]), "\n")
	version, kind, _ := strings.Cut(first, ":")
	switch kind = strings.TrimSpace(kind); {
	case strings.TrimSpace(version) != "2" && strings.TrimSpace(version) != "3":
		return errPPKVersion
	case strings.HasPrefix(kind, "sk-"):
		return errFIDO
	case foreignKeyType(kind):
		return &keyForm{fmt.Sprintf("a PuTTY key of the type %q", Printable([]byte(kind))), adviceNewKey}
	}
	return nil
}
