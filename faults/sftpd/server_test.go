package sftpd_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/sftpd"
)

// keyPair makes a key: the file of the private one, and the public one.
func keyPair(t *testing.T) (private string, public ssh.PublicKey) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	private = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(private, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if public, err = ssh.NewPublicKey(pub); err != nil {
		t.Fatal(err)
	}
	return private, public
}

func TestStopEndsConnectionsAndStartAgainServesAtTheSamePort(t *testing.T) {
	t.Parallel()
	s := start(t, sftpd.Options{})
	c := client(t, s)
	addr := s.Addr()
	s.Stop()
	if _, err := c.Stat("/"); err == nil {
		t.Error("a stopped server answers")
	}
	if _, err := login(s, "secret"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a stopped server's port: %v; want refused", err)
	}
	if err := s.StartAgain(); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, s).Stat("/"); err != nil {
		t.Error(err)
	}
	if err := s.Restart(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, s).Stat("/"); err != nil || s.Addr() != addr {
		t.Error(err, s.Addr())
	}
}

func TestLoginsSessionsAndKeysChange(t *testing.T) {
	t.Parallel()
	s := start(t, sftpd.Options{})
	opens := func(password string, want bool) {
		t.Helper()
		c, err := login(s, password)
		if err == nil {
			c.Close()
		}
		if (err == nil) != want {
			t.Errorf("login with %s: %v", password, err)
		}
	}
	opens("secret", true)
	opens("wrong", false)
	s.SetPassword("other")
	opens("secret", false)
	opens("other", true)
	s.SetPassword("secret")
	s.RefuseLogins(true)
	opens("secret", false)
	s.RefuseLogins(false)

	before := s.HostKey()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.SetHostKey(signer)
	if string(before.Marshal()) == string(s.HostKey().Marshal()) {
		t.Error("the host key is the same")
	}
	opens("secret", true) // with the new key: see login

	c := dial(t, s)
	s.RefuseSessions(true)
	if _, err := c.NewSession(); err == nil {
		t.Error("a session was given though they are refused")
	}
	s.RefuseSessions(false)
	s.MaxSessions(1)
	if _, err := c.NewSession(); err != nil {
		t.Error(err)
	}
	if _, err := c.NewSession(); err == nil {
		t.Error("a second session was given where one is the most")
	}
}
