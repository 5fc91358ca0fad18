package sshclient

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
)

func pemOf(b *pem.Block) []byte { return pem.EncodeToMemory(b) }

// command runs a program that makes keys.
func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// publicKey reads the public half that ssh-keygen or puttygen wrote.
func publicKey(t *testing.T, path string) ssh.PublicKey {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// expectKey loads a key file, signs with it, and checks the signature. A file
// with a passphrase must refuse none and another one.
func expectKey(t *testing.T, path, passphrase string, want ssh.PublicKey) {
	t.Helper()
	signers, err := loadSigners(path, passphrase, false)
	if err != nil {
		t.Fatal(err)
	}
	s := signers[0]
	if !bytes.Equal(s.PublicKey().Marshal(), want.Marshal()) {
		t.Fatalf("it is another key: %s", ssh.FingerprintSHA256(s.PublicKey()))
	}
	algorithm := want.Type()
	if algorithm == ssh.KeyAlgoRSA {
		algorithm = ssh.KeyAlgoRSASHA512
	}
	sig, err := s.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, []byte("data"), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Verify([]byte("data"), sig); err != nil {
		t.Fatal(err)
	}
	if passphrase == "" {
		return
	}
	if _, err := loadSigners(path, "", false); !errors.Is(err, errPassphraseMissing) {
		t.Errorf("without passphrase: %v", err)
	}
	if _, err := loadSigners(path, "another-word", false); !errors.Is(err, errPassphraseWrong) || strings.Contains(err.Error(), "another-word") {
		t.Errorf("with another passphrase: %v", err)
	}
}

func TestKeysOfSSHKeygen(t *testing.T) {
	for _, format := range []string{"RFC4716", "PEM", "PKCS8"} {
		for _, kind := range []string{"ed25519", "ecdsa 256", "ecdsa 384", "ecdsa 521", "rsa 2048"} {
			for _, passphrase := range []string{"", "open sesame ü"} {
				if kind == "ed25519" && format != "RFC4716" {
					continue // ssh-keygen has no other format for it
				}
				t.Run(fmt.Sprintf("%s/%s/%s", format, kind, passphrase), func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "id")
					name, bits, _ := strings.Cut(kind, " ")
					args := []string{"-q", "-t", name, "-N", passphrase, "-f", path, "-m", format, "-a", "1"}
					if bits != "" {
						args = append(args, "-b", bits)
					}
					command(t, "ssh-keygen", args...)
					expectKey(t, path, passphrase, publicKey(t, path+".pub"))
				})
			}
		}
	}
}

func TestKeysOfOpenSSL(t *testing.T) {
	for _, kind := range []string{"ED25519", "RSA"} {
		dir := t.TempDir()
		plain, path := filepath.Join(dir, "plain"), filepath.Join(dir, "id")
		command(t, "openssl", "genpkey", "-algorithm", kind, "-out", plain)
		signers, err := loadSigners(plain, "", false)
		if err != nil {
			t.Fatal(err)
		}
		public := signers[0].PublicKey()
		expectKey(t, plain, "", public)
		for _, options := range []string{
			"", "-v2 aes-128-cbc -v2prf hmacWithSHA1", "-v2 aes-192-cbc -v2prf hmacWithSHA384",
			"-v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 100000", "-v2 des3",
		} {
			t.Run(kind+" "+options, func(t *testing.T) {
				args := append([]string{"pkcs8", "-topk8", "-in", plain, "-out", path, "-passout", "pass:sesame"}, strings.Fields(options)...)
				command(t, "openssl", args...)
				expectKey(t, path, "sesame", public)
			})
		}
	}
}

