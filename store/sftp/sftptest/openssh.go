package sftptest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gofrs/flock"
	"golang.org/x/crypto/ssh"
)

// OpenSSHOptions say how sshd is configured. The zero value is a plain server
// with key login and SFTP.
type OpenSSHOptions struct {
	// Lists as sshd_config(5) takes them, comma-separated; empty: sshd's own.
	Ciphers, KexAlgorithms, HostKeyAlgorithms, MACs string

	HostKeys    []Key  // default: HostKeys(tb)
	MaxSessions int    // channels for each connection; default: sshd's own, 10
	DisableSFTP bool   // no Subsystem line
	Subsystem   string // command of the sftp subsystem; default: Debian's sftp-server, logging to Operations
	// ForceCommand replaces whatever the client asks for, "" for none.
	ForceCommand string
	// AllowPassword logs in as the system user PasswordUser, who has a
	// password, instead of as the user who runs the test. It takes root.
	AllowPassword bool
	// KeyboardInteractive does the same with keyboard-interactive (through PAM)
	// instead of the method password, unless AllowPassword is set too.
	KeyboardInteractive bool
	Extra               []string // further lines of sshd_config; the first value of a keyword wins, and these come first
}

// PasswordUser is the system user for password logins. Without PAM, sshd checks
// passwords against /etc/shadow, so that a user must exist; root makes it on
// first use, with a random password that is kept, for root alone, below /run.
const PasswordUser = "sftptest"

// StartOpenSSH starts Debian's sshd on a free port of loopback.
//
// It runs as the user who runs the test, who logs in by key. As root all works;
// as an ordinary user all but password logins.
func StartOpenSSH(tb testing.TB, o OpenSSHOptions) *Server {
	tb.Helper()
	sshd := lookProgram(tb, "sshd", "openssh-server")
	sftpServer := lookProgram(tb, "sftp-server", "openssh-sftp-server")
	if len(o.HostKeys) == 0 {
		o.HostKeys = HostKeys(tb)
	}
	if os.Geteuid() == 0 {
		must(tb, os.MkdirAll("/run/sshd", 0o755)) // its privilege separation directory
	}
	dir := workDir(tb)
	s := &Server{
		tb:       tb,
		Endpoint: newEndpoint(tb, dir, 0, signers(o.HostKeys)),
		logPath:  filepath.Join(dir, "sshd.log"),
		opsPath:  filepath.Join(dir, "operations.log"),
	}
	s.login(o)
	if o.Subsystem == "" {
		// The user's shell runs the command, so that it may redirect.
		o.Subsystem = fmt.Sprintf("%s -e -l INFO 2>>%s", sftpServer, s.opsPath)
	}
	config := filepath.Join(dir, "sshd_config")
	s.argv = []string{sshd, "-D", "-e", "-f", config}
	hostKeyPaths := writeHostKeys(tb, dir, o.HostKeys)
	s.startOnFreePort(func() error {
		return os.WriteFile(config, []byte(sshdConfig(o, s, dir, hostKeyPaths)), 0o600)
	})
	return s
}

// Gesftpserver is the Green End SFTP server, for OpenSSHOptions.Subsystem.
func Gesftpserver(tb testing.TB) string {
	tb.Helper()
	return lookProgram(tb, "gesftpserver", "gesftpserver")
}

// Chromium is Debian's browser.
func Chromium(tb testing.TB) string {
	tb.Helper()
	return lookProgram(tb, "chromium", "chromium")
}

// startOnFreePort starts a daemon for the first time; configure writes its
// configuration for s.Port.
func (s *Server) startOnFreePort(configure func() error) {
	s.tb.Helper()
	s.tb.Cleanup(s.Stop)
	var err error
	for range startTries {
		s.Port = freePort(s.tb)
		s.Addr = fmt.Sprintf("%s:%d", s.Host, s.Port)
		must(s.tb, os.WriteFile(s.KnownHosts, KnownHostsLines(s.Addr, s.HostKeys...), 0o600))
		must(s.tb, configure())
		if err = s.start(); err == nil {
			return
		}
	}
	s.tb.Fatalf("sftptest: %v", err)
}

