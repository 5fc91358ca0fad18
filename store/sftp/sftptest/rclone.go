package sftptest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
)

// StartRclone starts Debian's rclone as an SFTP server on a free port of loopback,
// as it comes but for how long it remembers a directory. It lets files be written
// in the order of their offsets only. The login is with a key.
func StartRclone(tb testing.TB) *Server {
	tb.Helper()
	rclone := lookProgram(tb, "rclone", "rclone")
	key := NewKey(tb, Ed25519)
	dir := workDir(tb)
	s := &Server{
		tb:       tb,
		Endpoint: newEndpoint(tb, dir, 0, signers([]Key{key})),
		logPath:  filepath.Join(dir, "rclone.log"),
		opsPath:  filepath.Join(dir, "operations.log"),
	}
	s.User = "collector"
	keyPath, authorized := filepath.Join(dir, "host_key"), filepath.Join(dir, "authorized_keys")
	must(tb, os.WriteFile(keyPath, key.PEM, 0o600))
	must(tb, os.WriteFile(authorized, ssh.MarshalAuthorizedKey(s.ClientKey.PublicKey()), 0o600))
	s.startOnFreePort(func() error {
		s.argv = []string{rclone, "serve", "sftp", "--config", filepath.Join(dir, "rclone.conf"), "--addr", s.Addr, "--key", keyPath,
			"--authorized-keys", authorized, "--dir-cache-time", "1ms", "--poll-interval", "0", "/"}
		return nil
	})
	return s
}
