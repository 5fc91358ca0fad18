//go:build linux

package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sftpconnector/faults/tcpport"
)

// share is a network share, of Debian's Samba.
type share struct {
	home, dir      string
	user, password string
	port           *tcpport.Port
	cmd            *exec.Cmd
	exited         chan struct{}
}

func startShare(ctx context.Context, home string) (*share, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	s := &share{home: home, dir: filepath.Join(home, "files"), user: me.Username, password: "a password of the suite"}
	for _, d := range []string{s.dir, s.file("private"), s.file("locks"), s.file("state"), s.file("cache"), s.file("pid"), s.file("logs"), s.file("ncalrpc")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if s.port, err = tcpport.Reserve("127.0.0.1:0"); err != nil {
		return nil, err
	}
	if err := s.configure(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *share) file(name string) string { return filepath.Join(s.home, name) }

// path is how the product names the share.
func (s *share) path() string { return "smb://" + s.port.Addr() + "/files/in" }

func (s *share) configure() error {
	_, number, err := net.SplitHostPort(s.port.Addr())
	if err != nil {
		return err
	}
	settings := [][2]string{
		{"server role", "standalone server"}, {"workgroup", "SUITE"}, {"netbios name", "SUITE"}, {"disable netbios", "yes"},
		{"interfaces", "127.0.0.1/8"}, {"bind interfaces only", "yes"}, {"smb ports", number},
		{"private dir", s.file("private")}, {"passdb backend", "tdbsam:" + s.file("private/passdb.tdb")},
		{"lock directory", s.file("locks")}, {"state directory", s.file("state")}, {"cache directory", s.file("cache")},
		{"pid directory", s.file("pid")}, {"ncalrpc dir", s.file("ncalrpc")}, {"binddns dir", s.file("state")},
		{"log file", s.file("logs/log.smbd")}, {"load printers", "no"}, {"printcap name", "/dev/null"}, {"disable spoolss", "yes"},
		{"usershare max shares", "0"},
	}
	var b strings.Builder
	b.WriteString("[global]\n")
	for _, line := range settings {
		fmt.Fprintf(&b, "\t%s = %s\n", line[0], line[1])
	}
	fmt.Fprintf(&b, "[files]\n\tpath = %s\n\tread only = no\n", s.dir)
	if err := os.WriteFile(s.file("smb.conf"), []byte(b.String()), 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "in"), 0o755); err != nil {
		return err
	}
	s.dir = filepath.Join(s.dir, "in")
	add := exec.Command("pdbedit", "--configfile="+s.file("smb.conf"), "-a", "-t", "-u", s.user)
	add.Stdin = strings.NewReader(s.password + "\n" + s.password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		return fmt.Errorf("pdbedit (Debian: samba): %w: %s", err, out)
	}
	return nil
}

func (s *share) start(ctx context.Context) error {
	cmd := exec.Command("/usr/sbin/smbd", "--foreground", "--no-process-group", "--configfile="+s.file("smb.conf"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start smbd (Debian: samba): %w", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	return insist(ctx, func() error {
		c, err := net.DialTimeout("tcp", s.port.Addr(), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

func (s *share) stop() {
	if s.cmd == nil {
		return
	}
	killTree(s.cmd.Process)
	<-s.exited
	s.cmd = nil
}

// restart has the share away for a while.
func (s *share) restart(ctx context.Context, away time.Duration) error {
	s.stop()
	wait(ctx, away)
	return s.start(ctx)
}

func (s *share) close() error {
	s.stop()
	return s.port.Close()
}
