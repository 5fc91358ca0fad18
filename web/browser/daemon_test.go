package browser_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// daemon is the program at work, in a directory of its own.
type daemon struct {
	t      *testing.T
	dir    string
	listen string // as in the configuration; an address once it has run
	cmd    *exec.Cmd
	ended  chan struct{}
	log    buffer
}

// buffer may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newDaemon writes the configuration; start starts it.
func newDaemon(t *testing.T, configuration string) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: t.TempDir(), listen: "127.0.0.1:0"}
	d.write("config.yaml", "server: {listen: \"127.0.0.1:0\"}\n"+configuration)
	t.Cleanup(d.kill)
	d.start()
	return d
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d *daemon) write(name, text string) {
	d.t.Helper()
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) read(name string) string {
	text, err := os.ReadFile(d.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	return string(text)
}

// start starts it, and waits until it serves. Started again it listens where it did.
func (d *daemon) start() {
	d.t.Helper()
	if d.listen != "127.0.0.1:0" {
		d.write("config.yaml", strings.Replace(d.read("config.yaml"), "127.0.0.1:0", d.listen, 1))
	}
	d.cmd = exec.Command(program, "--config", d.path("config.yaml"), "run")
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(d.cmd, d.ended)
	d.until("the daemon serves", func() bool {
		var info struct{ URL string }
		if json.Unmarshal([]byte(d.read("data/daemon.json")), &info) != nil {
			return false
		}
		u, err := url.Parse(info.URL)
		if err == nil {
			d.listen = u.Host
		}
		return err == nil
	})
}

func (d *daemon) url() string { return "http://" + d.listen }

// until waits for a condition.
func (d *daemon) until(what string, is func() bool) {
	d.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-d.ended:
			d.t.Fatalf("the daemon ended before %s:\n%s", what, d.log.String())
		case <-deadline:
			d.t.Fatalf("waited in vain until %s; the log:\n%s", what, d.log.String())
		}
	}
}

// kill ends it at once, as a power cut would.
func (d *daemon) kill() { d.end(syscall.SIGKILL) }

// stop ends it as a supervisor does.
func (d *daemon) stop() { d.end(syscall.SIGTERM) }

func (d *daemon) end(signal os.Signal) {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(signal) // it may have ended by itself
	select {
	case <-d.ended:
	case <-time.After(30 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	d.cmd = nil
}

// visit opens a browser with the pages of the daemon, signed in as the operator.
func (d *daemon) visit(path string) *tab {
	d.t.Helper()
	b := open(d.t, d.url())
	b.visit(path)
	if token := strings.TrimSpace(d.read("data/operator.token")); token != "" && strings.Contains(eval[string](b, "location.pathname"), "sign-in") {
		b.write("#token", token)
		b.follow("main form button")
	}
	return b
}

// login is the sftp part of a connector that logs in at the server with its key.
func login(e sftptest.Endpoint) string {
	return fmt.Sprintf("{host: %s, port: %d, username: %s, authentication: key-pairs, key_pairs_path: %q, known_hosts_path: %q}", e.Host, e.Port, e.User, e.PrivateKeyPath, e.KnownHosts)
}

// put writes a file at a server, modified long ago.
func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
}

// upload sends a file with OpenSSH's client, which gets the password from a program.
func (d *daemon) upload(line, password, name string) {
	d.t.Helper()
	d.write(name, "alpha")
	d.write("askpass", "#!/bin/sh\nprintf '%s\\n' '"+password+"'\n")
	if err := os.Chmod(d.path("askpass"), 0o700); err != nil {
		d.t.Fatal(err)
	}
	args := append([]string{"-q", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oNumberOfPasswordPrompts=1"}, strings.Fields(line)[1:]...)
	cmd := exec.Command("sftp", args...)
	cmd.Dir, cmd.Stdin = d.dir, strings.NewReader("put "+name+"\n")
	cmd.Env = append(os.Environ(), "SSH_ASKPASS="+d.path("askpass"), "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:0")
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	d.until("the file is imported", func() bool { return d.read("imported/"+name) == "alpha" })
}