func TestKeysOfPuTTY(t *testing.T) {
	kinds := []string{"ed25519", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521", "rsa -b 2048"}
	params := []string{"version=2", "version=3,memory=512,passes=2", "version=3", "version=3,kdf=argon2i,parallelism=2,memory=512,passes=2"}
	for _, kind := range kinds {
		for i, param := range params {
			for _, passphrase := range []string{"", "open sesame ü"} {
				if i > 1 && (kind != "ed25519" || passphrase == "") {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", kind, param, passphrase), func(t *testing.T) {
					dir := t.TempDir()
					path := filepath.Join(dir, "id.ppk")
					writeFile(t, dir+"/word", passphrase)
					args := append([]string{"-q", "--random-device", "/dev/urandom", "--ppk-param", param, "--new-passphrase", dir + "/word", "-o", path, "-t"}, strings.Fields(kind)...)
					command(t, "puttygen", args...)
					command(t, "puttygen", path, "--old-passphrase", dir+"/word", "-O", "public-openssh", "-o", path+".pub")
					expectKey(t, path, passphrase, publicKey(t, path+".pub"))
				})
			}
		}
	}
}

// A key that is not what it says, or that asks for too much, is refused in one
// line and in no time.
func TestMalformedKeys(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/word", "sesame")
	command(t, "puttygen", "-q", "--random-device", "/dev/urandom", "-t", "ed25519", "--ppk-param", "memory=512,passes=20",
		"--new-passphrase", dir+"/word", "-o", dir+"/id.ppk")
	ppk := readText(t, dir+"/id.ppk")
	replaced := func(key, value string) string {
		before, rest, ok := strings.Cut(ppk, key+": ")
		if !ok {
			t.Fatalf("no %s in %s", key, ppk)
		}
		_, after, _ := strings.Cut(rest, "\n")
		return before + key + ": " + value + "\n" + after
	}
	tests := map[string]string{
		"empty":                "",
		"PuTTY, memory":        replaced("Argon2-Memory", "4294967295"),
		"PuTTY, passes":        replaced("Argon2-Passes", "4294967295"),
		"PuTTY, both":          replaced("Argon2-Memory", "262144"),
		"PuTTY, lanes":         replaced("Argon2-Parallelism", "256"),
		"PuTTY, other key":     replaced("Private-MAC", strings.Repeat("00", 32)),
		"PuTTY, no lines":      replaced("Private-Lines", "0"),
		"PuTTY, negative":      replaced("Private-Lines", "-1"),
		"PuTTY, future":        "PuTTY-User-Key-File-4: ssh-ed25519\n",
		"PuTTY, unencrypted":   replaced("Encryption", "none"),
		"PuTTY, cut":           ppk[:len(ppk)/2],
		"OpenSSH, cut":         "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n",
		"PKCS8, empty":         "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
		"a certificate":        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
		"larger than any":      strings.Repeat("x", maxKeyFile+1),
		"public key, RFC 4716": "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			writeFile(t, path, text)
			start := time.Now()
			_, err := loadSigners(path, "sesame", false)
			if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "sesame") {
				t.Errorf("got %v", err)
			}
			costly := name == "PuTTY, memory" || name == "PuTTY, passes" || name == "PuTTY, both"
			if costly != strings.Contains(err.Error(), "unreasonable cost") {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			t.Log(err)
		})
	}
}

// A damaged PuTTY key whose public half is not of the seed must not sign.
func TestPPKWithForeignPublicHalf(t *testing.T) {
	if _, err := parseKey([]byte("PuTTY-User-Key-File-2: ssh-ed25519\nEncryption: none\nComment: x\nPublic-Lines: 0\nPrivate-Lines: 0\nPrivate-MAC: 00\n"), nil); err == nil {
		t.Error("a key without a key")
	}
}

func TestUserCertificate(t *testing.T) {
	dir := t.TempDir()
	ca, id := filepath.Join(dir, "ca"), filepath.Join(dir, "id")
	for _, kind := range []string{"ed25519", "rsa"} {
		os.Remove(id)
		os.Remove(ca)
		command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ca)
		command(t, "ssh-keygen", "-q", "-t", kind, "-N", "", "-f", id)
		server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Extra: []string{"TrustedUserCAKeys " + ca + ".pub"}})
		command(t, "ssh-keygen", "-q", "-s", ca, "-I", "test", "-n", server.User, id+".pub")
		cfg := keyLogin(server.Endpoint)
		cfg.KeyPath = id
		_, stages, err := connectTo(t, cfg)
		if err != nil {
			t.Fatalf("%v\n%s", err, server.Log())
		}
		if !strings.Contains(stages[4].Detail, "-cert-v01@openssh.com") {
			t.Errorf("logged in %q", stages[4].Detail)
		}
	}
	writeFile(t, id+"-cert.pub", "nonsense")
	if _, err := loadSigners(id, "", false); err == nil || !strings.Contains(err.Error(), "-cert.pub") {
		t.Errorf("a damaged certificate: %v", err)
	}
}

