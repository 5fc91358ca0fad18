package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/store/sftp/sftptest"
)

// onTerminal starts a verb in a process that has a terminal for all its
// streams. What it prints is in stdout; the user types into what is returned.
func (s *site) onTerminal(args ...string) (*running, *os.File) {
	s.t.Helper()
	return atTerminal(s.t, strings.Join(args, " "), command(s.t, append([]string{"--config", s.path("config.yaml")}, args...)...))
}

// atTerminal does the same for any program.
func atTerminal(t *testing.T, verb string, cmd *exec.Cmd) (*running, *os.File) {
	t.Helper()
	user, terminal := openTerminal(t)
	r := &running{t: t, verb: verb, done: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	r.signal = func(sig os.Signal) { _ = cmd.Process.Signal(sig) }
	go func() {
		defer close(r.done)
		defer user.Close()
		b := make([]byte, 4096)
		for {
			n, err := user.Read(b)
			_, _ = r.stdout.Write(b[:n])
			if err != nil { // EIO, once nobody has the terminal open any more
				break
			}
		}
		_ = cmd.Wait()
		r.code = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { r.signal(os.Kill); <-r.done })
	return r, user
}

// openTerminal opens a pseudo terminal of 120 columns, see pty(7).
func openTerminal(t *testing.T) (user, terminal *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(user.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120}); err != nil {
		t.Fatal(err)
	}
	return user, terminal
}

func TestApplyShowsProgressOnATerminal(t *testing.T) {
	t.Parallel()
	server := slow(t)
	server.Set(func(f *sftptest.Faults) { f.Bandwidth = 1 << 20 }) // of eight channels each
	put(t, server.Root, "small.csv", "x", old)
	s := newSite(t, "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n", login(server.Endpoint), server.Root)
	r, _ := s.onTerminal("apply")
	r.until("the bar moves", func() bool {
		text := r.stdout.String()
		return strings.Contains(text, "1/2 files") && strings.Contains(text, "MiB") && strings.Contains(text, "/s") && strings.Contains(text, "left")
	})
	server.Set(func(f *sftptest.Faults) { f.Bandwidth = 0 })
	o := r.wait(time.Minute).gives(0, "CONNECTOR", "STATE", "succeeded", "Connection Valid")
	if strings.Contains(o.stdout, "results: copied small.csv") {
		t.Error("there are plain lines beside the bar")
	}
	sftptest.CompareTrees(t, server.Root, s.path("results"))
}

// On a terminal an unknown host key is shown, and the user is asked.
func TestHostKeyIsAskedForOnATerminal(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "a.csv", "x", old)
	const text = "connectors:\n  results:\n    sftp: {host: 127.0.0.1, port: %d, username: %s, authentication: key-pairs, key_pairs_path: %q}\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n"
	for _, c := range []struct {
		name, verb, answer string
		code               int
		remembered         bool
		shows              []string
	}{
		{"apply, yes", "apply", "yes\n", 0, true, []string{"can't be established", "succeeded"}},
		{"apply, no", "apply", "no\n", 1, false, []string{"can't be established", "Host Key Unknown"}},
		{"check, yes", "check", "yes\n", 0, true, []string{"can't be established", "Connection Valid"}},
		{"check, nothing", "check", "\n", 1, false, []string{"Host Key Unknown"}},
		{"trust, yes", "trust results", "yes\n", 0, true, []string{"Remembered in"}},
		{"trust, no", "trust results", "no\n", 1, false, []string{"the key is not trusted"}},
		{"trust, end of input", "trust results", "\x04", 1, false, []string{"the key is not trusted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, text, server.Port, server.User, server.PrivateKeyPath, server.Root)
			r, user := s.onTerminal(strings.Fields(c.verb)...)
			r.until("it asks", func() bool {
				return strings.Contains(r.stdout.String(), "SHA256:") && strings.Contains(r.stdout.String(), "(yes/no)? ")
			})
			if _, err := user.WriteString(c.answer); err != nil {
				t.Fatal(err)
			}
			r.wait(time.Minute).gives(c.code, c.shows...)
			if known := s.exists("data/known_hosts"); known != c.remembered {
				t.Errorf("remembered: %v", known)
			}
		})
	}
}
