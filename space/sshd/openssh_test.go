package sshd

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"sftpconnector/store/sftp/sftptest"
)

// openSSH runs OpenSSH's clients against a server, and answers their prompts
// with a password.
type openSSH struct {
	t        *testing.T
	dir      string
	host     string
	port     string
	password string
}

func newOpenSSH(t *testing.T, r *running) *openSSH {
	t.Helper()
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &openSSH{t: t, dir: t.TempDir(), host: host, port: port, password: testPassword}
	c.trust(r.HostKeys()...)
	c.write("askpass", "#!/bin/sh\nprintf '%s\\n' \"$TEST_PASSWORD\"\n", 0o700)
	return c
}

func (c *openSSH) trust(keys ...ssh.PublicKey) {
	c.t.Helper()
	c.write("known_hosts", string(sftptest.KnownHostsLines(net.JoinHostPort(c.host, c.port), keys...)), 0o600)
}

func (c *openSSH) write(name, text string, mode os.FileMode) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func (c *openSSH) target() string { return testSpace + "@" + c.host }

// run runs a client, with its input, and gives what it prints.
func (c *openSSH) run(input, program string, args ...string) (output string, err error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*within)
	defer cancel()
	port := "-p"
	if program != "ssh" {
		port = "-P"
	}
	common := []string{
		"-F", "/dev/null", port, c.port,
		"-o", "UserKnownHostsFile=" + filepath.Join(c.dir, "known_hosts"), "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityFile=" + filepath.Join(c.dir, "key"),
		"-o", "BatchMode=no",
	}
	cmd := exec.CommandContext(ctx, program, append(common, args...)...)
	cmd.Dir = c.dir
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "SSH_ASKPASS="+filepath.Join(c.dir, "askpass"), "SSH_ASKPASS_REQUIRE=force",
		"TEST_PASSWORD="+c.password, "SSH_AUTH_SOCK=", "LANG=en_US.UTF-8")
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// batch runs sftp, which ends with an error when one of the commands fails.
func (c *openSSH) batch(commands string, args ...string) (string, error) {
	c.t.Helper()
	return c.run(commands, "sftp", append(args, "-b", "-", c.target())...)
}