// An RSA key signs with what the server announces, and never with SHA-1
// unless legacy algorithms are allowed.
func TestRSALogin(t *testing.T) {
	key := sftptest.NewKey(t, sftptest.RSA)
	path := filepath.Join(t.TempDir(), "id")
	writeFile(t, path, string(key.PEM))
	for _, tt := range []struct {
		algorithm  string
		legacy, ok bool
	}{
		{ssh.KeyAlgoRSASHA512, false, true}, {ssh.KeyAlgoRSASHA256, false, true},
		{ssh.KeyAlgoRSA, false, false}, {ssh.KeyAlgoRSA, true, true},
	} {
		t.Run(fmt.Sprint(tt.algorithm, tt.legacy), func(t *testing.T) {
			cfg := at(t, takingOnly(t, tt.algorithm))
			cfg.KeyPairs, cfg.KeyPath, cfg.LegacyAlgorithms, cfg.HostKey = true, path, tt.legacy, PolicyAcceptNew
			if !tt.ok {
				expectFailure(t, cfg, status.AuthenticationFailed, status.StageAuthenticate, "publickey")
				return
			}
			if _, _, err := connectTo(t, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

// takingOnly is a server that takes any key whose owner signs with one algorithm.
func takingOnly(t *testing.T, algorithm string) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	config := &ssh.ServerConfig{PublicKeyAuthAlgorithms: []string{algorithm},
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(sftptest.HostKeys(t)[0].Signer)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go ssh.NewServerConn(c, config)
		}
	}()
	return l.Addr().String()
}

func FuzzParseKey(f *testing.F) {
	key := sftptest.NewKey(f, sftptest.ECDSA)
	f.Add(key.PEM)
	if der, err := x509.MarshalPKCS8PrivateKey(key.Crypto); err == nil {
		f.Add(pemOf(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		f.Add(pemOf(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
	}
	if der, err := x509.MarshalECPrivateKey(key.Crypto.(*ecdsa.PrivateKey)); err == nil {
		f.Add(pemOf(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
		f.Add(pemOf(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00112233445566778899AABBCCDDEEFF"}, Bytes: der}))
	}
	if block, err := ssh.MarshalPrivateKeyWithPassphrase(key.Crypto, "", []byte("x")); err == nil {
		f.Add(pemOf(block))
	}
	f.Add(pemOf(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(sftptest.NewKey(f, sftptest.RSA).Crypto.(*rsa.PrivateKey))}))
	f.Add(ssh.MarshalAuthorizedKey(key.Signer.PublicKey()))
	dir := f.TempDir()
	os.WriteFile(dir+"/word", []byte("x"), 0o600)
	for i, args := range []string{"-t ed25519 --ppk-param version=2", "-t rsa -b 1024 --ppk-param version=3,passes=1,memory=64", "-t ecdsa --ppk-param version=3,passes=1,memory=64 --new-passphrase " + dir + "/word"} {
		path := fmt.Sprintf("%s/%d", dir, i)
		if !strings.Contains(args, "passphrase") {
			args += " --new-passphrase /dev/null"
		}
		command(f, "puttygen", append([]string{"-q", "--random-device", "/dev/urandom", "-o", path}, strings.Fields(args)...)...)
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		signer, err := parseKey(data, []byte("x"))
		if (signer == nil) == (err == nil) {
			t.Fatalf("%v, %v", signer, err)
		}
		if signer != nil {
			signer.PublicKey().Marshal()
		}
	})
}
