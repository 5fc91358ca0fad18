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

// loadHostKeys reads the keys, and makes the missing ones. A key that cannot be read is
// an error and is not replaced: every client would take a new key for an attack.
func loadHostKeys(dir string) ([]ssh.Signer, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("host keys: %w", err)
	}
	if err := durable.SyncDirectory(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("host keys: %w", err)
	}
	var signers []ssh.Signer
	for _, kind := range hostKeyKinds {
		path := filepath.Join(dir, kind.file)
		signer, err := readHostKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err = createHostKey(path, kind.generate); err == nil {
				signer, err = readHostKey(path)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("host key %s: %w", path, err)
		}
		if got := signer.PublicKey().Type(); got != kind.algorithm {
			return nil, fmt.Errorf("host key %s: it is of type %s, not %s", path, got, kind.algorithm)
		}
		if signer, err = withoutSHA1(signer); err != nil {
			return nil, fmt.Errorf("host key %s: %w", path, err)
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

// withoutSHA1 lets an RSA key sign with SHA-2 only. Other keys are left as they are.
func withoutSHA1(s ssh.Signer) (ssh.Signer, error) {
	a, ok := s.(ssh.AlgorithmSigner)
	if !ok || s.PublicKey().Type() != ssh.KeyAlgoRSA {
		return s, nil
	}
	return ssh.NewSignerWithAlgorithms(a, rsaSignatures)
}

func readHostKey(path string) (ssh.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read it (mode %04o): if none of them had a look, run chmod 600; else remove it, and clients will have to trust a new one", info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("it is no unencrypted private key: bring it back from a backup, or remove it, and clients will have to trust a new one (%w)", err)
	}
	return signer, nil
}

// createHostKey makes a key appear in one step, complete and durable. If another
// process was quicker, its key stays.
func createHostKey(path string, generate func() (crypto.Signer, error)) error {
	key, err := generate()
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "sftp-connector")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".host_key_*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(pem.EncodeToMemory(block))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := publish(f.Name(), path); err != nil {
		return err
	}
	return durable.SyncDirectory(dir)
}

// publish gives a file its name, unless the name is taken. Without hard links it
// renames the file: the last of two that start at the same moment then wins.
func publish(temporary, path string) error {
	err := os.Link(temporary, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.Rename(temporary, path)
}
