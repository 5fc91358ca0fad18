package sshclient

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/crypto/ssh"
)

// Bounds of what a key file may ask for.
const (
	maxKeyFile = 256 << 10 // bytes
	maxRSABits = 16384
)

// Why a key file cannot be used, as users read it.
var (
	errPassphraseMissing = errors.New("it is encrypted: give its passphrase in sftp.key_pairs_passphrase")
	errPassphraseWrong   = errors.New("the passphrase in sftp.key_pairs_passphrase does not fit")
	errNoKey             = errors.New("it is no private key in OpenSSH, PEM or PuTTY format")
	errDamaged           = errors.New("it is damaged: take it from where it was made again")
)

// loadSigners reads a private key, and its certificate in "<path>-cert.pub", or
// else in the file itself, which is then tried first. Errors name the file and
// say what to do; they never hold the passphrase or key material.
func loadSigners(path, passphrase string, legacy bool) ([]ssh.Signer, error) {
	data, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := parseKey(data, []byte(passphrase))
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	if signer, err = modernSigner(signer, legacy); err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	certSigner, err := certificateSigner(path, data, signer)
	switch {
	case err != nil:
		return nil, err
	case certSigner == nil:
		return []ssh.Signer{signer}, nil
	}
	return []ssh.Signer{certSigner, signer}, nil
}

// certificateSigner makes a signer that shows the key's certificate; nil: there is none.
func certificateSigner(path string, keyFile []byte, signer ssh.Signer) (ssh.Signer, error) {
	data, err := readKeyFile(path + "-cert.pub")
	if errors.Is(err, fs.ErrNotExist) {
		if cert := certificateIn(keyText(keyFile)); cert != nil {
			if s, err := ssh.NewCertSigner(cert, signer); err == nil {
				return s, nil
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	certSigner, err := withCertificate(data, signer)
	if err != nil {
		return nil, fmt.Errorf("certificate %s-cert.pub: %w", path, err)
	}
	return certSigner, nil
}

// certificateIn finds the first OpenSSH certificate in a text.
func certificateIn(text string) *ssh.Certificate {
	for rest := []byte(text); len(rest) > 0; {
		key, _, _, next, err := ssh.ParseAuthorizedKey(rest)
		if err != nil {
			return nil
		}
		if cert, ok := key.(*ssh.Certificate); ok {
			return cert
		}
		rest = next
	}
	return nil
}

// readKeyFile reads a file of bounded size.
func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("key file %s: %w: it is larger than %d bytes", path, errNoKey, maxKeyFile)
	}
	return data, nil
}

// parseKey reads a private key in any of the formats. The libraries behind it
// were made for files that one trusts; a malformed one must not end the daemon.
func parseKey(data, passphrase []byte) (signer ssh.Signer, err error) {
	defer func() {
		if recover() != nil {
			signer, err = nil, errDamaged
		}
	}()
	raw, err := parseRawKey(data, passphrase)
	if err != nil {
		return nil, err
	}
	switch k := raw.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() > maxRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits: %d is the most", k.N.BitLen(), maxRSABits)
		}
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P224() {
			return nil, errCurve
		}
	case *ed25519.PrivateKey:
		// A public half that does not belong to the seed would give the key away.
		if !bytes.Equal(ed25519.NewKeyFromSeed(k.Seed()), *k) {
			return nil, errDamaged
		}
	}
	signer, err = ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, &keyForm{fmt.Sprintf("a key of a kind (%T) that SSH has not", raw), adviceNewKey}
	}
	return signer, nil
}

// modernSigner lets an RSA key sign with SHA-2 (RFC 8332), and with SHA-1 only when
// legacy algorithms are allowed.
func modernSigner(signer ssh.Signer, legacy bool) (ssh.Signer, error) {
	if signer.PublicKey().Type() == typeDSA && !legacy {
		return nil, errDSA
	}
	free, ok := signer.(ssh.AlgorithmSigner)
	if !ok || sha512Name(signer.PublicKey()) == "" {
		return signer, nil
	}
	algorithms := []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	if legacy {
		algorithms = append(algorithms, ssh.KeyAlgoRSA)
	}
	return ssh.NewSignerWithAlgorithms(free, algorithms)
}

// withCertificate makes a signer that shows the certificate.
func withCertificate(data []byte, signer ssh.Signer) (ssh.Signer, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(keyText(data)))
	if err != nil {
		return nil, errors.New("it cannot be read")
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("it is no certificate")
	}
	certSigner, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil, errors.New("it is for another key")
	}
	return certSigner, nil
}
