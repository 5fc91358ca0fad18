package sshclient

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20"
	//lint:ignore SA1019 chacha20-poly1305@openssh.com is not the AEAD of RFC 8439
	"golang.org/x/crypto/poly1305"
	"golang.org/x/crypto/ssh"
)

const opensshMagic = "openssh-key-v1\x00"

// opensshKey is the envelope of OpenSSH's private keys (its PROTOCOL.key).
type opensshKey struct {
	Cipher, KDF string
	Options     []byte
	Keys        uint32
	Public      []byte
	Private     []byte
	Tag         []byte `ssh:"rest"` // of an authenticated cipher
}

// parseOpenSSH reads a key in any of the ciphers of ssh-keygen -Z. What is
// decrypted is handed on to x/crypto as a key without a cipher.
func parseOpenSSH(block, passphrase []byte) (any, error) {
	var k opensshKey
	rest, ok := bytes.CutPrefix(block, []byte(opensshMagic))
	if !ok || ssh.Unmarshal(rest, &k) != nil || k.Keys != 1 {
		return nil, errDamaged
	}
	if err := usableType(k.Public); err != nil {
		return nil, err
	}
	if k.KDF != "none" {
		if len(passphrase) == 0 {
			return nil, errPassphraseMissing
		}
		if err := k.decrypt(passphrase); err != nil {
			return nil, err
		}
	}
	plain := append([]byte(opensshMagic), ssh.Marshal(opensshKey{Cipher: "none", KDF: "none", Keys: 1, Public: k.Public, Private: k.Private})...)
	raw, err := ssh.ParseRawPrivateKey(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: plain}))
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", errDamaged, err)
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil || !bytes.Equal(signer.PublicKey().Marshal(), k.Public) {
		return nil, errDamaged // the public half belongs to another key
	}
	return raw, nil
}

// usableType says why keys of this type cannot log in here.
func usableType(public []byte) error {
	var key struct {
		Type string
		Rest []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(public, &key) != nil {
		return errDamaged
	}
	switch {
	case key.Type == typeDSA:
		return errDSA
	case strings.HasPrefix(key.Type, "sk-"), strings.HasPrefix(key.Type, "webauthn-sk-"):
		return errFIDO
	case foreignKeyType(key.Type):
		return &keyForm{fmt.Sprintf("a key of the type %q", Printable([]byte(key.Type))), adviceNewKey}
	}
	return nil
}

// opensshCipher is a cipher of the format: the lengths of its key and IV, and
// how it decrypts in place. An authenticated cipher decrypts also what its tag
// does not fit, and gives errTag.
type opensshCipher struct {
	key, iv int
	decrypt func(key, iv, data, tag []byte) error
}

// opensshCipherOf gives the cipher of a name.
func opensshCipherOf(name string) (opensshCipher, bool) {
	switch name {
	case "aes128-cbc":
		return opensshCipher{16, aes.BlockSize, decryptCBC(aes.NewCipher)}, true
	case "aes192-cbc":
		return opensshCipher{24, aes.BlockSize, decryptCBC(aes.NewCipher)}, true
	case "aes256-cbc", "rijndael-cbc@lysator.liu.se":
		return opensshCipher{32, aes.BlockSize, decryptCBC(aes.NewCipher)}, true
	case "3des-cbc":
		return opensshCipher{24, des.BlockSize, decryptCBC(des.NewTripleDESCipher)}, true
	case "aes128-ctr":
		return opensshCipher{16, aes.BlockSize, decryptCTR}, true
	case "aes192-ctr":
		return opensshCipher{24, aes.BlockSize, decryptCTR}, true
	case "aes256-ctr":
		return opensshCipher{32, aes.BlockSize, decryptCTR}, true
	case "aes128-gcm@openssh.com":
		return opensshCipher{16, 12, decryptGCM}, true
	case "aes256-gcm@openssh.com":
		return opensshCipher{32, 12, decryptGCM}, true
	case "chacha20-poly1305@openssh.com":
		return opensshCipher{64, 0, decryptChaCha}, true
	}
	return opensshCipher{}, false
}

// decrypt makes k.Private plain.
func (k *opensshKey) decrypt(passphrase []byte) error {
	var options struct {
		Salt   []byte
		Rounds uint32
	}
	c, ok := opensshCipherOf(k.Cipher)
	if !ok || k.KDF != "bcrypt" {
		return fmt.Errorf("its encryption (%s, %s) is not supported: rewrite it with 'ssh-keygen -p -Z aes256-ctr -f FILE'",
			Printable([]byte(k.Cipher)), Printable([]byte(k.KDF)))
	}
	if ssh.Unmarshal(k.Options, &options) != nil || len(k.Private) == 0 {
		return errDamaged
	}
	key, err := bcryptKey(passphrase, options.Salt, options.Rounds, c.key+c.iv)
	if err != nil {
		return err
	}
	err = c.decrypt(key[:c.key], key[c.key:], k.Private, k.Tag)
	if err != nil && !errors.Is(err, errTag) {
		return err
	}
	// The key starts with a random number twice: the passphrase fits.
	var check struct {
		One, Two uint32
		Rest     []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(k.Private, &check) != nil || check.One != check.Two {
		return errPassphraseWrong
	}
	if err != nil {
		return errDamaged
	}
	return nil
}

// errTag: what was decrypted is not what was encrypted.
var errTag = errors.New("the tag does not fit")

func decryptCBC(newCipher func([]byte) (cipher.Block, error)) func(key, iv, data, tag []byte) error {
	return func(key, iv, data, _ []byte) error {
		block, err := newCipher(key)
		if err != nil {
			return err
		}
		if len(data)%block.BlockSize() != 0 {
			return errDamaged
		}
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(data, data)
		return nil
	}
}

func decryptCTR(key, iv, data, _ []byte) error {
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	cipher.NewCTR(block, iv).XORKeyStream(data, data)
	return nil
}

func decryptGCM(key, iv, data, tag []byte) error {
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	if len(tag) != gcm.Overhead() {
		return errDamaged
	}
	if plain, err := gcm.Open(nil, iv, append(data[:len(data):len(data)], tag...), nil); err == nil {
		copy(data, plain)
		return nil
	}
	// The cipher below is CTR, and block 1 is the tag's.
	counter := append(iv[:len(iv):len(iv)], 0, 0, 0, 2)
	cipher.NewCTR(block, counter).XORKeyStream(data, data)
	return errTag
}

// decryptChaCha is chacha20-poly1305@openssh.com as for packet 0: the second
// half of the key is for the length of packets, which a file has not.
func decryptChaCha(key, _, data, tag []byte) error {
	if len(tag) != poly1305.TagSize {
		return errDamaged
	}
	stream, err := chacha20.NewUnauthenticatedCipher(key[:chacha20.KeySize], make([]byte, chacha20.NonceSize))
	if err != nil {
		return errors.Join(errDamaged, err)
	}
	var once [32]byte
	stream.XORKeyStream(once[:], once[:])
	var sum [poly1305.TagSize]byte
	poly1305.Sum(&sum, data, &once)
	stream.SetCounter(1)
	stream.XORKeyStream(data, data)
	if subtle.ConstantTimeCompare(sum[:], tag) != 1 {
		return errTag
	}
	return nil
}
