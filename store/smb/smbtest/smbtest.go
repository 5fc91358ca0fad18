// Package smbtest runs Debian's Samba for tests: on a free port of loopback,
// with a configuration, a password database and a share of its own, and with
// no part of the system's Samba. It needs neither root nor a system user made
// for it: whoever runs the test is the user behind the share.
package smbtest

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Options say how the server is configured. The zero value is Samba as it
// comes, with SMB 2 and 3 and one share that can be written.
type Options struct {
	// Dir is the directory that is shared; "": a new one.
	Dir string
	// MinProtocol and MaxProtocol are Samba's names, such as SMB2_10, SMB3_11
	// and NT1; "": SMB2_02 and SMB3_11.
	MinProtocol, MaxProtocol string
	Signing                  string // Samba's "server signing", such as mandatory; "": its own choice
	Encryption               string // Samba's "server smb encrypt", such as required; "": its own choice
	ReadOnly                 bool   // the share cannot be written
	// Global and Share are further lines of smb.conf, which win over those
	// that are there already.
	Global, Share []string
}

// Server is Samba, running as a child process.
type Server struct {
	Host  string // 127.0.0.1
	Port  int
	Addr  string // Host:Port
	Share string // the name of the share
	Dir   string // where it lies on this machine

	// User may log in with Password. The server knows no other.
	User, Password string

	tb      testing.TB
	home    string
	options Options
	account string // of this machine, that User is
	argv    []string
	process process
}

// Start starts Samba. It ends with the test.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	me, err := user.Current()
	must(tb, err)
	s := &Server{
		Host: "127.0.0.1", Share: "share", Dir: o.Dir, User: "connector", Password: "secret of the test",
		tb: tb, home: tb.TempDir(), options: o, account: me.Username,
	}
	if s.Dir == "" {
		s.Dir = tb.TempDir()
	}
	for _, dir := range []string{"private", "locks", "state", "cache", "pid", "ncalrpc", "logs"} {
		must(tb, os.Mkdir(filepath.Join(s.home, dir), 0o700))
	}
	must(tb, os.WriteFile(s.file("users.map"), fmt.Appendf(nil, "%s = %s\n", s.account, s.User), 0o600))
	s.argv = []string{program(tb, "smbd", "samba"), "--foreground", "--no-process-group",
		"--configfile=" + s.file("smb.conf"), "--log-basename=" + s.file("logs")}
	tb.Cleanup(s.Stop)
	for range startTries {
		s.Port = freePort(tb)
		s.Addr = net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
		s.configure()
		s.SetPassword(s.Password)
		if err = s.process.start(s.argv, s.file("smbd.log"), s.Addr); err == nil {
			return s
		}
	}
	tb.Fatalf("smbtest: %v\n%s", err, s.Log())
	return nil
}

// Stop kills the server with all its sessions, as a power cut would. It does
// nothing when the server is not running.
func (s *Server) Stop() {
	s.tb.Helper()
	if err := s.process.stop(); err != nil {
		s.tb.Errorf("smbtest: %v", err)
	}
}

// Restart starts the server again on its port, after a Stop if it runs.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	if err := s.process.start(s.argv, s.file("smbd.log"), s.Addr); err != nil {
		s.tb.Fatalf("smbtest: %v\n%s", err, s.Log())
	}
}

// Cut ends every session and leaves the server listening.
func (s *Server) Cut() { s.process.cut() }

// Freeze has the server and its sessions stand still, as a network that
// swallows everything does, until Thaw.
func (s *Server) Freeze() { s.process.pause() }

// Thaw lets the server go on after a Freeze.
func (s *Server) Thaw() { s.process.resume() }

// SetPassword gives the user another password. Sessions go on.
func (s *Server) SetPassword(password string) {
	s.tb.Helper()
	s.run(password+"\n"+password+"\n", "pdbedit", "-a", "-t", "-u", s.account)
	s.Password = password
}

// Disable closes the user's account. Sessions go on.
func (s *Server) Disable() {
	s.tb.Helper()
	s.run("", "pdbedit", "-c", "[D]", "-u", s.account)
}

