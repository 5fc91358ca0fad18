package sftp

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"sftpconnector/sshclient"
	"sftpconnector/store/sftp/sftptest"
)

// byKey is the configuration of a login by key at a test server.
func byKey(e sftptest.Endpoint) Config {
	return Config{Root: e.Root, Config: sshclient.Config{Host: e.Host, Port: e.Port, Username: e.User, KeyPairs: true,
		KeyPath: e.PrivateKeyPath, KnownHosts: sshclient.KnownHostsFile(e.KnownHosts)}}
}

// byPassword is the same with a password.
func byPassword(e sftptest.Endpoint) Config {
	cfg := byKey(e)
	cfg.KeyPairs, cfg.KeyPath, cfg.Password = false, "", e.Password
	return cfg
}

// noLeaks checks at the end of the test, after all that it cleans up, that no
// goroutine is left over.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// awaitEnd waits until the connection is gone.
func awaitEnd(t *testing.T, c *sshclient.Connection) error {
	t.Helper()
	select {
	case <-c.Done():
		return c.Err()
	case <-time.After(10 * time.Second):
		t.Fatal("the connection does not end")
		return nil
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveSubsystem is a server that lets everyone in and has program answer on each
// channel. It gives the configuration that reaches it.
func serveSubsystem(t *testing.T, program func(ssh.Channel)) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(sftptest.HostKeys(t)[0].Signer)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveConn(conn, config, program)
		}
	}()
	addr := l.Addr().(*net.TCPAddr)
	return Config{Config: sshclient.Config{Host: addr.IP.String(), Port: addr.Port, Username: "nobody", Password: "secret-word",
		HostKey: sshclient.PolicyAcceptNew, KnownHosts: sshclient.KnownHostsFile(filepath.Join(t.TempDir(), "known_hosts"))}}
}

func serveConn(conn net.Conn, config *ssh.ServerConfig, program func(ssh.Channel)) {
	defer conn.Close()
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for asked := range channels {
		ch, requests, err := asked.Accept()
		if err != nil {
			return
		}
		go func() {
			defer ch.Close()
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil)
				if r.Type == "subsystem" {
					program(ch)
					return
				}
			}
		}()
	}
	_ = server.Wait()
}