// login decides who logs in, and gives them the served directory and the logs.
func (s *Server) login(o OpenSSHOptions) {
	s.tb.Helper()
	must(s.tb, os.WriteFile(s.opsPath, nil, 0o644))
	u, err := user.Current()
	must(s.tb, err)
	if o.AllowPassword || o.KeyboardInteractive {
		if u.Uid != "0" {
			s.tb.Fatalf("sftptest: password logins to a real sshd need a system user with a known password, which only root can make: run the tests as root, or in a container")
		}
		s.Password, err = passwordUser()
		must(s.tb, err)
		u, err = user.Lookup(PasswordUser)
		must(s.tb, err)
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		must(s.tb, os.Chown(s.Root, uid, gid))
		must(s.tb, os.Chown(s.opsPath, uid, gid))
	}
	s.User = u.Username
}

func sshdConfig(o OpenSSHOptions, s *Server, dir string, hostKeyPaths []string) string {
	var b strings.Builder
	line := func(keyword, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s %s\n", keyword, value)
		}
	}
	yesNo := map[bool]string{true: "yes", false: "no"}
	for _, l := range o.Extra {
		b.WriteString(l + "\n")
	}
	line("ListenAddress", s.Addr)
	for _, p := range hostKeyPaths {
		line("HostKey", p)
	}
	authorized := filepath.Join(dir, "authorized_keys")
	must(s.tb, os.WriteFile(authorized, ssh.MarshalAuthorizedKey(s.ClientKey.PublicKey()), 0o644))
	line("AuthorizedKeysFile", authorized)
	line("PidFile", filepath.Join(dir, "sshd.pid"))
	line("PermitRootLogin", "yes")
	line("StrictModes", "no")
	line("UseDNS", "no")
	line("PrintMotd", "no")
	line("LogLevel", "VERBOSE")
	// A shell runs the subsystem. In this home it finds no start files: those of
	// the user may be slow, print, or wait for a lock that a kill has left behind.
	line("SetEnv", "HOME="+dir)
	line("PasswordAuthentication", yesNo[o.AllowPassword])
	// Debian's sshd has keyboard-interactive by PAM alone.
	line("UsePAM", yesNo[o.KeyboardInteractive])
	line("KbdInteractiveAuthentication", yesNo[o.KeyboardInteractive])
	line("MaxStartups", "1000") // a test may open many at once; Extra sets it back
	line("Ciphers", o.Ciphers)
	line("KexAlgorithms", o.KexAlgorithms)
	line("HostKeyAlgorithms", o.HostKeyAlgorithms)
	line("MACs", o.MACs)
	line("ForceCommand", o.ForceCommand)
	if o.MaxSessions > 0 {
		line("MaxSessions", strconv.Itoa(o.MaxSessions))
	}
	if !o.DisableSFTP {
		line("Subsystem sftp", o.Subsystem)
	}
	return b.String()
}

// passwordUser makes the PasswordUser if need be, and gives its password. Test
// binaries that run side by side share one password; a lock lets the first of
// them make it.
func passwordUser() (string, error) {
	lock := flock.New("/run/sftptest.lock")
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer lock.Unlock()
	const path = "/run/sftptest.password"
	if b, err := os.ReadFile(path); err == nil {
		if _, err := user.Lookup(PasswordUser); err == nil {
			return string(b), nil
		}
	}
	if _, err := user.Lookup(PasswordUser); err != nil {
		if err := run("", "useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh", PasswordUser); err != nil {
			return "", err
		}
	}
	password := randomPassword()
	if err := run(PasswordUser+":"+password, "chpasswd"); err != nil {
		return "", err
	}
	return password, os.WriteFile(path, []byte(password), 0o600)
}

func run(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
