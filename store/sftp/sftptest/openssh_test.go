package sftptest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"sftpconnector/store/sftp/sftptest"
)

// dial logs in the way that a careful client does: host key by known_hosts.
func dial(tb testing.TB, e sftptest.Endpoint, auth ...ssh.AuthMethod) (*ssh.Client, error) {
	tb.Helper()
	check, err := knownhosts.New(e.KnownHosts)
	if err != nil {
		tb.Fatal(err)
	}
	if len(auth) == 0 {
		auth = []ssh.AuthMethod{ssh.PublicKeys(e.ClientKey)}
	}
	c, err := ssh.Dial("tcp", e.Addr, &ssh.ClientConfig{
		User: e.User, Auth: auth, HostKeyCallback: check, Timeout: 5 * time.Second,
	})
	if err == nil {
		tb.Cleanup(func() { c.Close() })
	}
	return c, err
}

func newClient(tb testing.TB, e sftptest.Endpoint, auth ...ssh.AuthMethod) *sftp.Client {
	tb.Helper()
	c, err := dial(tb, e, auth...)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := sftp.NewClient(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// exercise writes, lists, reads, renames and removes through a client.
func exercise(tb testing.TB, c *sftp.Client, root string) {
	tb.Helper()
	name := filepath.Join(root, "a b.csv")
	f, err := c.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := f.Write([]byte("hello")); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "hello" {
		tb.Fatalf("on disk: %q, %v", b, err)
	}
	infos, err := c.ReadDir(root)
	if err != nil || len(infos) != 1 || infos[0].Name() != "a b.csv" || infos[0].Size() != 5 {
		tb.Fatalf("listing: %v, %v", infos, err)
	}
	if err := c.Rename(name, name+"2"); err != nil {
		tb.Fatal(err)
	}
	if err := c.Remove(name + "2"); err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(name + "2"); !os.IsNotExist(err) {
		tb.Fatalf("after the removal: %v", err)
	}
}

func TestOpenSSHKeyLogin(t *testing.T) {
	s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	exercise(t, newClient(t, s.Endpoint), s.Root)
	if ops := s.Operations(); !strings.Contains(ops, "open \""+s.Root+"/a b.csv\"") {
		t.Errorf("operations: %q", ops)
	}
	if !strings.Contains(s.Log(), "Accepted publickey") {
		t.Errorf("log: %q", s.Log())
	}
}

func TestOpenSSHPassword(t *testing.T) {
	s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{AllowPassword: true})
	exercise(t, newClient(t, s.Endpoint, ssh.Password(s.Password)), s.Root)
	if _, err := dial(t, s.Endpoint, ssh.Password("wrong")); err == nil {
		t.Error("a wrong password was accepted")
	}
}

func TestOpenSSHKeyboardInteractive(t *testing.T) {
	s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{KeyboardInteractive: true})
	answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i := range answers {
			answers[i] = s.Password
		}
		return answers, nil
	}
	exercise(t, newClient(t, s.Endpoint, ssh.KeyboardInteractive(answer)), s.Root)
	if _, err := dial(t, s.Endpoint, ssh.Password(s.Password)); err == nil {
		t.Error("method password is on")
	}
}

func TestOpenSSHStopRestartKillSessions(t *testing.T) {
	s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	ended := func(c *ssh.Client) chan error {
		gone := make(chan error, 1)
		go func() { gone <- c.Wait() }()
		return gone
	}
	for _, cut := range []func(){s.KillSessions, s.Stop} {
		c, err := dial(t, s.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sftp.NewClient(c); err != nil {
			t.Fatal(err)
		}
		gone := ended(c)
		cut()
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			t.Fatal("the session outlived its end")
		}
	}
	if _, err := dial(t, s.Endpoint); err == nil {
		t.Fatal("a stopped server answers")
	}
	addr := s.Addr
	s.Restart()
	if s.Addr != addr {
		t.Errorf("restarted at %s, was %s", s.Addr, addr)
	}
	exercise(t, newClient(t, s.Endpoint), s.Root)
}

func TestOpenSSHOptions(t *testing.T) {
	t.Run("no sftp", func(t *testing.T) {
		s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{DisableSFTP: true})
		c, err := dial(t, s.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sftp.NewClient(c); err == nil {
			t.Error("sftp was given")
		}
	})
	t.Run("one session", func(t *testing.T) {
		s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{MaxSessions: 1})
		c, err := dial(t, s.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sftp.NewClient(c); err != nil {
			t.Fatal(err)
		}
		if _, err := sftp.NewClient(c); err == nil {
			t.Error("a second session was given")
		}
	})
	t.Run("no common algorithm", func(t *testing.T) {
		s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{KexAlgorithms: "sntrup761x25519-sha512@openssh.com"})
		if _, err := dial(t, s.Endpoint); err == nil || !strings.Contains(fmt.Sprint(err), "no common algorithm") {
			t.Errorf("dial: %v", err)
		}
	})
	t.Run("host key", func(t *testing.T) {
		k := sftptest.NewKey(t, sftptest.RSA)
		s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{HostKeys: []sftptest.Key{k}})
		if len(s.HostKeys) != 1 || s.HostKeys[0].Type() != ssh.KeyAlgoRSA {
			t.Errorf("host keys: %v", s.HostKeys)
		}
		if _, err := dial(t, s.Endpoint); err != nil {
			t.Error(err)
		}
	})
}
