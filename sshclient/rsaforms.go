package sshclient

import (
	"slices"

	"golang.org/x/crypto/ssh"
)

// announcement is whether the server announces signatures with SHA-2 for RSA keys
// (RFC 8308), as far as it is known in a login. x/crypto keeps the announcement to
// itself. But without one it does not offer a key that signs with SHA-2 only, and so
// never asks for its text.
type announcement struct{ seen bool }

// offers gives the keys in the forms in which x/crypto is to offer them, in their
// order. Each goes out once, as servers count what they refuse. x/crypto passes over
// the first one that it has no algorithm for, and no more than that.
//
// Where SHA-1 is allowed, too, a key may go out a second time, behind all others: for
// a server that announces nothing it is not known which of them it takes.
func offers(signers []ssh.Signer) []ssh.Signer {
	var out, behind []ssh.Signer
	var server *announcement
	for _, signer := range signers {
		key, ok := signer.(ssh.MultiAlgorithmSigner)
		switch {
		case !ok || sha512Name(key.PublicKey()) == "":
			out = append(out, signer)
		case slices.Contains(key.Algorithms(), ssh.KeyAlgoRSA):
			out, behind = append(out, signer), append(behind, rsaForm{key, underSHA512})
		case server == nil:
			server = new(announcement)
			out = append(out, rsaForm{key, server.watch}, rsaForm{key, server.unlessSeen})
		default:
			out = append(out, rsaForm{key, server.asSeen})
		}
	}
	return append(out, behind...)
}

// rsaForm is an RSA key, or its certificate, under another name.
type rsaForm struct {
	ssh.MultiAlgorithmSigner
	name func(ssh.PublicKey) ssh.PublicKey
}

// PublicKey is asked for when it is the key's turn.
func (f rsaForm) PublicKey() ssh.PublicKey { return f.name(f.MultiAlgorithmSigner.PublicKey()) }

// underSHA512 names a key after its signature algorithm, for a server that takes
// SHA-2 but does not announce it: x/crypto would fall back to SHA-1.
func underSHA512(key ssh.PublicKey) ssh.PublicKey { return renamed{key, sha512Name(key)} }

// sha512Name is the algorithm of an RSA key or its certificate with SHA-512; "" for
// other keys.
func sha512Name(key ssh.PublicKey) string {
	switch key.Type() {
	case ssh.KeyAlgoRSA:
		return ssh.KeyAlgoRSASHA512
	case ssh.CertAlgoRSAv01:
		return ssh.CertAlgoRSASHA512v01
	}
	return ""
}

// watch notes that the key is offered under its own name.
func (a *announcement) watch(key ssh.PublicKey) ssh.PublicKey { return watched{key, a} }

// unlessSeen is the watched key once more, where it was not offered.
func (a *announcement) unlessSeen(key ssh.PublicKey) ssh.PublicKey {
	if a.seen {
		return renamed{key, ""} // no algorithm is found for it
	}
	return underSHA512(key)
}

// asSeen is any further key.
func (a *announcement) asSeen(key ssh.PublicKey) ssh.PublicKey {
	if a.seen {
		return key
	}
	return underSHA512(key)
}

type watched struct {
	ssh.PublicKey
	server *announcement
}

func (k watched) Marshal() []byte {
	k.server.seen = true
	return k.PublicKey.Marshal()
}

type renamed struct {
	ssh.PublicKey
	name string
}

func (k renamed) Type() string { return k.name }
