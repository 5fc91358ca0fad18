package sshclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/sftptest/relay"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
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
			ch, err := c.OpenSubsystem(t.Context(), "sftp")
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
			if _, err := c.OpenSubsystem(t.Context(), "sftp"); !status.Is(err, status.ConnectionLost) || errors.Is(err, ErrNoChannel) {
				t.Errorf("a channel on a lost connection: %v", err)
			}
		})
	}
}

// A server that leaves the question unanswered, but sends something, is alive.
func TestTrafficIsAnAnswer(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(sftptest.HostKeys(t)[0].Signer)
	quiet := make(chan struct{})
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		conn, _, requests, err := ssh.NewServerConn(nc, config)
		if err != nil {
			return
		}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quiet:
				conn.Wait()
				return
			case <-requests:
			case <-tick.C:
				conn.SendRequest("still-here@test", false, nil)
			}
		}
	}()
	cfg := at(t, l.Addr().String())
	cfg.HostKey = PolicyAcceptNew
	cfg.Timeouts.Keepalive, cfg.Timeouts.Operation = 50*time.Millisecond, 500*time.Millisecond
	c, _, err := connectTo(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.KeepAlive(func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	select {
	case <-c.Done():
		t.Errorf("it ended: %v", c.Err())
	case <-time.After(3 * cfg.Timeouts.Operation):
	}
	close(quiet)
	if err := awaitEnd(t, c); !status.Is(err, status.ConnectionLost) {
		t.Errorf("got %v", err)
	}
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
	if _, err := c.OpenSubsystem(t.Context(), "sftp"); !status.Is(err, status.ConnectionLost) || !strings.Contains(err.Error(), "no answer") {
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
	ch, err := c.OpenSubsystem(t.Context(), "sftp")
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

// deafChannel is a channel whose Close waits for a server that does not listen.
type deafChannel struct {
	ssh.Channel
	heard chan struct{}
}

func (d deafChannel) Close() error { <-d.heard; return nil }

func TestChannelCloseDoesNotBlock(t *testing.T) {
	noLeaks(t)
	deaf := deafChannel{heard: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		(&Channel{stream: deaf}).Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("Close blocks")
	}
	close(deaf.heard)
}

// A channel that opens when nobody waits for it any more is closed, so that it
// does not count against the server's limit.
func TestLateChannelIsClosed(t *testing.T) {
	server := sftptest.StartFaulty(t, sftptest.Faults{MaxChannels: 1})
	r, err := relay.Start(t.Context(), server.Addr, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cfg := throughRelay(t, server.Endpoint, r)
	c, _, err := connectTo(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.OpenSubsystem(ctx, "sftp"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, err := c.OpenSubsystem(t.Context(), "sftp")
		if err == nil {
			return
		}
		if !errors.Is(err, ErrNoChannel) || time.Now().After(deadline) {
			t.Fatalf("got %v", err)
		}
	}
}

// throughRelay is the configuration that reaches a server through a relay.
func throughRelay(t *testing.T, e sftptest.Endpoint, r *relay.Relay) Config {
	t.Helper()
	cfg := keyLogin(e)
	cfg.Port = at(t, r.Addr).Port
	writeFile(t, e.KnownHosts, string(sftptest.KnownHostsLines(r.Addr, e.HostKeys...)))
	return cfg
}

// A long session exchanges its keys anew. The key that was accepted stays good,
// whatever becomes of the file, and no deadline starts again.
func TestRekeying(t *testing.T) {
	server := sftptest.StartFaulty(t, sftptest.Faults{Algorithms: ssh.Config{RekeyThreshold: 4 << 10}})
	cfg := keyLogin(server.Endpoint)
	cfg.Timeouts.Handshake = 500 * time.Millisecond
	c, _, err := connectTo(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, cfg.KnownHosts.String(), "")
	for deadline := time.Now().Add(3 * cfg.Timeouts.Handshake); time.Now().Before(deadline); {
		if _, _, err := c.client.SendRequest("keepalive@openssh.com", true, make([]byte, 1<<10)); err != nil {
			t.Fatalf("%v: %v", err, c.Err())
		}
	}
}

// jumpTo is the configuration that reaches target through bastion, where the
// key of target's user is authorised.
func jumpTo(t *testing.T, bastion, target sftptest.Endpoint) Config {
	t.Helper()
	cfg := keyLogin(target)
	cfg.KeyPath = bastion.PrivateKeyPath
	cfg.KnownHosts = KnownHostsFile(filepath.Join(t.TempDir(), "known_hosts"))
	writeFile(t, cfg.KnownHosts.String(),
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

// Closing does not wait for a jump host that is frozen.
func TestCloseThroughFrozenJump(t *testing.T) {
	noLeaks(t)
	bastion := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	r, err := relay.Start(t.Context(), bastion.Addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cfg := jumpTo(t, bastion.Endpoint, bastion.Endpoint)
	cfg.Jump.Port = at(t, r.Addr).Port
	lines := readText(t, cfg.KnownHosts.String()) + string(sftptest.KnownHostsLines(r.Addr, bastion.HostKeys...))
	writeFile(t, cfg.KnownHosts.String(), lines)
	c, _, err := connectTo(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Freeze()
	start := time.Now()
	c.Close()
	awaitEnd(t, c)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestJumpFailures(t *testing.T) {
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
	before := goleak.IgnoreCurrent()
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
		"jump host has other key": {with(func(c *Config) { c.KnownHosts = KnownHostsFile(filepath.Join(t.TempDir(), "none")) }), status.HostKeyUnknown, status.StageConnect, "jump host: check the host key"},
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
	goleak.VerifyNone(t, before) // before the servers end, which would end what is left over
}
