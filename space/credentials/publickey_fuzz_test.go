package credentials

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// FuzzPublicKeys: a line that is taken is one key of a kind that is strong enough, and
// opens to that key alone; an error repeats nothing of the line.
func FuzzPublicKeys(f *testing.F) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		f.Fatal(err)
	}
	cert := &ssh.Certificate{Key: key, CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		f.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	for _, text := range []string{
		line, line + " me@here", `from="10.0.0.0/8" ` + line, line + "\n" + line, "# " + line, string(ssh.MarshalAuthorizedKey(cert)),
		"-----BEGIN OPENSSH PRIVATE KEY-----", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQ==", "ssh-dss AAAA", "", "ssh-ed25519", "cert-authority " + line,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys([]string{text})
		if err != nil {
			if keys != nil || len(err.Error()) > 200 || len(text) > 20 && strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v, %v", text, keys, err)
			}
			return
		}
		if len(keys) != 1 || !keys.Has(keys[0]) || keys.Has(cert) {
			t.Errorf("%q opens to %v", text, keys)
		}
		if _, ok := keys[0].(*ssh.Certificate); ok || keys[0].Type() == ssh.KeyAlgoRSA && rsaBits(keys[0]) < minRSA || keys[0].Type() == "ssh-dss" {
			t.Errorf("%q is taken, a %s", text, keys[0].Type())
		}
		if again, err := ParseKeys([]string{string(ssh.MarshalAuthorizedKey(keys[0]))}); err != nil || !again.Has(keys[0]) {
			t.Errorf("%q is another key when it is written out: %v", text, err)
		}
	})
}
