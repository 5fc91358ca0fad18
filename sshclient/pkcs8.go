package sshclient

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// maxPBKDF2Iterations bounds what a key file may ask for; OpenSSL's default is 2048.
const maxPBKDF2Iterations = 10_000_000

// Bounds of scrypt: together 128 MiB; OpenSSL's defaults are 16384, 8 and 1.
const (
	maxScryptN = 1 << 17
	maxScryptR = 8
	maxScryptP = 16
)

// Object identifiers of PKCS #5 (RFC 8018, appendix B).
const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
	oidScrypt = "1.3.6.1.4.1.11591.4.11" // RFC 7914, section 7
)

// errPKCS8 is a PEM file that is encrypted in a way that we do not know.
var errPKCS8 = errors.New("its encryption is not supported: rewrite it with 'openssl pkey -aes256 -in FILE -out NEW', or with 'ssh-keygen -p -f FILE'")

// encryptedPKCS8 is a PKCS #8 key under a passphrase (RFC 5958, section 3).
type encryptedPKCS8 struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// isEncryptedPKCS8 tells whether der looks like one.
func isEncryptedPKCS8(der []byte) bool {
	var info encryptedPKCS8
	rest, err := asn1.Unmarshal(der, &info)
	return err == nil && len(rest) == 0
}

// parseEncryptedPKCS8 reads what openssl and 'ssh-keygen -m PKCS8' write under
// a passphrase: PBES2 with PBKDF2 or scrypt, and AES or 3DES in CBC mode (RFC
// 8018, RFC 7914). x/crypto reads PKCS #8 without a passphrase only.
func parseEncryptedPKCS8(der, passphrase []byte) (any, error) {
	var info encryptedPKCS8
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, errDamaged
	}
	if info.Algorithm.Algorithm.String() != oidPBES2 {
		return nil, errPKCS8
	}
	if len(passphrase) == 0 {
		return nil, errPassphraseMissing
	}
	block, iv, err := pbes2(info.Algorithm.Parameters.FullBytes, passphrase)
	if err != nil {
		return nil, err
	}
	if len(info.Data) == 0 || len(info.Data)%block.BlockSize() != 0 {
		return nil, errDamaged
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > block.BlockSize() || !isDER(plain[:len(plain)-pad]) {
		return nil, errPassphraseWrong
	}
	return parsePKCS8(plain[:len(plain)-pad])
}

// pbes2 makes the cipher and the IV of the scheme's parameters.
func pbes2(parameters, passphrase []byte) (cipher.Block, []byte, error) {
	var scheme struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(parameters, &scheme); err != nil {
		return nil, nil, errDamaged
	}
	newCipher, keyLength := cbcCipher(scheme.Cipher.Algorithm.String())
	if newCipher == nil {
		return nil, nil, errPKCS8
	}
	key, err := deriveKey(scheme.KDF, passphrase, keyLength)
	if err != nil {
		return nil, nil, err
	}
	block, err := newCipher(key)
	if err != nil {
		return nil, nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil || len(iv) != block.BlockSize() {
		return nil, nil, errDamaged
	}
	return block, iv, nil
}

// cbcCipher gives the cipher of an identifier and its key length, or nil.
func cbcCipher(oid string) (func([]byte) (cipher.Block, error), int) {
	switch oid {
	case "2.16.840.1.101.3.4.1.2":
		return aes.NewCipher, 16
	case "2.16.840.1.101.3.4.1.22":
		return aes.NewCipher, 24
	case "2.16.840.1.101.3.4.1.42":
		return aes.NewCipher, 32
	case "1.2.840.113549.3.7":
		return des.NewTripleDESCipher, 24
	}
	return nil, 0
}

// deriveKey is PBKDF2 or scrypt with the parameters of the file.
func deriveKey(kdf pkix.AlgorithmIdentifier, passphrase []byte, length int) ([]byte, error) {
	switch kdf.Algorithm.String() {
	case oidPBKDF2:
		return derivePBKDF2(kdf, passphrase, length)
	case oidScrypt:
		return deriveScrypt(kdf, passphrase, length)
	}
	return nil, errPKCS8
}

func deriveScrypt(kdf pkix.AlgorithmIdentifier, passphrase []byte, length int) ([]byte, error) {
	var p struct {
		Salt    []byte
		N, R, P int
		Length  int `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
		return nil, errDamaged
	}
	if p.N < 2 || p.R < 1 || p.P < 1 || p.N > maxScryptN || p.R > maxScryptR || p.P > maxScryptP {
		return nil, errPKCS8
	}
	key, err := scrypt.Key(passphrase, p.Salt, p.N, p.R, p.P, length)
	if err != nil {
		return nil, errDamaged
	}
	return key, nil
}

func derivePBKDF2(kdf pkix.AlgorithmIdentifier, passphrase []byte, length int) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
		Length     int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
		return nil, errPKCS8
	}
	if p.Iterations < 1 || p.Iterations > maxPBKDF2Iterations || p.Length != 0 && p.Length != length {
		return nil, errPKCS8
	}
	var h func() hash.Hash
	switch p.PRF.Algorithm.String() {
	case "", "1.2.840.113549.2.7":
		h = sha1.New
	case "1.2.840.113549.2.9":
		h = sha256.New
	case "1.2.840.113549.2.10":
		h = sha512.New384
	case "1.2.840.113549.2.11":
		h = sha512.New
	default:
		return nil, errPKCS8
	}
	return pbkdf2.Key(h, string(passphrase), p.Salt, p.Iterations, length)
}
