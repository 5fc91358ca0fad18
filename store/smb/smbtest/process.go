package smbtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
	// startTries bounds how often another port is tried: a free port can be
	// taken by someone else before the server binds it.
	startTries = 5
)

// process is a daemon with its children: smbd has one for each session.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

// start runs the daemon, and returns when something listens at addr.
func (p *process) start(argv []string, logPath, addr string) error {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
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
	p.cmd, p.exited = cmd, exited
	if err := p.awaitPort(addr); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", argv[0], err), p.stop())
	}
	return nil
}

func (p *process) awaitPort(addr string) error {
	deadline := time.Now().Add(startTimeout)
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.exited:
			return errors.New("ended at once")
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("does not listen within %v: %w", startTimeout, err)
		}
	}
}

// stop kills the daemon and its children, which it cannot have more of
// meanwhile.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	pause(p.cmd.Process.Pid)
	for _, pid := range append(children(p.cmd.Process.Pid), p.cmd.Process.Pid) {
		killOne(pid)
	}
	defer func() { p.cmd = nil }()
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("%s did not end within %v of SIGKILL", p.cmd.Path, stopTimeout)
	}
}

// cut kills the children that have a connection.
func (p *process) cut() {
	if p.cmd == nil {
		return
	}
	for _, pid := range children(p.cmd.Process.Pid) {
		if connected(pid) {
			killOne(pid)
		}
	}
}

func (p *process) pause()  { p.each(pause) }
func (p *process) resume() { p.each(resume) }

func (p *process) each(do func(pid int)) {
	if p.cmd == nil {
		return
	}
	for _, pid := range append(children(p.cmd.Process.Pid), p.cmd.Process.Pid) {
		do(pid)
	}
}

// connected tells a session from smbd's other children, which rename themselves.
func connected(pid int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	name := strings.TrimSpace(string(b))
	return name == "smbd" || strings.HasPrefix(name, "smbd[")
}

func killOne(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

// children gives the children of a process.
func children(parent int) []int {
	var all []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// The command's name, in parentheses, may hold anything; state and
		// parent follow it (proc(5)).
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		all = append(all, pid)
	}
	return all
}
