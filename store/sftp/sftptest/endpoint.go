package sftptest

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Endpoint is all that a client needs to log in to a server of this package.
type Endpoint struct {
	Host string // always 127.0.0.1
	Port int
	Addr string // Host:Port
	User string
	// Password is the user's, for password and keyboard-interactive; empty
	// when the server was started without passwords.
	Password string
	// PrivateKeyPath is the user's key as an unencrypted OpenSSH file, mode 0600.
	PrivateKeyPath string
	ClientKey      ssh.Signer      // the same key
	HostKeys       []ssh.PublicKey // the keys that the server may show
	// KnownHosts is a file that lists all of HostKeys under this address.
	KnownHosts string
	// Root is the directory that is served, an absolute path without symbolic
	// links: the same on this machine and on the server. Relative paths of a
	// client start here, unless the server is OpenSSH or ProFTPD.
	Root string
}

// newEndpoint fills in what does not depend on the server's kind.
func newEndpoint(tb testing.TB, dir string, port int, hostKeys []ssh.Signer) Endpoint {
	tb.Helper()
	e := Endpoint{Host: "127.0.0.1", Port: port, Root: filepath.Join(dir, "root")}
	e.Addr = net.JoinHostPort(e.Host, strconv.Itoa(port))
	e.PrivateKeyPath = filepath.Join(dir, "id_ed25519")
	key := NewKey(tb, Ed25519)
	e.ClientKey = key.Signer
	must(tb, os.WriteFile(e.PrivateKeyPath, key.PEM, 0o600))
	must(tb, os.Mkdir(e.Root, 0o755))
	for _, k := range hostKeys {
		e.HostKeys = append(e.HostKeys, k.PublicKey())
	}
	e.KnownHosts = filepath.Join(dir, "known_hosts")
	must(tb, os.WriteFile(e.KnownHosts, KnownHostsLines(e.Addr, e.HostKeys...), 0o600))
	return e
}

// KnownHostsLines gives the text of a known_hosts file that lists the keys
// under one address.
func KnownHostsLines(addr string, keys ...ssh.PublicKey) []byte {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(knownhosts.Line([]string{knownhosts.Normalize(addr)}, k) + "\n")
	}
	return []byte(b.String())
}

// workDir makes a directory that every local user may enter: the sessions of
// some servers run as another user, whom testing.TB.TempDir keeps out.
func workDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sftptest-")
	must(tb, err)
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("sftptest: %v", err)
		}
	})
	must(tb, os.Chmod(dir, 0o755))
	dir, err = filepath.EvalSymlinks(dir)
	must(tb, err)
	return dir
}

func randomPassword() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("sftptest: %v", err)
	}
}

// writeFile writes a file of its own for the test, and gives its path.
func writeFile(tb testing.TB, name string, content []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	must(tb, os.WriteFile(path, content, 0o600))
	return path
}
