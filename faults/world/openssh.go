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
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/tcpport"
)

// openSSH is Debian's sshd, run by the user who runs the suite.
type openSSH struct {
	dir, user string
	port      *tcpport.Port
	client    ssh.PublicKey
	log       *os.File

	mu             sync.Mutex
	cmd            *exec.Cmd
	exited         chan struct{}
	otherKey       bool
	refuseLogins   bool
	refuseSessions bool
}

// startOpenSSH starts a server whose files are below dir, for the client's key.
func startOpenSSH(dir string, client ssh.PublicKey) (*openSSH, ssh.PublicKey, error) {
	me, err := user.Current()
	if err != nil {
		return nil, nil, err
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // its privilege separation directory
			return nil, nil, err
		}
	}
	hostKey, err := newKey(filepath.Join(dir, "host_key"))
	if err != nil {
		return nil, nil, err
	}
	if _, err := newKey(filepath.Join(dir, "other_host_key")); err != nil {
		return nil, nil, err
	}
	log, err := os.Create(filepath.Join(dir, "sshd.log"))
	if err != nil {
		return nil, nil, err
	}
	p, err := tcpport.Reserve("127.0.0.1:0")
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	s := &openSSH{dir: dir, user: me.Username, port: p, client: client, log: log}
	if err := s.start(); err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return s, hostKey.PublicKey(), nil
}

// Addr is host:port.
func (s *openSSH) Addr() string { return s.port.Addr() }

func (s *openSSH) start() error {
	host, number, err := net.SplitHostPort(s.port.Addr())
	if err != nil {
		return err
	}
	key, authorized, sessions := "host_key", string(ssh.MarshalAuthorizedKey(s.client)), "10"
	if s.otherKey {
		key = "other_host_key"
	}
	if s.refuseLogins {
		authorized = ""
	}
	if s.refuseSessions {
		sessions = "0"
	}
	lines := []string{
		"ListenAddress " + host, "Port " + number,
		"HostKey " + filepath.Join(s.dir, key),
		"AuthorizedKeysFile " + filepath.Join(s.dir, "authorized_keys"),
		"PidFile none", "PermitRootLogin yes", "StrictModes no", "UseDNS no", "PrintMotd no",
		"MaxStartups 100", "MaxSessions " + sessions, "SetEnv HOME=" + s.dir,
		"Subsystem sftp internal-sftp",
	}
	config := filepath.Join(s.dir, "sshd_config")
	if err := errors.Join(
		os.WriteFile(filepath.Join(s.dir, "authorized_keys"), []byte(authorized), 0o644),
		os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600),
	); err != nil {
		return err
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start sshd (Debian: openssh-server): %w", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	return s.await()
}

// await returns when the server listens.
func (s *openSSH) await() error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.DialTimeout("tcp", s.port.Addr(), time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.exited:
			return errors.New("sshd has ended at once")
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("sshd does not listen: %w", err)
		}
	}
}

// stop kills the listener and every session, which is a process of its own.
func (s *openSSH) stop() {
	if s.cmd == nil {
		return
	}
	killTree(s.cmd.Process)
	<-s.exited
	s.cmd = nil
}

// Restart has the server away for a while.
func (s *openSSH) Restart(ctx context.Context, away time.Duration) error {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	wait(ctx, away)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again()
}

// again starts the server with what was changed.
func (s *openSSH) again() error {
	s.stop()
	return s.start()
}

// ChangeKey switches to another host key, or back.
func (s *openSSH) ChangeKey(on bool) error { return s.change(func() { s.otherKey = on }) }

// ChangePassword has another key accepted than the client's.
func (s *openSSH) ChangePassword(on bool) error { return s.RefuseLogins(on) }

// RefuseLogins has no key of clients accepted.
func (s *openSSH) RefuseLogins(on bool) error { return s.change(func() { s.refuseLogins = on }) }

// RefuseSessions has every session refused.
func (s *openSSH) RefuseSessions(on bool) error { return s.change(func() { s.refuseSessions = on }) }

func (s *openSSH) change(what func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
	return s.again()
}

// Close ends the server.
func (s *openSSH) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	return errors.Join(s.port.Close(), s.log.Close())
}

// killTree kills a process with all that it has started.
func killTree(p *os.Process) {
	_ = p.Signal(syscall.SIGSTOP) // it has no more children meanwhile
	for _, pid := range descendants(p.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = p.Kill()
}

// descendants are the processes that a process has started, and theirs.
func descendants(pid int) []int {
	var all []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		text, _ := os.ReadFile(file)
		for field := range strings.FieldsSeq(string(text)) {
			var child int
			if _, err := fmt.Sscan(field, &child); err == nil {
				all = append(all, child)
				all = append(all, descendants(child)...)
			}
		}
	}
	return all
}