func TestOpenSSHTransfersFiles(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := newOpenSSH(t, r)
	content := make([]byte, 3<<20)
	_, _ = rand.Read(content)
	c.write("here.bin", string(content), 0o600)

	out, err := c.batch("put here.bin\nmkdir d\nrename here.bin d/there.bin\nls -l d\nget d/there.bin back.bin\nrm d/there.bin\nrmdir d\npwd\n")
	if err != nil || !strings.Contains(out, "there.bin") || !strings.Contains(out, "Remote working directory: /\n") {
		t.Errorf("sftp: %v\n%s", err, out)
	}
	if back, err := os.ReadFile(filepath.Join(c.dir, "back.bin")); err != nil || !bytes.Equal(back, content) {
		t.Errorf("what came back differs: %d bytes, %v", len(back), err)
	}
	e := r.event(Closed)
	if s := e.Session; e.Reason != EndClient || s.Space != testSpace || s.Address != "127.0.0.1" || s.Stored != 1 || s.Fetched != 1 ||
		s.Received != int64(len(content)) || s.Sent != int64(len(content)) || !strings.HasPrefix(s.Client, "SSH-2.0-OpenSSH") {
		t.Errorf("the session's end: %+v", e)
	}

	out, err = c.run("", "scp", "here.bin", c.target()+":scp.bin")
	if err != nil {
		t.Errorf("scp: %v\n%s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(r.directory, "scp.bin")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("what scp brought differs: %d bytes, %v", len(got), err)
	}
}

func TestOpenSSHLogsIn(t *testing.T) {
	t.Parallel()
	keys := map[string]sftptest.Key{}
	var known []string
	for _, kind := range []sftptest.KeyType{sftptest.Ed25519, sftptest.ECDSA, sftptest.RSA} {
		k := sftptest.NewKey(t, kind)
		keys[string(kind)] = k
		known = append(known, string(k.Signer.PublicKey().Marshal()))
	}
	r := start(t, Options{AuthenticateKey: func(_ context.Context, space string, key ssh.PublicKey) bool {
		return space == testSpace && strings.Contains(strings.Join(known, "\n"), string(key.Marshal()))
	}})
	for _, method := range []string{"password", "keyboard-interactive", "publickey,password"} {
		t.Run(method, func(t *testing.T) {
			c := newOpenSSH(t, r)
			if out, err := c.batch("ls\n", "-o", "PreferredAuthentications="+method); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	for kind, k := range keys {
		t.Run(kind, func(t *testing.T) {
			c := newOpenSSH(t, r)
			c.write("key", string(k.PEM), 0o600)
			if out, err := c.batch("ls\n", "-o", "PreferredAuthentications=publickey"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// The words by which people find the cause, as the real clients print them.
func TestOpenSSHSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	full := start(t, Options{MaximumConnectionsPerSpace: 1})
	full.client()
	crowded := start(t, Options{MaximumConnections: 1})
	crowded.client()
	plain := start(t, Options{})
	for _, c := range []struct {
		name  string
		on    *running
		do    func(*openSSH) (string, error)
		words []string
	}{
		{"nothing listens", plain, func(c *openSSH) (string, error) {
			c.host, c.port, _ = net.SplitHostPort(sftptest.ClosedPort(t))
			return c.batch("ls\n")
		}, []string{"Connection refused"}},
		{"wrong password", plain, func(c *openSSH) (string, error) {
			c.password = "wrong"
			return c.batch("ls\n")
		}, []string{"Permission denied, please try again.", testSpace + "@127.0.0.1: Permission denied (password,keyboard-interactive)"}},
		{"wrong key", plain, func(c *openSSH) (string, error) {
			c.write("key", string(sftptest.NewKey(t, sftptest.Ed25519).PEM), 0o600)
			return c.batch("ls\n", "-o", "PreferredAuthentications=publickey")
		}, []string{"Permission denied"}},
		{"changed host key", plain, func(c *openSSH) (string, error) {
			c.trust(sftptest.NewKey(t, sftptest.Ed25519).Signer.PublicKey())
			return c.batch("ls\n")
		}, []string{"REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed"}},
		{"forbidden file", plain, func(c *openSSH) (string, error) { return c.batch("put known_hosts forbidden\n") },
			[]string{`dest open "/forbidden": Permission denied`}},
		{"too many of the Space", full, func(c *openSSH) (string, error) { return c.batch("ls\n") },
			[]string{"this Space has 1 connections, which is all that it may have", "Connection closed"}},
		{"too many in all", crowded, func(c *openSSH) (string, error) { return c.batch("ls\n") },
			[]string{"the server has all the connections that it takes", "Connection closed"}},
		{"shell", plain, func(c *openSSH) (string, error) { return c.run("", "ssh", "-T", c.target()) },
			[]string{"shell request failed on channel 0"}},
		{"command", plain, func(c *openSSH) (string, error) { return c.run("", "ssh", c.target(), "id") },
			[]string{"exec request failed on channel 0"}},
		{"remote forwarding", plain, func(c *openSSH) (string, error) {
			return c.run("", "ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", c.target())
		}, []string{"remote port forwarding failed"}},
		{"tunnel", plain, func(c *openSSH) (string, error) { return c.run("", "ssh", "-W", "127.0.0.1:1", c.target()) },
			[]string{"administratively prohibited: this server is for SFTP only"}},
		{"old scp", plain, func(c *openSSH) (string, error) {
			return c.run("", "scp", "-O", "known_hosts", c.target()+":x")
		}, []string{"exec request failed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := c.do(newOpenSSH(t, c.on))
			if err == nil {
				t.Errorf("the client is content:\n%s", out)
			}
			for _, words := range c.words {
				if !strings.Contains(out, words) {
					t.Errorf("%q is not in:\n%s", words, out)
				}
			}
			if strings.Contains(c.on.log.String(), testPassword) {
				t.Error("the log has the password")
			}
		})
	}
}
