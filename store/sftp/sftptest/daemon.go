package sftptest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
	// startTries bounds how often another port is tried: a free port can be
	// taken by someone else before the daemon binds it.
	startTries = 5
)

// Server is a real SFTP daemon, running as a child process.
type Server struct {
	Endpoint

	tb      testing.TB
	argv    []string
	logPath string
	opsPath string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when cmd has ended
}

// Stop kills the daemon and all of its sessions, as a power cut would. It does
// nothing when the daemon is not running.
func (s *Server) Stop() {
	s.tb.Helper()
	if s.cmd == nil {
		return
	}
	kill(s.cmd.Process.Pid)
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		s.tb.Errorf("sftptest: %s did not end within %v of SIGKILL", s.argv[0], stopTimeout)
	}
	s.cmd = nil
}

// Restart starts the daemon again on its port, after a Stop if it runs.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	must(s.tb, s.start())
}

// KillSessions cuts every connection and leaves the daemon listening.
func (s *Server) KillSessions() {
	s.tb.Helper()
	if s.cmd == nil {
		return
	}
	for _, pid := range descendants(s.cmd.Process.Pid) {
		killOne(pid)
	}
}

// Log is what the daemon has logged so far.
func (s *Server) Log() string { return readLog(s.logPath) }

// Operations is what the SFTP part has logged so far, one line for each file
// opened, closed, removed or renamed; empty for a server that keeps no such log.
func (s *Server) Operations() string { return readLog(s.opsPath) }

func readLog(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// start runs the daemon and returns when it greets a client.
func (s *Server) start() error {
	log, err := os.OpenFile(s.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	if err := s.awaitBanner(); err != nil {
		s.Stop()
		return fmt.Errorf("%s: %w; its log:\n%s", s.argv[0], err, s.Log())
	}
	return nil
}

// awaitBanner polls the port until an SSH server speaks there.
func (s *Server) awaitBanner() error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := greets(s.Addr)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return errors.New("ended at once")
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no SSH banner within %v: %w", startTimeout, err)
		}
	}
}

func greets(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "SSH-2.0-") {
		err = fmt.Errorf("banner %q", line)
	}
	return err
}

// freePort gives a loopback port on which nothing listens right now.
func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// kill ends a daemon and its sessions. Sessions leave the daemon's process
// group, so they are found as its descendants, while it can start no more.
func kill(pid int) {
	pause(pid)
	pids := append(descendants(pid), pid)
	for _, p := range pids {
		killOne(p)
	}
}

func killOne(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

// descendants gives the children of a process, their children, and so on.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// The command's name, in parentheses, may hold anything; state and
		// parent follow it (proc(5)).
		_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
		f := strings.Fields(rest)
		if len(f) < 2 {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(f[1])
		children[parent] = append(children[parent], child)
	}
	var all []int
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		all = append(all, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// lookProgram finds a program of a Debian package, also where an ordinary
// user's PATH does not look.
func lookProgram(tb testing.TB, name, pkg string) string {
	tb.Helper()
	for _, p := range []string{"/usr/sbin/" + name, "/usr/lib/openssh/" + name, "/usr/libexec/" + name} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		tb.Skipf("left out: %s is missing: run 'make test' as root, or 'apt-get install %s'", name, pkg)
	}
	return p
}
