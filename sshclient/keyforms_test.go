package sshclient

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
)

// Every cipher that ssh-keygen -Z writes is read.
func TestCiphersOfSSHKeygen(t *testing.T) {
	out, err := exec.Command("ssh", "-Q", "cipher").Output()
	if err != nil {
		t.Fatal(err)
	}
	ciphers := strings.Fields(string(out))
	if len(ciphers) < 10 {
		t.Fatalf("only %q", ciphers)
	}
	for _, cipher := range ciphers {
		for _, kind := range []string{"ed25519", "ecdsa"} {
			t.Run(cipher+" "+kind, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "id")
				command(t, "ssh-keygen", "-q", "-t", kind, "-N", "open sesame ü", "-f", path, "-Z", cipher, "-a", "3")
				expectKey(t, path, "open sesame ü", publicKey(t, path+".pub"))
				expectDamageTold(t, path, "open sesame ü")
			})
		}
	}
}

// expectDamageTold damages the encrypted part of a key: the passphrase fits
// then, and must not be blamed.
func expectDamageTold(t *testing.T, path, passphrase string) {
	t.Helper()
	blocks := keyBlocks(keyText([]byte(readText(t, path))))
	var k opensshKey
	if err := ssh.Unmarshal(blocks[0].data[len(opensshMagic):], &k); err != nil {
		t.Fatal(err)
	}
	k.Private[len(k.Private)/2] ^= 1
	cut := blocks[0].data[:len(blocks[0].data)-20]
	for name, text := range map[string]string{"changed": opensshFile(k), "cut": opensshText(cut)} {
		if _, err := parseKey([]byte(text), []byte(passphrase)); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// keyKinds makes a key of each format, with its passphrase if it has one.
func keyKinds(t *testing.T) map[string]struct{ text, passphrase string } {
	dir := t.TempDir()
	ed, rsa, pkcs8, ppk := dir+"/ed", dir+"/rsa", dir+"/pkcs8", dir+"/ppk"
	command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ed, "-C", "someone@somewhere")
	command(t, "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "sesame", "-f", rsa)
	command(t, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass", "pass:sesame", "-out", pkcs8)
	writeFile(t, dir+"/word", "sesame")
	command(t, "puttygen", "-q", "--random-device", "/dev/urandom", "-t", "ecdsa", "-C", " a comment: with blanks ", "--new-passphrase", dir+"/word", "-o", ppk)
	return map[string]struct{ text, passphrase string }{
		"OpenSSH": {readText(t, ed), ""}, "PEM": {readText(t, rsa), "sesame"},
		"PKCS8": {readText(t, pkcs8), "sesame"}, "PuTTY": {readText(t, ppk), "sesame"},
	}
}

func asUTF16(text string, order binary.AppendByteOrder) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

// A key is read whatever editors, mail and copying have done to its file.
func TestKeyFilesAsTheyComeAround(t *testing.T) {
	dir := t.TempDir()
	command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/ca")
	command(t, "ssh-keygen", "-q", "-s", dir+"/ca", "-I", "test", dir+"/ca.pub")
	command(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", dir+"/x", "-out", dir+"/cert")
	command(t, "openssl", "ecparam", "-name", "prime256v1", "-out", dir+"/parameters")
	sshCert, x509Cert, parameters := readText(t, dir+"/ca-cert.pub"), readText(t, dir+"/cert"), readText(t, dir+"/parameters")
	lines := func(s, before, after string) string {
		return before + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", after+before) + after
	}
	forms := map[string]func(string) []byte{
		"as it is":          func(s string) []byte { return []byte(s) },
		"text before":       func(s string) []byte { return []byte("Dear customer,\nthis is - your key:\n\n" + s) },
		"text after":        func(s string) []byte { return []byte(s + "\nKind regards\n-- \nSupport\n") },
		"x509 certificate":  func(s string) []byte { return []byte(x509Cert + s) },
		"ssh certificate":   func(s string) []byte { return []byte(sshCert + s) },
		"parameters":        func(s string) []byte { return []byte(parameters + s) },
		"certificate after": func(s string) []byte { return []byte(s + x509Cert) },
		"bag attributes": func(s string) []byte {
			return []byte("Bag Attributes\n    localKeyID: 01 02\nKey Attributes: <No Attributes>\n" + s)
		},
		"CRLF":            func(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) },
		"CR":              func(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r")) },
		"mixed line ends": func(s string) []byte { return []byte(strings.Replace(s, "\n", "\r\n", 3)) },
		"BOM":             func(s string) []byte { return []byte("\ufeff" + s) },
		"BOM and CRLF":    func(s string) []byte { return []byte("\ufeff" + strings.ReplaceAll(s, "\n", "\r\n")) },
		"UTF-16LE": func(s string) []byte {
			return asUTF16("\ufeff"+strings.ReplaceAll(s, "\n", "\r\n"), binary.LittleEndian)
		},
		"UTF-16BE":           func(s string) []byte { return asUTF16("\ufeff"+s, binary.BigEndian) },
		"UTF-16LE, no BOM":   func(s string) []byte { return asUTF16(s, binary.LittleEndian) },
		"UTF-16BE, no BOM":   func(s string) []byte { return asUTF16(s, binary.BigEndian) },
		"indented":           func(s string) []byte { return []byte(lines(s, "    ", "\n")) },
		"indented by tabs":   func(s string) []byte { return []byte(lines(s, "\t", "\n")) },
		"no-break spaces":    func(s string) []byte { return []byte(lines(s, "\u00a0 ", "\n")) },
		"no final newline":   func(s string) []byte { return []byte(strings.TrimSuffix(s, "\n")) },
		"blank lines around": func(s string) []byte { return []byte("\n\n \n" + s + "\n\n") },
		"one line":           func(s string) []byte { return []byte(strings.ReplaceAll(strings.TrimSpace(s), "\n", `\n`)) },
		"garbage after":      func(s string) []byte { return []byte(s + "\x00\x1a\xff\n") },
	}
	for kind, key := range keyKinds(t) {
		want, err := parseKey([]byte(key.text), []byte(key.passphrase))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		for name, form := range forms {
			t.Run(kind+"/"+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "key")
				writeFile(t, path, string(form(key.text)))
				expectKey(t, path, key.passphrase, want.PublicKey())
			})
		}
	}
}

// Of several keys the first that can be used is taken, and a certificate of it
// that stands in the file is shown.
func TestKeyFilesWithSeveralParts(t *testing.T) {
	dir := t.TempDir()
	command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/id")
	command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/ca")
	command(t, "openssl", "ecparam", "-name", "secp256k1", "-genkey", "-out", dir+"/koblitz")
	command(t, "openssl", "ecparam", "-name", "secp384r1", "-genkey", "-out", dir+"/ec")
	id, koblitz, ec := readText(t, dir+"/id"), readText(t, dir+"/koblitz"), readText(t, dir+"/ec")
	first, err := parseKey([]byte(id), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"another after": id + ec, "unusable first": koblitz + id, "public key first": readText(t, dir+"/id.pub") + id} {
		if s, err := parseKey([]byte(text), nil); err != nil || !sameKey(s.PublicKey(), first.PublicKey()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := parseKey([]byte(ec), nil); err != nil || s.PublicKey().Type() != ssh.KeyAlgoECDSA384 {
		t.Errorf("openssl ecparam -genkey: %v", err)
	}
	command(t, "ssh-keygen", "-q", "-s", dir+"/ca", "-I", "test", dir+"/id.pub")
	both := filepath.Join(t.TempDir(), "both")
	writeFile(t, both, readText(t, dir+"/id-cert.pub")+id)
	signers, err := loadSigners(both, "", false)
	if err != nil || len(signers) != 2 || !strings.Contains(signers[0].PublicKey().Type(), "-cert-v01") {
		t.Errorf("certificate first: %d signers, %v", len(signers), err)
	}
	writeFile(t, both, readText(t, dir+"/id-cert.pub")+ec)
	if signers, err := loadSigners(both, "", false); err != nil || len(signers) != 1 {
		t.Errorf("certificate of another key: %d signers, %v", len(signers), err)
	}
}

// What is no private key for us is named, with what to do about it.
func TestUnusableKeyFiles(t *testing.T) {
	dir := t.TempDir()
	make := func(name string, args ...string) string {
		command(t, args[0], append(args[1:], dir+"/"+name)...)
		return readText(t, dir+"/"+name)
	}
	writeFile(t, dir+"/word", "sesame")
	ed := make("ed", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f")
	command(t, "ssh-keygen", "-q", "-s", dir+"/ed", "-I", "test", dir+"/ed.pub")
	ppk := make("ppk", "puttygen", "-q", "--random-device", "/dev/urandom", "-t", "ed25519", "--new-passphrase", "/dev/null", "-o")
	dsa := make("dsa", "ssh-keygen", "-q", "-t", "dsa", "-N", "", "-f")
	dsaPEM := make("dsa.pem", "ssh-keygen", "-q", "-t", "dsa", "-m", "PEM", "-N", "", "-f")
	dsaPKCS8 := make("dsa.p8", "ssh-keygen", "-q", "-t", "dsa", "-m", "PKCS8", "-N", "", "-f")
	dsaPPK := make("dsa.ppk", "puttygen", "-q", "--random-device", "/dev/urandom", "-t", "dsa", "-b", "1024", "--new-passphrase", "/dev/null", "-o")
	make("rsa", "ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f")
	command(t, "puttygen", dir+"/rsa", "-O", "private-sshcom", "-o", dir+"/sshcom")
	command(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", dir+"/x", "-out", dir+"/x.crt")
	command(t, "openssl", "pkcs12", "-export", "-inkey", dir+"/x", "-in", dir+"/x.crt", "-passout", "pass:sesame", "-out", dir+"/x.p12")
	command(t, "openssl", "x509", "-in", dir+"/x.crt", "-outform", "DER", "-out", dir+"/x.der")
	fido := ssh.Marshal(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, strings.Repeat("k", 32), "ssh:"})
	fidoFile := opensshFile(opensshKey{Cipher: "none", KDF: "none", Keys: 1, Public: fido, Private: bytes.Repeat([]byte{1}, 64)})
	for name, tt := range map[string]struct{ text, want string }{
		"DSA":                    {dsa, "a DSA key"},
		"DSA, PEM":               {dsaPEM, "a DSA key"},
		"DSA, PKCS8":             {dsaPKCS8, "a DSA key"},
		"DSA, PuTTY":             {dsaPPK, "a DSA key"},
		"ssh.com":                {readText(t, dir+"/sshcom"), "puttygen FILE -O private-openssh"},
		"ssh.com, indented CRLF": {"  " + strings.ReplaceAll(readText(t, dir+"/sshcom"), "\n", "\r\n  "), "ssh.com"},
		"ssh.com, public":        {"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n", "a public key"},
		"FIDO":                   {fidoFile, "FIDO"},
		"FIDO, public":           {"sk-ssh-ed25519@openssh.com " + base64.StdEncoding.EncodeToString(fido) + "\n", "a public key"},
		"public half":            {readText(t, dir+"/ed.pub"), "a public key"},
		"public half, UTF-16":    {string(asUTF16("\ufeff"+readText(t, dir+"/ed.pub"), binary.LittleEndian)), "a public key"},
		"public half, PEM":       {make("rsa.pub.pem", "openssl", "rsa", "-in", dir+"/x", "-pubout", "-out"), "a public key"},
		"OpenPGP":                {"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF\n-----END PGP PRIVATE KEY BLOCK-----\n", "OpenPGP"},
		"empty":                  {"", "it is empty"},
		"blank":                  {"\ufeff \r\n\t\r\n", "it is empty"},
		"SSH certificate":        {readText(t, dir+"/ed-cert.pub"), "a certificate without"},
		"X.509 certificate":      {readText(t, dir+"/x.crt"), "a certificate without"},
		"X.509 certificate, DER": {readText(t, dir+"/x.der"), "a certificate without"},
		"PKCS12":                 {readText(t, dir+"/x.p12"), "openssl pkcs12"},
		"PuTTY of the future":    {strings.Replace(ppk, "File-3", "File-4", 1), "of a version that is not known"},
		"PuTTY of the past":      {strings.Replace(ppk, "File-3", "File-1", 1), "of a version that is not known"},
		"PuTTY, Ed448":           {strings.Replace(ppk, "ssh-ed25519", "ssh-ed448", 1), `"ssh-ed448"`},
		"parameters":             {make("parameters", "openssl", "ecparam", "-name", "prime256v1", "-out"), "parameters"},
		"another curve":          {make("koblitz", "openssl", "ecparam", "-name", "secp256k1", "-genkey", "-out"), "another curve"},
		"P-224":                  {make("p224", "openssl", "ecparam", "-name", "secp224r1", "-genkey", "-out"), "another curve"},
		"another curve, PKCS8":   {make("brainpool", "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1", "-out"), "another curve"},
		"curve spelt out":        {make("explicit", "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-param_enc", "explicit", "-out"), "named_curve"},
		"Ed448":                  {make("ed448", "openssl", "genpkey", "-algorithm", "ED448", "-out"), "Ed448"},
		"X25519":                 {make("x25519", "openssl", "genpkey", "-algorithm", "X25519", "-out"), "SSH has not"},
		"RSA-PSS":                {make("pss", "openssl", "genpkey", "-algorithm", "RSA-PSS", "-out"), "RSA-PSS"},
		"SSH 1":                  {"SSH PRIVATE KEY FILE FORMAT 1.1\n\x00\x00", "SSH version 1"},
		"PBES1":                  {make("pbes1", "openssl", "pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "pass:sesame", "-in", dir+"/x", "-out"), "openssl pkey"},
		"web page":               {"<!DOCTYPE html>\n<html><body>Log in</body></html>", "a web page"},
		"something else":         {"hello\n", "no private key"},
		"no END line":            {ed[:len(ed)-50], "it is damaged"},
		"no base64":              {strings.Replace(ed, "b3BlbnNzaC", "b3Blb?NzaC", 1), "it is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			writeFile(t, path, tt.text)
			_, err := loadSigners(path, "sesame", false)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	writeFile(t, dir+"/legacy", dsaPEM)
	if _, err := loadSigners(dir+"/legacy", "", true); err != nil {
		t.Errorf("DSA with legacy algorithms: %v", err)
	}
}

// opensshFile writes a key in OpenSSH's format.
func opensshFile(k opensshKey) string {
	return opensshText(append([]byte(opensshMagic), ssh.Marshal(k)...))
}

func opensshText(data []byte) string {
	return "-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.StdEncoding.EncodeToString(data) + "\n-----END OPENSSH PRIVATE KEY-----\n"
}

// Keys without text around them, and those that scrypt protects.
func TestMoreKeysOfOpenSSL(t *testing.T) {
	dir := t.TempDir()
	command(t, "openssl", "genpkey", "-algorithm", "RSA", "-out", dir+"/id")
	signer, err := parseKey([]byte(readText(t, dir+"/id")), nil)
	if err != nil {
		t.Fatal(err)
	}
	command(t, "openssl", "pkcs8", "-topk8", "-scrypt", "-in", dir+"/id", "-out", dir+"/scrypt", "-passout", "pass:sesame")
	expectKey(t, dir+"/scrypt", "sesame", signer.PublicKey())
	command(t, "openssl", "pkcs8", "-topk8", "-nocrypt", "-in", dir+"/id", "-outform", "DER", "-out", dir+"/der")
	expectKey(t, dir+"/der", "", signer.PublicKey())
	command(t, "openssl", "pkcs8", "-topk8", "-in", dir+"/id", "-outform", "DER", "-out", dir+"/encrypted", "-passout", "pass:sesame")
	expectKey(t, dir+"/encrypted", "sesame", signer.PublicKey())
	command(t, "openssl", "rsa", "-in", dir+"/id", "-outform", "DER", "-traditional", "-out", dir+"/pkcs1")
	expectKey(t, dir+"/pkcs1", "", signer.PublicKey())
}

// A damaged file is told from a wrong passphrase, in the middle and at the end.
func TestDamagedEncryptedKeys(t *testing.T) {
	for kind, key := range keyKinds(t) {
		if key.passphrase == "" {
			continue
		}
		lines := strings.Split(strings.TrimSpace(key.text), "\n")
		middle := len(lines) / 2
		if kind == "PuTTY" {
			for i, line := range lines {
				if strings.HasPrefix(line, "Private-Lines") {
					middle = i + 2
				}
			}
		}
		other := map[byte]byte{'A': 'B'}
		b := []byte(lines[middle])
		at := len(b) / 2
		if b[at] = 'A'; lines[middle][at] == 'A' {
			b[at] = other['A']
		}
		changed := strings.Join(append(append(append([]string{}, lines[:middle]...), string(b)), lines[middle+1:]...), "\n")
		cut := strings.Join(lines[:middle], "\n")
		for name, text := range map[string]string{"changed": changed, "cut": cut} {
			if _, err := parseKey([]byte(text), []byte(key.passphrase)); !errors.Is(err, errDamaged) {
				t.Errorf("%s, %s: %v\n%s", kind, name, err, text)
			}
		}
	}
}

// Damage under a passphrase can give any algorithm, and any curve.
func TestUnknownAlgorithmIsDamage(t *testing.T) {
	ec := asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	for name, tt := range map[string]struct {
		algorithm, parameters any
		want                  error
	}{
		"algorithm": {asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 116}, asn1.NullRawValue, errDamaged},
		"curve":     {ec, asn1.ObjectIdentifier{1, 2, 840, 77, 3}, errDamaged},
		"no curve":  {ec, asn1.NullRawValue, errDamaged},
		"secp256k1": {ec, asn1.ObjectIdentifier{1, 3, 132, 0, 10}, errCurve},
		"spelt out": {ec, []int{1}, errExplicitCurve},
	} {
		der, err := asn1.Marshal(struct {
			Version   int
			Algorithm struct{ OID, Parameters any }
			Key       []byte
		}{Algorithm: struct{ OID, Parameters any }{tt.algorithm, tt.parameters}, Key: []byte("key")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePKCS8(der); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// A key file cannot have the program hash for minutes.
func TestCostlyPassphrase(t *testing.T) {
	key := sftptest.NewKey(t, sftptest.Ed25519)
	for rounds, want := range map[uint32]string{513: "513 rounds, and 512 are", 1<<32 - 1: "ssh-keygen -p -a 24", 1: errPassphraseWrong.Error()} {
		text := opensshFile(opensshKey{Cipher: "aes256-ctr", KDF: "bcrypt", Options: ssh.Marshal(struct {
			Salt   string
			Rounds uint32
		}{"salt", rounds}), Keys: 1, Public: key.Signer.PublicKey().Marshal(), Private: make([]byte, 64)})
		if _, err := parseKey([]byte(text), []byte("sesame")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d rounds: %v", rounds, err)
		}
	}
}

func FuzzKeyText(f *testing.F) {
	key := sftptest.NewKey(f, sftptest.Ed25519)
	f.Add(key.PEM)
	f.Add(asUTF16("\ufeff"+string(key.PEM), binary.LittleEndian))
	f.Add([]byte("PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\n"))
	f.Add([]byte(opensshFile(opensshKey{Cipher: "aes256-gcm@openssh.com", KDF: "bcrypt", Options: ssh.Marshal(struct {
		Salt   string
		Rounds uint32
	}{"salt", 1}), Keys: 1, Public: key.Signer.PublicKey().Marshal(), Private: make([]byte, 64), Tag: make([]byte, 16)})))
	f.Fuzz(func(t *testing.T, data []byte) {
		if text := keyText(data); keyText([]byte(text)) != text && !strings.Contains(text, "\x00") && !strings.Contains(text, `\n`) {
			t.Fatalf("not the same the second time: %q", text)
		}
		total := 0
		for _, b := range keyBlocks(keyText(data)) {
			total += len(b.data)
		}
		if total > 3*len(data) {
			t.Fatalf("%d bytes of %d", total, len(data))
		}
	})
}
