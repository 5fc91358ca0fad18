package sshclient

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// parseRawKey tells the formats apart. Of several keys the first that can be
// used is taken.
func parseRawKey(data, passphrase []byte) (any, error) {
	if len(data) > 0 && data[0] == 0x30 && isDER(data) {
		return parseDER(data, passphrase)
	}
	text := keyText(data)
	if _, ppk, ok := strings.Cut(text, ppkHeader); ok {
		return parsePPK([]byte(ppkHeader+ppk), passphrase)
	}
	blocks := keyBlocks(text)
	var unusable error
	for _, b := range blocks {
		if !strings.HasSuffix(b.kind, "PRIVATE KEY") || pemForms[b.kind] != nil {
			continue
		}
		raw, err := parseBlock(b, passphrase)
		if _, form := errors.AsType[*keyForm](err); !form {
			return raw, err
		}
		if unusable == nil {
			unusable = err
		}
	}
	if unusable != nil {
		return nil, unusable
	}
	return nil, formOf(text, blocks)
}

// parseBlock reads the private key in a PEM block.
func parseBlock(b keyBlock, passphrase []byte) (any, error) {
	if b.damaged {
		return nil, errDamaged
	}
	der := b.data
	if strings.Contains(b.headers["Proc-Type"], "ENCRYPTED") {
		var err error
		if der, err = decryptPEM(b, passphrase); err != nil {
			return nil, err
		}
	}
	switch b.kind {
	case "OPENSSH PRIVATE KEY":
		return parseOpenSSH(der, passphrase)
	case "ENCRYPTED PRIVATE KEY":
		return parseEncryptedPKCS8(der, passphrase)
	case "PRIVATE KEY":
		return parsePKCS8(der)
	case "RSA PRIVATE KEY":
		return parsePKCS1(der)
	case "EC PRIVATE KEY":
		return parseSEC1(der)
	case "DSA PRIVATE KEY":
		if raw, err := ssh.ParseDSAPrivateKey(der); err == nil {
			return raw, nil // who allows legacy algorithms may use it
		}
		return nil, errDSA
	}
	return nil, fmt.Errorf("%w: it is a PEM file of the type %q", errNoKey, b.kind)
}

func parsePKCS1(der []byte) (any, error) {
	raw, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, errDamaged
	}
	return raw, nil
}

func parsePKCS8(der []byte) (any, error) {
	raw, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, pkcs8Form(der)
	}
	return raw, nil
}

// parseSEC1 reads an EC key as RFC 5915 has it.
func parseSEC1(der []byte) (any, error) {
	raw, err := x509.ParseECPrivateKey(der)
	if err == nil {
		return raw, nil
	}
	var key struct {
		Version    int
		Private    []byte
		Parameters asn1.RawValue  `asn1:"optional,explicit,tag:0"`
		Public     asn1.BitString `asn1:"optional,explicit,tag:1"`
	}
	switch _, broken := asn1.Unmarshal(der, &key); {
	case broken != nil:
		return nil, errDamaged
	case len(key.Parameters.Bytes) == 0:
		return nil, errDamaged
	}
	var parameters asn1.RawValue
	if _, err := asn1.Unmarshal(key.Parameters.Bytes, &parameters); err != nil {
		return nil, errDamaged
	}
	return nil, curveForm(parameters)
}

// decryptPEM is the encryption of OpenSSL's older formats (RFC 1423).
func decryptPEM(b keyBlock, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, errPassphraseMissing
	}
	block := &pem.Block{Type: b.kind, Headers: b.headers, Bytes: b.data}
	//lint:ignore SA1019 the files are there, and it is their owner who chose it
	der, err := x509.DecryptPEMBlock(block, passphrase)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, errPassphraseWrong
	case err != nil && strings.Contains(err.Error(), "unknown encryption mode"):
		return nil, errPKCS8
	case err != nil:
		return nil, errDamaged
	case !isDER(der):
		return nil, errPassphraseWrong // what it gave only looks padded
	}
	return der, nil
}

// parseDER reads a key that is not wrapped into text.
func parseDER(data, passphrase []byte) (any, error) {
	if raw, err := x509.ParsePKCS8PrivateKey(data); err == nil {
		return raw, nil
	}
	if raw, err := x509.ParsePKCS1PrivateKey(data); err == nil {
		return raw, nil
	}
	if raw, err := x509.ParseECPrivateKey(data); err == nil {
		return raw, nil
	}
	if isEncryptedPKCS8(data) {
		return parseEncryptedPKCS8(data, passphrase)
	}
	return nil, derForm(data)
}
