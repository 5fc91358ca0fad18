package sshd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/crypto/ssh"

	"sftpconnector/durable"
)

// hostKeyKinds are the keys that a server has, in the order of preference.
var hostKeyKinds = []struct {
	file, algorithm string
	generate        func() (crypto.Signer, error)
}{
	{"ssh_host_ed25519_key", ssh.KeyAlgoED25519, func() (crypto.Signer, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
	{"ssh_host_ecdsa_key", ssh.KeyAlgoECDSA256, func() (crypto.Signer, error) {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}},
	// Some clients know no other type, such as phpseclib 2.
	{"ssh_host_rsa_key", ssh.KeyAlgoRSA, func() (crypto.Signer, error) {
		return rsa.GenerateKey(rand.Reader, 3072) // as ssh-keygen makes it
	}},
}

// rsaSignatures are the signatures that an RSA key makes: none with SHA-1.
var rsaSignatures = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}

// HostKeys keeps the private host keys of a server, by the names that OpenSSH gives
// their files.
type HostKeys interface {
	// Read gives a key in PEM, without a passphrase; fs.ErrNotExist where there is none.
	Read(name string) ([]byte, error)
	// Create keeps a key, durably; fs.ErrExist where there is one.
	Create(name string, key []byte) error
}

// HostKeyDirectory keeps host keys in a directory, which is made when first needed.
type HostKeyDirectory string

// Read implements HostKeys. A key that others may read is an error.
func (d HostKeyDirectory) Read(name string) ([]byte, error) {
	path := filepath.Join(string(d), name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read %s (mode %04o): if none of them had a look, run chmod 600; else remove it, and clients will have to trust a new one", path, info.Mode().Perm())
	}
	key, _, err := durable.Document{Path: path}.Read()
	return key, err
}

// Create implements HostKeys.
func (d HostKeyDirectory) Create(name string, key []byte) error {
	return durable.Document{Path: filepath.Join(string(d), name)}.Create(key)
}

// loadHostKeys reads the keys, and makes the missing ones. A key that cannot be read is
// an error and is not replaced: every client would take a new key for an attack.
func loadHostKeys(keys HostKeys) ([]ssh.Signer, error) {
	var signers []ssh.Signer
	for _, kind := range hostKeyKinds {
		key, err := keys.Read(kind.file)
		if errors.Is(err, fs.ErrNotExist) {
			if err = createHostKey(keys, kind.file, kind.generate); err == nil {
				key, err = keys.Read(kind.file) // it may be another process's
			}
		}
		if err != nil {
			return nil, fmt.Errorf("host key %s: %w", kind.file, err)
		}
		signer, err := ssh.ParsePrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("host key %s: it is no unencrypted private key: bring it back from a backup, or remove it, and clients will have to trust a new one (%w)", kind.file, err)
		}
		if got := signer.PublicKey().Type(); got != kind.algorithm {
			return nil, fmt.Errorf("host key %s: it is of type %s, not %s", kind.file, got, kind.algorithm)
		}
		if signer, err = withoutSHA1(signer); err != nil {
			return nil, fmt.Errorf("host key %s: %w", kind.file, err)
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

// createHostKey makes a key. If another process was quicker, its key stays.
func createHostKey(keys HostKeys, name string, generate func() (crypto.Signer, error)) error {
	key, err := generate()
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "sftp-connector")
	if err != nil {
		return err
	}
	if err := keys.Create(name, pem.EncodeToMemory(block)); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// withoutSHA1 lets an RSA key sign with SHA-2 only. Other keys are left as they are.
func withoutSHA1(s ssh.Signer) (ssh.Signer, error) {
	a, ok := s.(ssh.AlgorithmSigner)
	if !ok || s.PublicKey().Type() != ssh.KeyAlgoRSA {
		return s, nil
	}
	return ssh.NewSignerWithAlgorithms(a, rsaSignatures)
}
