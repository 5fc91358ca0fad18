package sftptest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// ProFTPDOptions say how ProFTPD's mod_sftp is configured. The zero value is a
// plain server with password and key login.
type ProFTPDOptions struct {
	HostKeys   []Key           // default: HostKeys(tb)
	Authorized []ssh.PublicKey // further keys that may log in
	Extra      []string        // further lines of proftpd.conf
}

// StartProFTPD starts Debian's ProFTPD with mod_sftp on a free port of
// loopback. Its one user is virtual, has the id of the user who runs the test,
// and may log in with a password or a key.
//
// Operations is its transfer log (xferlog(5)), one line for each file read.
func StartProFTPD(tb testing.TB, o ProFTPDOptions) *Server {
	tb.Helper()
	proftpd := lookProgram(tb, "proftpd", "proftpd-core proftpd-mod-crypto")
	if len(o.HostKeys) == 0 {
		o.HostKeys = HostKeys(tb)
	}
	dir := workDir(tb)
	s := &Server{
		tb:       tb,
		Endpoint: newEndpoint(tb, dir, 0, signers(o.HostKeys)),
		logPath:  filepath.Join(dir, "proftpd.log"),
		opsPath:  filepath.Join(dir, "transfer.log"),
	}
	s.User, s.Password = "collector", randomPassword()
	hash, err := hashPassword(lookProgram(tb, "ftpasswd", "proftpd-core"), s.Password)
	must(tb, err)
	passwd := fmt.Sprintf("%s:%s:%d:%d::%s:/bin/sh\n", s.User, hash, os.Getuid(), os.Getgid(), s.Root)
	must(tb, os.WriteFile(filepath.Join(dir, "passwd"), []byte(passwd), 0o600))
	must(tb, os.WriteFile(filepath.Join(dir, "group"), fmt.Appendf(nil, "collector:x:%d:\n", os.Getgid()), 0o600))
	authorized := rfc4716(s.ClientKey.PublicKey())
	for _, key := range o.Authorized {
		authorized = append(authorized, rfc4716(key)...)
	}
	must(tb, os.WriteFile(filepath.Join(dir, "authorized_keys"), authorized, 0o600))

	config := filepath.Join(dir, "proftpd.conf")
	s.argv = []string{proftpd, "--nodaemon", "--quiet", "--config", config}
	hostKeyPaths := writeHostKeys(tb, dir, o.HostKeys)
	s.startOnFreePort(func() error {
		return os.WriteFile(config, []byte(proftpdConfig(o, s, dir, hostKeyPaths)), 0o600)
	})
	return s
}

func proftpdConfig(o ProFTPDOptions, s *Server, dir string, hostKeyPaths []string) string {
	u, err := user.Current()
	must(s.tb, err)
	g, err := user.LookupGroupId(u.Gid)
	must(s.tb, err)
	lines := []string{
		"LoadModule mod_sftp.c",
		"ServerType standalone",
		"ServerName sftptest",
		"DefaultAddress " + s.Host,
		fmt.Sprintf("Port %d", s.Port),
		"UseIPv6 off",
		"UseReverseDNS off",
		"SocketBindTight on",
		"User " + u.Username, // who runs it already: it changes nothing
		"Group " + g.Name,
		"RootLogin on",
		"RequireValidShell off",
		"AuthOrder mod_auth_file.c",
		"AuthUserFile " + filepath.Join(dir, "passwd"),
		"AuthGroupFile " + filepath.Join(dir, "group"),
		"WtmpLog off",
		"PidFile " + filepath.Join(dir, "proftpd.pid"),
		"ScoreboardFile " + filepath.Join(dir, "scoreboard"),
		"DelayEngine off",
		"SystemLog " + s.logPath,
		"TransferLog " + s.opsPath,
		"AllowOverwrite on",
		"SFTPEngine on",
		"SFTPLog " + s.logPath,
		"SFTPAuthMethods publickey password",
		"SFTPAuthorizedUserKeys file:" + filepath.Join(dir, "authorized_keys"),
	}
	for _, p := range hostKeyPaths {
		lines = append(lines, "SFTPHostKey "+p)
	}
	lines = append(lines, o.Extra...)
	return strings.Join(lines, "\n") + "\n"
}

// hashPassword has ProFTPD's own tool hash a password for its AuthUserFile.
func hashPassword(ftpasswd, password string) (string, error) {
	cmd := exec.Command(ftpasswd, "--hash", "--stdin", "--sha512")
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ftpasswd: %w", err)
	}
	_, hash, ok := strings.Cut(strings.TrimSpace(string(out)), "$6$")
	if !ok {
		return "", fmt.Errorf("ftpasswd: no SHA-512 hash in its answer")
	}
	return "$6$" + hash, nil
}

// rfc4716 gives a public key in the only form that mod_sftp reads.
func rfc4716(k ssh.PublicKey) []byte {
	var b bytes.Buffer
	b.WriteString("---- BEGIN SSH2 PUBLIC KEY ----\n")
	text := base64.StdEncoding.EncodeToString(k.Marshal())
	for len(text) > 70 { // RFC 4716, section 3: lines of at most 72 bytes
		b.WriteString(text[:70] + "\n")
		text = text[70:]
	}
	b.WriteString(text + "\n---- END SSH2 PUBLIC KEY ----\n")
	return b.Bytes()
}