// SetReadOnly switches whether the share can be written. It restarts the
// server, which holds to a session what the share was like when it began.
func (s *Server) SetReadOnly(readOnly bool) {
	s.tb.Helper()
	s.options.ReadOnly = readOnly
	s.configure()
	s.Restart()
}

// Client runs commands of smbclient on the share, such as "allinfo x.csv", and
// gives what it prints.
func (s *Server) Client(commands string) string {
	s.tb.Helper()
	login := fmt.Appendf(nil, "username=%s\npassword=%s\n", s.User, s.Password)
	must(s.tb, os.WriteFile(s.file("login"), login, 0o600))
	return s.run("", "smbclient", "-p", strconv.Itoa(s.Port), "-A", s.file("login"), "//"+s.Host+"/"+s.Share, "-c", commands)
}

// Log is what the server has logged so far.
func (s *Server) Log() string {
	var all strings.Builder
	logs, _ := filepath.Glob(s.file("logs/log.*"))
	for _, path := range append(logs, s.file("smbd.log")) {
		b, _ := os.ReadFile(path)
		all.Write(b)
	}
	return all.String()
}

// run runs one of Samba's programs with this server's configuration.
func (s *Server) run(input, name string, arg ...string) string {
	s.tb.Helper()
	pkg := "samba"
	if name == "smbclient" {
		pkg = name
	}
	cmd := exec.Command(program(s.tb, name, pkg), append([]string{"--configfile=" + s.file("smb.conf")}, arg...)...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.tb.Fatalf("smbtest: %s %q: %v\n%s", name, arg, err, out)
	}
	return string(out)
}

func (s *Server) file(name string) string { return filepath.Join(s.home, name) }

// configure writes smb.conf.
func (s *Server) configure() {
	s.tb.Helper()
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "\t%s = %s\n", key, value)
		}
	}
	b.WriteString("[global]\n")
	line("server role", "standalone server")
	line("workgroup", "SMBTEST")
	line("netbios name", "SMBTEST")
	line("disable netbios", "yes")
	line("interfaces", "127.0.0.1/8")
	line("bind interfaces only", "yes")
	line("smb ports", strconv.Itoa(s.Port))
	line("private dir", s.file("private"))
	line("passdb backend", "tdbsam:"+s.file("private/passdb.tdb"))
	line("username map", s.file("users.map"))
	line("lock directory", s.file("locks"))
	line("state directory", s.file("state"))
	line("cache directory", s.file("cache"))
	line("pid directory", s.file("pid"))
	line("ncalrpc dir", s.file("ncalrpc"))
	line("binddns dir", s.file("state"))
	line("log file", s.file("logs/log.smbd"))
	line("load printers", "no")
	line("printcap name", "/dev/null")
	line("disable spoolss", "yes")
	line("usershare max shares", "0")
	line("server min protocol", cmp.Or(s.options.MinProtocol, "SMB2_02"))
	line("server max protocol", cmp.Or(s.options.MaxProtocol, "SMB3_11"))
	line("server signing", s.options.Signing)
	line("server smb encrypt", s.options.Encryption)
	for _, l := range s.options.Global {
		b.WriteString("\t" + l + "\n")
	}
	fmt.Fprintf(&b, "[%s]\n", s.Share)
	line("path", s.Dir)
	line("read only", map[bool]string{true: "yes", false: "no"}[s.options.ReadOnly])
	for _, l := range s.options.Share {
		b.WriteString("\t" + l + "\n")
	}
	must(s.tb, os.WriteFile(s.file("smb.conf"), []byte(b.String()), 0o600))
}

// program finds a program of a Debian package, also where an ordinary user's
// PATH does not look.
func program(tb testing.TB, name, pkg string) string {
	tb.Helper()
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Skipf("left out: %s is missing: run 'make test' as root, or 'apt-get install %s'", name, pkg)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// freePort gives a loopback port on which nothing listens right now.
func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("smbtest: %v", err)
	}
}
