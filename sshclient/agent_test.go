package sshclient

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// serveAgent has an agent that holds the keys, for the program.
func serveAgent(t *testing.T, keys ...any) {
	t.Helper()
	keyring := agent.NewKeyring()
	for _, key := range keys {
		added, ok := key.(agent.AddedKey)
		if !ok {
			added.PrivateKey = key
		}
		if err := keyring.Add(added); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				agent.ServeAgent(keyring, c)
			}()
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", socket)
}

func privateKeyOf(t *testing.T, e sftptest.Endpoint) any {
	t.Helper()
	key, err := ssh.ParseRawPrivateKey([]byte(readText(t, e.PrivateKeyPath)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKeys(t *testing.T, kind sftptest.KeyType, n int) (keys []any) {
	for range n {
		keys = append(keys, sftptest.NewKey(t, kind).Crypto)
	}
	return keys
}

func agentLogin(e sftptest.Endpoint) Config {
	cfg := keyLogin(e)
	cfg.KeyPairs, cfg.Agent, cfg.KeyPath = false, true, ""
	return cfg
}

// A server that counts what it refuses gets each key of an agent once.
func TestEachKeyOfAnAgentIsOneTry(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Extra: []string{"MaxAuthTries 4"}}).Endpoint
	serveAgent(t, append(newKeys(t, sftptest.RSA, 3), privateKeyOf(t, server))...)
	if _, _, err := connectTo(t, agentLogin(server)); err != nil {
		t.Error(err)
	}
}

// So does one that does not announce what signatures it takes, wherever its key is.
func TestRSAKeysWithoutAnAnnouncement(t *testing.T) {
	right, strangers := sftptest.NewKey(t, sftptest.RSA), newKeys(t, sftptest.RSA, 2)
	server := sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{
		Authorized: []ssh.PublicKey{right.Signer.PublicKey()}, Extra: []string{"MaxLoginAttempts 3", "SFTPOptions NoExtensionNegotiation"},
	}).Endpoint
	for at := range 3 {
		serveAgent(t, slices.Insert(slices.Clone(strangers), at, any(right.Crypto))...)
		if _, _, err := connectTo(t, agentLogin(server)); err != nil {
			t.Errorf("key %d is the right one: %v", at, err)
		}
	}
}

// tries counts the logins by key that a server hears of.
type tries struct {
	mu   sync.Mutex
	keys []string
}

// refuseKeys is a server that notes the keys, and takes the last one only.
func (r *tries) refuseKeys(takes ssh.PublicKey, algorithms ...string) *ssh.ServerConfig {
	return &ssh.ServerConfig{
		MaxAuthTries: -1, PublicKeyAuthAlgorithms: algorithms,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if takes != nil && sameKey(key, takes) {
				return nil, nil
			}
			return nil, errors.New("refused")
		},
		AuthLogCallback: func(_ ssh.ConnMetadata, method string, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if method == methodKey {
				r.keys = append(r.keys, fmt.Sprint(err))
			}
		},
	}
}

func (r *tries) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.keys)
}

func TestTriesOfKeys(t *testing.T) {
	rsaKeys, right := newKeys(t, sftptest.RSA, 3), sftptest.NewKey(t, sftptest.Ed25519)
	keys := append(slices.Clone(rsaKeys), right.Crypto)
	for name, tt := range map[string]struct {
		keys       []any
		algorithms []string // that the server takes; nil: all
		legacy     bool
		want       int // tries
		takes      ssh.PublicKey
	}{
		"announced":            {keys: keys, want: 4, takes: right.Signer.PublicKey()},
		"announced, all wrong": {keys: rsaKeys, want: 3},
		"RSA is not taken":     {keys: keys, algorithms: []string{ssh.KeyAlgoED25519}, want: 4, takes: right.Signer.PublicKey()},
		"SHA-256 only":         {keys: rsaKeys, algorithms: []string{ssh.KeyAlgoRSASHA256}, want: 3},
		"with SHA-1":           {keys: keys, legacy: true, want: 4, takes: right.Signer.PublicKey()},
		"too many":             {keys: newKeys(t, sftptest.Ed25519, maxAgentKeys+9), want: maxAgentKeys},
	} {
		t.Run(name, func(t *testing.T) {
			serveAgent(t, tt.keys...)
			var r tries
			cfg := serveLogins(t, r.refuseKeys(tt.takes, tt.algorithms...))
			cfg.KeyPairs, cfg.Agent, cfg.KeyPath, cfg.LegacyAlgorithms = false, true, "", tt.legacy
			_, _, err := connectTo(t, cfg)
			if (err == nil) != (tt.takes != nil) {
				t.Error(err)
			}
			if n := r.count(); n != tt.want {
				t.Errorf("%d tries, want %d: %q", n, tt.want, r.keys)
			}
			if name == "too many" && !strings.Contains(err.Error(), "the first 16 of the 25 keys") {
				t.Error(err)
			}
		})
	}
}

// An RSA certificate of an agent signs with SHA-2, and goes out once, too.
func TestRSACertificateOfAnAgent(t *testing.T) {
	ca, key := sftptest.NewKey(t, sftptest.Ed25519), sftptest.NewKey(t, sftptest.RSA)
	cert := &ssh.Certificate{Key: key.Signer.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca.Signer); err != nil {
		t.Fatal(err)
	}
	serveAgent(t, agent.AddedKey{PrivateKey: key.Crypto, Certificate: cert}, key.Crypto)
	var r tries
	cfg := serveLogins(t, r.refuseKeys(nil))
	cfg.KeyPairs, cfg.Agent, cfg.KeyPath = false, true, ""
	if _, _, err := connectTo(t, cfg); err == nil || r.count() != 2 {
		t.Errorf("%d tries: %v, %q", r.count(), err, r.keys)
	}
}

// deaf is a pipe whose reads and writes do not end when it is closed.
type deaf struct{ asked, over chan struct{} }

func (d *deaf) Read([]byte) (int, error) {
	close(d.asked)
	<-d.over
	return 0, io.EOF
}

func (d *deaf) Write([]byte) (int, error) { return d.Read(nil) }

// What an agent is asked ends with the login, whatever its pipe does.
func TestAgentsPipeEndsWithTheLogin(t *testing.T) {
	for name, ask := range map[string]func(io.ReadWriter) (int, error){
		"read":  func(s io.ReadWriter) (int, error) { return s.Read(make([]byte, 4)) },
		"write": func(s io.ReadWriter) (int, error) { return s.Write(make([]byte, 4)) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		pipe := &deaf{make(chan struct{}), make(chan struct{})}
		go func() {
			<-pipe.asked
			cancel()
		}()
		if n, err := ask(&endedBy{ctx, pipe}); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		close(pipe.over)
	}
}
