package sftp

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
)

func TestCutConnectionIsLost(t *testing.T) {
	noLeaks(t)
	faulty := sftptest.StartFaulty(t, sftptest.Faults{})
	openssh := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	for name, server := range map[string]struct {
		sftptest.Endpoint
		cut func()
	}{
		"faulty":  {faulty.Endpoint, faulty.Cut},
		"OpenSSH": {openssh.Endpoint, openssh.Stop},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := connectTo(t, keyLogin(server.Endpoint))
			if err != nil {
				t.Fatal(err)
			}
			ch, err := c.OpenSFTP(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			server.cut()
			if err := awaitEnd(t, c); !status.Is(err, status.ConnectionLost) {
				t.Errorf("got %v", err)
			}
			if _, err := ch.Read(make([]byte, 1)); err == nil {
				t.Error("a channel of a lost connection still reads")
			}
			if _, err := c.OpenSFTP(t.Context()); !status.Is(err, status.ConnectionLost) || errors.Is(err, ErrNoChannel) {
				t.Errorf("a channel on a lost connection: %v", err)
			}
		})
	}
}

// A peer that freezes is noticed by the keepalive alone, while nobody asks
// for anything, and everything that waits for it ends.
func TestFrozenPeerIsNoticed(t *testing.T) {
	noLeaks(t)
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	cfg := keyLogin(server.Endpoint)
	cfg.Timeouts.Keepalive, cfg.Timeouts.Operation = 50*time.Millisecond, 400*time.Millisecond
	c, _, err := connectTo(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.OpenSFTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Answered keepalives hold the connection past the patience.
	select {
	case <-c.Done():
		t.Fatalf("an idle connection ended: %v", c.Err())
	case <-time.After(3 * cfg.Timeouts.Operation):
	}
	server.Freeze()
	start := time.Now()
	err = awaitEnd(t, c)
	if !status.Is(err, status.ConnectionLost) || !strings.Contains(err.Error(), "no answer for 400ms") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := ch.Read(make([]byte, 1)); err == nil {
		t.Error("the channel still reads")
	}
	t.Log(err)
}

// A server that answers nothing after the login does not hold up a channel.
func TestSilentAfterLogin(t *testing.T) {
	noLeaks(t)
	server := sftptest.StartFaulty(t, sftptest.Faults{Silent: sftptest.SilentAfterLogin})
	cfg := keyLogin(server.Endpoint)
	cfg.Timeouts.Operation = 300 * time.Millisecond
	c, _, err := connectTo(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.OpenSFTP(t.Context()); !status.Is(err, status.ConnectionLost) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("got %v", err)
	}
	c.Close()
}

// A peer that takes no data ends a write, and the connection with it.
func TestWriteThatNobodyTakes(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	tr := newTransport(here, "there", here.Close, 200*time.Millisecond)
	start := time.Now()
	if _, err := tr.Write([]byte("hello")); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("the write gave %v after %v", err, time.Since(start))
	}
	if c := tr.abortCause(); !isTimeout(c) {
		t.Errorf("the cause is %v", c)
	}
	if err := lostError("there", tr.abortCause()); !status.Is(err, status.ConnectionLost) || !strings.Contains(err.Error(), "takes no data for 200ms") {
		t.Errorf("got %v", err)
	}
}

