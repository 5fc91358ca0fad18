package sftp

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/crypto/ssh"
)

// Bounds of what a key file may ask for.
const (
	maxKeyFile      = 256 << 10 // bytes
	maxRSABits      = 16384
	maxBcryptRounds = 4096 // ssh-keygen's default is 24
)

// Why a key file cannot be used, as users read it.
var (
	errPassphraseMissing = errors.New("it is encrypted: give its passphrase in sftp.key_pairs_passphrase")
	errPassphraseWrong   = errors.New("the passphrase in sftp.key_pairs_passphrase does not fit, or the file is damaged")
	errNoKey             = errors.New("it is no private key in OpenSSH, PEM or PuTTY format")
	errPublicKey         = errors.New("it is a public key: name the private key's file")
)

// loadSigners reads a private key, and the certificate beside it in
// "<path>-cert.pub" if there is one, which is then tried first. Errors name the
// file and say what to do; they never hold the passphrase or key material.
func loadSigners(path, passphrase string, legacy bool) ([]ssh.Signer, error) {
	data, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := parseKey(data, []byte(passphrase))
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	signers, err := modernSigners(signer, legacy)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	cert, err := readKeyFile(path + "-cert.pub")
	if errors.Is(err, fs.ErrNotExist) {
		return signers, nil
	}
	if err != nil {
		return nil, err
	}
	certSigner, err := withCertificate(cert, signers[0])
	if err != nil {
		return nil, fmt.Errorf("certificate %s-cert.pub: %w", path, err)
	}
	return append([]ssh.Signer{certSigner}, signers...), nil
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
			signer, err = nil, fmt.Errorf("%w: it is damaged", errNoKey)
		}
	}()
	raw, err := parseRawKey(data, passphrase)
	if err != nil {
		return nil, err
	}
	if k, ok := raw.(*rsa.PrivateKey); ok && k.N.BitLen() > maxRSABits {
		return nil, fmt.Errorf("an RSA key of %d bits: %d is the most", k.N.BitLen(), maxRSABits)
	}
	signer, err = ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, errors.Join(errNoKey, err)
	}
	return signer, nil
}

// parseRawKey tells the formats apart.
func parseRawKey(data, passphrase []byte) (any, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if bytes.HasPrefix(data, []byte("PuTTY-User-Key-File-")) {
		return parsePPK(data, passphrase)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, notPEM(data)
	}
	switch block.Type {
	case "ENCRYPTED PRIVATE KEY":
		return parseEncryptedPKCS8(block.Bytes, passphrase)
	case "OPENSSH PRIVATE KEY":
		if bcryptRounds(block.Bytes) > maxBcryptRounds {
			return nil, fmt.Errorf("its passphrase is hashed in more than %d rounds", maxBcryptRounds)
		}
	}
	raw, err := ssh.ParseRawPrivateKey(data)
	if _, encrypted := errors.AsType[*ssh.PassphraseMissingError](err); encrypted {
		if len(passphrase) == 0 {
			return nil, errPassphraseMissing
		}
		if raw, err = ssh.ParseRawPrivateKeyWithPassphrase(data, passphrase); err != nil {
			return nil, wrongPassphrase(err)
		}
		return raw, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoKey, err)
	}
	return raw, nil
}

// wrongPassphrase tells a passphrase that does not fit from a key that cannot
// be read with any.
func wrongPassphrase(err error) error {
	if errors.Is(err, x509.IncorrectPasswordError) {
		return errPassphraseWrong
	}
	return fmt.Errorf("%w (%w)", errPassphraseWrong, err)
}

// notPEM says what a file is in place of a private key.
func notPEM(data []byte) error {
	if _, _, _, _, err := ssh.ParseAuthorizedKey(data); err == nil {
		return errPublicKey
	}
	if bytes.HasPrefix(data, []byte("---- BEGIN SSH2 PUBLIC KEY")) {
		return errPublicKey
	}
	return errNoKey
}

// bcryptRounds is how costly the passphrase of an OpenSSH key is made (the
// format is OpenSSH's PROTOCOL.key).
func bcryptRounds(block []byte) uint32 {
	rest, ok := bytes.CutPrefix(block, []byte("openssh-key-v1\x00"))
	var key struct {
		Cipher, KDF string
		Options     string
		Rest        []byte `ssh:"rest"`
	}
	var options struct {
		Salt   string
		Rounds uint32
	}
	if !ok || ssh.Unmarshal(rest, &key) != nil || ssh.Unmarshal([]byte(key.Options), &options) != nil {
		return 0
	}
	return options.Rounds
}

// modernSigners lets an RSA key sign with SHA-2 (RFC 8332), and with SHA-1 only
// when legacy algorithms are allowed.
func modernSigners(signer ssh.Signer, legacy bool) ([]ssh.Signer, error) {
	free, ok := signer.(ssh.AlgorithmSigner)
	if !ok || signer.PublicKey().Type() != ssh.KeyAlgoRSA {
		return []ssh.Signer{signer}, nil
	}
	algorithms := []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	if legacy {
		algorithms = append(algorithms, ssh.KeyAlgoRSA)
	}
	restricted, err := ssh.NewSignerWithAlgorithms(free, algorithms)
	if err != nil {
		return nil, err
	}
	return []ssh.Signer{restricted, unannounced{restricted}}, nil
}

// unannounced is the same RSA key for a server that takes SHA-2 signatures but
// does not announce it (RFC 8308): x/crypto would fall back to SHA-1, OpenSSH's
// client signs with SHA-512. It is tried when the first form does not go through.
type unannounced struct{ ssh.MultiAlgorithmSigner }

// PublicKey is the key under the name of its signature algorithm.
func (s unannounced) PublicKey() ssh.PublicKey {
	return sha512Key{s.MultiAlgorithmSigner.PublicKey()}
}

type sha512Key struct{ ssh.PublicKey }

func (sha512Key) Type() string { return ssh.KeyAlgoRSASHA512 }

// withCertificate makes a signer that shows the certificate.
func withCertificate(data []byte, signer ssh.Signer) (ssh.Signer, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(data)
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
