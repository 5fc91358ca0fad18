package sftptest

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gofrs/flock"
	"golang.org/x/crypto/ssh"
)

// TinyUser is the system user for logins to tinysshd, which looks for keys in
// the home of the passwd file alone. Root makes it on first use.
const TinyUser = "sftptest-tiny"

// tinyHome is that home; it goes with the next start of the machine.
const tinyHome = "/run/sftptest-tiny"

// StartTinySSH starts Debian's tinysshd behind tcpserver on a free port of
// loopback, with OpenSSH's sftp-server. It takes root, knows key logins only,
// allows one channel a connection, and answers global requests with
// SSH_MSG_UNIMPLEMENTED.
func StartTinySSH(tb testing.TB) *Server {
	tb.Helper()
	tcpserver, tinysshd := lookProgram(tb, "tcpserver", "ucspi-tcp"), lookProgram(tb, "tinysshd", "tinysshd")
	sftpServer := lookProgram(tb, "sftp-server", "openssh-sftp-server")
	if os.Geteuid() != 0 {
		tb.Fatalf("sftptest: tinysshd needs a system user with a home, which only root can make: run the tests as root, or in a container")
	}
	dir := workDir(tb)
	s := &Server{tb: tb, Endpoint: newEndpoint(tb, dir, 0, nil), logPath: filepath.Join(dir, "tinysshd.log")}
	s.User = TinyUser
	u, err := tinyUser()
	must(tb, err)
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	must(tb, os.Chown(s.Root, uid, gid))
	s.authorizeTiny(uid, gid)

	keys := filepath.Join(dir, "keys")
	must(tb, run("", lookProgram(tb, "tinysshd-makekey", "tinysshd"), "-q", keys))
	raw, err := os.ReadFile(filepath.Join(keys, "ed25519.pk"))
	must(tb, err)
	key, err := ssh.NewPublicKey(ed25519.PublicKey(raw))
	must(tb, err)
	s.HostKeys = []ssh.PublicKey{key}
	s.startOnFreePort(func() error {
		s.argv = []string{tcpserver, "-HRDl0", s.Host, strconv.Itoa(s.Port), tinysshd, "-l", "-v", "-x", "sftp=" + sftpServer, keys}
		return nil
	})
	return s
}

// tinyUser makes the TinyUser if need be.
func tinyUser() (*user.User, error) {
	defer lockTiny()()
	if err := os.MkdirAll(tinyHome+"/.ssh", 0o700); err != nil {
		return nil, err
	}
	if u, err := user.Lookup(TinyUser); err == nil {
		return u, nil
	}
	err := run("", "useradd", "--system", "--no-create-home", "--home-dir", tinyHome, "--shell", "/bin/sh", TinyUser)
	if err != nil {
		return nil, err
	}
	return user.Lookup(TinyUser)
}

// authorizeTiny lets the server's key in until the test ends. The file is
// shared with other tests that run now.
func (s *Server) authorizeTiny(uid, gid int) {
	line := ssh.MarshalAuthorizedKey(s.ClientKey.PublicKey())
	path := tinyHome + "/.ssh/authorized_keys"
	edit := func(change func([]byte) []byte) {
		defer lockTiny()()
		old, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			s.tb.Errorf("sftptest: %v", err)
		}
		next := path + fmt.Sprint(".", os.Getpid())
		must(s.tb, os.WriteFile(next, change(old), 0o600))
		must(s.tb, os.Rename(next, path))
		for _, p := range []string{tinyHome, tinyHome + "/.ssh", path} {
			must(s.tb, os.Chown(p, uid, gid))
		}
	}
	edit(func(old []byte) []byte { return append(old, line...) })
	s.tb.Cleanup(func() { edit(func(old []byte) []byte { return bytes.ReplaceAll(old, line, nil) }) })
}

// lockTiny keeps test binaries that run side by side apart.
func lockTiny() func() {
	lock := flock.New("/run/sftptest-tiny.lock")
	if err := lock.Lock(); err != nil {
		panic(err)
	}
	return func() { _ = lock.Unlock() }
}