func TestAbortGivesTheReason(t *testing.T) {
	noLeaks(t)
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	c, _, err := connectTo(t, keyLogin(server.Endpoint))
	if err != nil {
		t.Fatal(err)
	}
	reason := &status.Error{Word: status.ConnectionLost, Op: "read a.csv", Err: errors.New("no answer for 1m0s")}
	c.Abort(reason)
	c.Abort(errors.New("another"))
	c.Close()
	if err := awaitEnd(t, c); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

// A frozen server must not hold up Close, of the connection or of a channel.
func TestCloseDoesNotBlock(t *testing.T) {
	noLeaks(t)
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	c, _, err := connectTo(t, keyLogin(server.Endpoint))
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.OpenSFTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server.Freeze()
	done := make(chan struct{})
	go func() {
		defer close(done)
		ch.Close()
		ch.Close()
		c.Close()
		c.Close()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("Close blocks")
	}
	awaitEnd(t, c)
}

// jumpTo is the configuration that reaches target through bastion, where the
// key of target's user is authorised.
func jumpTo(t *testing.T, bastion, target sftptest.Endpoint) Config {
	t.Helper()
	cfg := keyLogin(target)
	cfg.KeyPath = bastion.PrivateKeyPath
	cfg.KnownHostsPath = filepath.Join(t.TempDir(), "known_hosts")
	writeFile(t, cfg.KnownHostsPath,
		string(sftptest.KnownHostsLines(bastion.Addr, bastion.HostKeys...))+
			string(sftptest.KnownHostsLines(target.Addr, target.HostKeys...)))
	cfg.Jump = &Jump{Username: bastion.User, Host: bastion.Host, Port: bastion.Port}
	return cfg
}

func TestJump(t *testing.T) {
	noLeaks(t)
	bastion := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	cfg := jumpTo(t, bastion.Endpoint, bastion.Endpoint) // the target is the same server, seen from itself
	c, stages, err := connectTo(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := "127.0.0.1 is resolved there"; !strings.Contains(stages[0].Detail, want) {
		t.Errorf("resolve says %q", stages[0].Detail)
	}
	if want := fmt.Sprintf("%s through %s@%s", bastion.Addr, bastion.User, bastion.Addr); stages[1].Detail != want {
		t.Errorf("connect says %q, want %q", stages[1].Detail, want)
	}
	expectSFTP(t, c)

	bastion.KillSessions()
	if err := awaitEnd(t, c); !status.Is(err, status.ConnectionLost) {
		t.Errorf("got %v", err)
	}
	bastion.Stop()
}

func TestJumpFailures(t *testing.T) {
	noLeaks(t)
	bastion := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	closed := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Extra: []string{"AllowTcpForwarding no"}})
	good := jumpTo(t, bastion.Endpoint, bastion.Endpoint)
	with := func(change func(c *Config)) Config {
		cfg := good
		jump := *cfg.Jump
		cfg.Jump = &jump
		change(&cfg)
		return cfg
	}
	silent := answering(t, "", false)
	tests := map[string]struct {
		cfg   Config
		word  status.Word
		stage string
		text  string
	}{
		"target's port is closed": {with(func(c *Config) { c.Port = 1 }), status.ConnectionRefused, status.StageConnect, "jump host: connect to 127.0.0.1:1"},
		"target is unknown":       {with(func(c *Config) { c.Host = "no-such-host.invalid" }), status.HostNotFound, status.StageConnect, "no-such-host.invalid"},
		"jump host is unknown":    {with(func(c *Config) { c.Jump.Host = "no-such-host.invalid" }), status.HostNotFound, status.StageResolve, "no-such-host.invalid"},
		"jump host is closed":     {with(func(c *Config) { c.Jump.Port = 1 }), status.ConnectionRefused, status.StageConnect, "127.0.0.1:1"},
		"jump host has other key": {with(func(c *Config) { c.KnownHostsPath = filepath.Join(t.TempDir(), "none") }), status.HostKeyUnknown, status.StageConnect, "jump host: check the host key"},
		"jump login is refused":   {with(func(c *Config) { c.Jump.Username = "nobody-we-know" }), status.AuthenticationFailed, status.StageConnect, "jump host: log in to"},
		"no forwarding":           {jumpTo(t, closed.Endpoint, closed.Endpoint), status.ConnectionRefused, status.StageConnect, "does not allow forwarding"},
		"target is silent": {with(func(c *Config) {
			c.Port = at(t, silent).Port
			c.Timeouts.Handshake = 2 * time.Second
		}), status.ConnectionTimedOut, status.StageHandshake, "no answer"},
		"target has other key": {with(func(c *Config) { c.HostKey = "SHA256:AAAA" }), status.HostKeyVerificationFailed, status.StageHostKey, "is not the configured one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if name == "target is silent" {
				tt.cfg.Timeouts.Dial = 10 * time.Second
			}
			expectFailure(t, tt.cfg, tt.word, tt.stage, tt.text)
		})
	}
	bastion.Stop()
	closed.Stop()
}
