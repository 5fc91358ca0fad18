package sshclient

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"

	//lint:ignore SA1019 the format of OpenSSH's keys is made with it
	"golang.org/x/crypto/blowfish"
)

// maxBcryptRounds bounds what a key file may ask for: these take some seconds, which
// nothing can cut short. ssh-keygen's default is 24.
const maxBcryptRounds = 512

// bcryptKey is bcrypt_pbkdf(3), from which OpenSSH takes the key and the IV of
// an encrypted private key. x/crypto has it for its own use only.
func bcryptKey(passphrase, salt []byte, rounds uint32, length int) ([]byte, error) {
	if rounds > maxBcryptRounds {
		return nil, fmt.Errorf("its passphrase is hashed in %d rounds, and %d are the most that are taken: save it again with 'ssh-keygen -p -a 24 -f FILE'",
			rounds, maxBcryptRounds)
	}
	if rounds == 0 || len(salt) == 0 {
		return nil, errDamaged
	}
	hashed := sha512.Sum512(passphrase)
	blocks := (length + bcryptSize - 1) / bcryptSize
	key := make([]byte, blocks*bcryptSize)
	for n := range blocks {
		salted := sha512.Sum512(binary.BigEndian.AppendUint32(salt[:len(salt):len(salt)], uint32(n+1)))
		step, err := bcryptHash(hashed[:], salted[:])
		if err != nil {
			return nil, err
		}
		sum := step
		for range rounds - 1 {
			salted = sha512.Sum512(step[:])
			if step, err = bcryptHash(hashed[:], salted[:]); err != nil {
				return nil, err
			}
			for i := range sum {
				sum[i] ^= step[i]
			}
		}
		for i, b := range sum {
			key[i*blocks+n] = b // the blocks are spread over the whole key
		}
	}
	return key[:length], nil
}

// bcryptSize is the length of what one call of bcryptHash gives.
const bcryptSize = 32

func bcryptHash(passphrase, salt []byte) (out [bcryptSize]byte, err error) {
	c, err := blowfish.NewSaltedCipher(passphrase, salt)
	if err != nil {
		return out, err
	}
	for range 64 {
		blowfish.ExpandKey(salt, c)
		blowfish.ExpandKey(passphrase, c)
	}
	copy(out[:], "OxychromaticBlowfishSwatDynamite")
	for i := 0; i < len(out); i += blowfish.BlockSize {
		for range 64 {
			c.Encrypt(out[i:i+blowfish.BlockSize], out[i:i+blowfish.BlockSize])
		}
	}
	for i := 0; i < len(out); i += 4 { // the words are little endian
		binary.LittleEndian.PutUint32(out[i:], binary.BigEndian.Uint32(out[i:]))
	}
	return out, nil
}
