package sshd

import "golang.org/x/crypto/ssh"

// serverVersion is how we introduce ourselves (RFC 4253, section 4.2).
const serverVersion = "SSH-2.0-sftp-connector"

// Bounds of a login.
const (
	maxPasswords = 6 // that are looked at, in a connection
	// maxTries counts the public keys that an agent offers too. It is more than
	// maxPasswords, so that the sixth wrong password is answered as one, which
	// clients show as "Permission denied", and not with the end of the connection.
	maxTries = 10
)

// baseConfig allows the algorithms without known weaknesses that every client
// of the last ten years has one of: no SHA-1, no CBC, and no Diffie-Hellman
// over integers, where a stranger could have us do the most work.
func baseConfig() ssh.ServerConfig {
	c := ssh.ServerConfig{
		MaxAuthTries:            maxTries,
		ServerVersion:           serverVersion,
		PublicKeyAuthAlgorithms: ssh.SupportedAlgorithms().PublicKeyAuths, // without SHA-1
	}
	c.KeyExchanges = []string{
		ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
		ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
	}
	c.Ciphers = []string{
		ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305,
		ssh.CipherAES128CTR, ssh.CipherAES192CTR, ssh.CipherAES256CTR,
	}
	c.MACs = []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256, ssh.HMACSHA512}
	return c
}
