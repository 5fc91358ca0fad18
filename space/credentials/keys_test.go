package credentials

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestAuthorize(t *testing.T) {
	t.Parallel()
	keys := []Key{
		NewKey("ops", "sk_ops", []string{"one", "two"}),
		NewKey("all", "sk_all", []string{AllSpaces}),
		NewKey("none", "sk_none", nil),
		NewKey("empty", "", []string{AllSpaces}),
		{Name: "zero", Spaces: []string{AllSpaces}},
		NewKey("second", "sk_ops", []string{"three"}),
	}
	for _, c := range []struct{ bearer, space, name string }{
		{"sk_ops", "one", "ops"},
		{"sk_ops", "two", "ops"},
		{"sk_ops", "three", "second"},
		{"sk_ops", "four", ""},
		{"sk_ops", "*", ""},
		{"sk_ops", "", ""},
		{"sk_all", "four", "all"},
		{"sk_all", "", ""},
		{"sk_none", "one", ""},
		{"", "one", ""},
		{"sk_op", "one", ""},
		{"sk_opsx", "one", ""},
		{"SK_OPS", "one", ""},
		{"*", "one", ""},
	} {
		if name, ok := Authorize(keys, c.bearer, c.space); name != c.name || ok != (c.name != "") {
			t.Errorf("%q for %q: %q, %v", c.bearer, c.space, name, ok)
		}
	}
}

func public(t *testing.T, key any) ssh.PublicKey {
	t.Helper()
	if signer, ok := key.(crypto.Signer); ok {
		key = signer.Public()
	}
	p, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func line(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }

func TestParseKeys(t *testing.T) {
	t.Parallel()
	_, private, _ := ed25519.GenerateKey(nil)
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), nil)
	// A modulus needs no primes for being read.
	modulus := func(bits int) *rsa.PublicKey {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
	}
	ed, ec, strong := public(t, private), public(t, curve), public(t, modulus(2048))
	keys, err := ParseKeys([]string{line(ed), line(ec) + " me@there", "  " + line(strong) + "\n"})
	if err != nil || len(keys) != 3 {
		t.Fatal(keys, err)
	}
	_, foreign, _ := ed25519.GenerateKey(nil)
	for _, k := range []ssh.PublicKey{ed, ec, strong} {
		if !keys.Has(k) {
			t.Errorf("%s is not found", k.Type())
		}
	}
	if keys.Has(public(t, foreign)) || PublicKeys(nil).Has(ed) {
		t.Error("a foreign key is found")
	}
	if keys, err := ParseKeys(nil); len(keys) > 0 || err != nil {
		t.Error(keys, err)
	}

	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &ssh.Certificate{Key: ed, CertType: ssh.UserCert}
	if err := certificate.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	if keys.Has(certificate) {
		t.Error("a certificate is found")
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	weak := "ssh-dss " + base64.StdEncoding.EncodeToString(ssh.Marshal(struct {
		Type       string
		P, Q, G, Y *big.Int
	}{"ssh-dss", new(big.Int).SetBit(big.NewInt(1), 1023, 1), new(big.Int).SetBit(big.NewInt(1), 159, 1), big.NewInt(2), big.NewInt(3)}))
	for text, why := range map[string]string{
		"": "not a line", "# " + line(ed): "not a line", "ssh-ed25519 AAAA": "not a line", "ssh-ed25519": "not a line",
		strings.Fields(line(ed))[1]:       "not a line",
		line(ed) + "\n" + line(ec):        "more than one",
		"restrict " + line(ed):            "options",
		`from="10.0.0.1" ` + line(ed):     "options",
		"cert-authority " + line(ed):      "options",
		line(public(t, modulus(2047))):    "2047 bits",
		line(public(t, modulus(1024))):    "1024 bits",
		weak:                              "ssh-dss",
		line(certificate):                 "cert-v01",
		string(pem.EncodeToMemory(block)): "private key",
	} {
		keys, err := ParseKeys([]string{line(ed), text})
		if keys != nil || err == nil || !strings.Contains(err.Error(), why) || !strings.HasPrefix(err.Error(), "public key 2: ") {
			t.Errorf("%.30q: %v, %v; want %q", text, keys, err, why)
			continue
		}
		for _, word := range strings.Fields(text) {
			if len(word) > 40 && strings.Contains(err.Error(), word) {
				t.Errorf("repeats %s", word)
			}
		}
	}
}
