package sftp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// maxPBKDF2Iterations bounds what a key file may ask for; OpenSSL's default is 2048.
const maxPBKDF2Iterations = 10_000_000

// Object identifiers of PKCS #5 (RFC 8018, appendix B).
const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
)

// errPKCS8 is a PKCS #8 file that is encrypted in a way that we do not know.
var errPKCS8 = errors.New("its encryption is not supported: rewrite it with 'ssh-keygen -p -f FILE'")

// parseEncryptedPKCS8 reads what openssl and 'ssh-keygen -m PKCS8' write under
// a passphrase: PBES2 with PBKDF2 and AES or 3DES in CBC mode (RFC 5958, RFC
// 8018). x/crypto reads PKCS #8 without a passphrase only.
func parseEncryptedPKCS8(der, passphrase []byte) (any, error) {
	if len(passphrase) == 0 {
		return nil, errPassphraseMissing
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: it is damaged", errNoKey)
	}
	if info.Algorithm.Algorithm.String() != oidPBES2 {
		return nil, errPKCS8
	}
	var scheme struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, errPKCS8
	}
	newCipher, keyLength := cbcCipher(scheme.Cipher.Algorithm.String())
	if newCipher == nil {
		return nil, errPKCS8
	}
	key, err := deriveKey(scheme.KDF, passphrase, keyLength)
	if err != nil {
		return nil, err
	}
	block, err := newCipher(key)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil || len(iv) != block.BlockSize() {
		return nil, errPKCS8
	}
	if len(info.Data) == 0 || len(info.Data)%block.BlockSize() != 0 {
		return nil, fmt.Errorf("%w: it is damaged", errNoKey)
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > block.BlockSize() {
		return nil, errPassphraseWrong
	}
	raw, err := x509.ParsePKCS8PrivateKey(plain[:len(plain)-pad])
	if err != nil {
		return nil, errPassphraseWrong
	}
	return raw, nil
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

// deriveKey is PBKDF2 with the parameters of the file.
func deriveKey(kdf pkix.AlgorithmIdentifier, passphrase []byte, length int) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
		Length     int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if kdf.Algorithm.String() != oidPBKDF2 {
		return nil, errPKCS8
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
