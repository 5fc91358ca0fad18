package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

// asProgram, set in the environment, makes the test binary the program itself,
// for what takes a process of its own: signals, kills, terminals.
const asProgram = "SFTP_CONNECTOR_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main() // ends the process
	}
	goleak.VerifyTestMain(m)
}

// site is where a user works: a directory with config.yaml and all that follows
// from it. The data directory is "data" in it.
type site struct {
	t   *testing.T
	dir string
}

func newSite(t *testing.T, format string, args ...any) *site {
	t.Helper()
	s := &site{t, t.TempDir()}
	s.configure(format, args...)
	return s
}

// configure writes config.yaml: a listener on a free port, and the text.
func (s *site) configure(format string, args ...any) {
	s.t.Helper()
	s.write("config.yaml", "server: {listen: 127.0.0.1:0}\n"+fmt.Sprintf(format, args...))
}

// unsettled gives a configuration in which no file has to stand still, but for those
// of connectors that say how long.
func unsettled(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if !strings.Contains(line, "settle:") {
			lines[i] = strings.Replace(line, "files: {", "files: {settle: 0s, ", 1)
		}
	}
	return strings.Join(lines, "")
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(unsettled(text)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// login is the sftp part of a connector that logs in with its key at a server
// whose host key is known.
func login(e sftptest.Endpoint) string {
	return fmt.Sprintf("{host: %s, port: %d, username: %s, authentication: key-pairs, key_pairs_path: %q, known_hosts_path: %q}",
		e.Host, e.Port, e.User, e.PrivateKeyPath, e.KnownHosts)
}

// put writes a file at a server or a destination, modified so long ago.
func put(t *testing.T, dir, name, text string, age time.Duration) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-age).Truncate(time.Second)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

const old = 48 * time.Hour

// outcome is what the program left behind.
type outcome struct {
	t              *testing.T
	verb           string
	code           int
	stdout, stderr string
}

// run runs a verb in this process, to its end.
func (s *site) run(args ...string) outcome {
	s.t.Helper()
	r := s.start(args...)
	return r.wait(time.Minute)
}

// gives checks the exit code, and that standard output has the texts.
func (o outcome) gives(code int, texts ...string) outcome {
	o.t.Helper()
	if o.code != code {
		o.t.Fatalf("%s: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", o.verb, o.code, code, o.stdout, o.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(o.stdout, text) {
			o.t.Errorf("%s: standard output lacks %q:\n%s", o.verb, text, o.stdout)
		}
	}
	return o
}

// says checks that standard error has the texts.
func (o outcome) says(texts ...string) outcome {
	o.t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.stderr, text) {
			o.t.Errorf("%s: standard error lacks %q:\n%s", o.verb, text, o.stderr)
		}
	}
	return o
}

// running is the program at work in the background.
type running struct {
	t              *testing.T
	verb           string
	stdout, stderr stream
	signal         func(os.Signal)
	done           chan struct{}
	code           int // after done
}

// stream may be read while it is written.
type stream struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (o *stream) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *stream) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// end is the last part of it, for a message.
func (o *stream) end() string {
	text := o.String()
	return text[max(0, len(text)-4000):]
}

// start starts a verb in this process. It is ended with the test at the latest.
func (s *site) start(args ...string) *running {
	s.t.Helper()
	return s.startWith("", args...)
}

// input runs a verb with something on its standard input.
func (s *site) input(text string, args ...string) outcome {
	s.t.Helper()
	return s.startWith(text, args...).wait(time.Minute)
}

func (s *site) startWith(input string, args ...string) *running {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: s.t, verb: strings.Join(args, " "), done: make(chan struct{}), signal: func(os.Signal) { cancel() }}
	go func() {
		defer close(r.done)
		defer cancel()
		r.code = Main(ctx, append([]string{"--config", s.path("config.yaml")}, args...), strings.NewReader(input), &r.stdout, &r.stderr)
	}()
	s.t.Cleanup(func() { cancel(); r.wait(30 * time.Second) })
	return r
}

// spawn starts a verb in a process of its own.
func (s *site) spawn(args ...string) *running {
	s.t.Helper()
	return s.spawnFrom(nil, args...)
}

// spawnFrom is spawn with a standard input.
func (s *site) spawnFrom(stdin io.Reader, args ...string) *running {
	s.t.Helper()
	r := &running{t: s.t, verb: strings.Join(args, " "), done: make(chan struct{})}
	return s.spawnCommand(r, stdin, command(s.t, append([]string{"--config", s.path("config.yaml")}, args...)...))
}

// spawnCommand is spawnFrom for a command.
func (s *site) spawnCommand(r *running, stdin io.Reader, cmd *exec.Cmd) *running {
	s.t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &r.stdout, &r.stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	r.signal = func(sig os.Signal) {
		if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			s.t.Errorf("%s: %v", r.verb, err)
		}
	}
	go func() {
		defer close(r.done)
		_ = cmd.Wait()
		r.code = cmd.ProcessState.ExitCode() // -1: killed
	}()
	s.t.Cleanup(func() { r.signal(os.Kill); <-r.done })
	return r
}

// command is the program as a command.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	// The race detector would sleep for a second at the end of the process.
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// stop asks it to stop and waits until it has.
func (r *running) stop() outcome {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	return r.wait(15 * time.Second)
}

func (r *running) wait(within time.Duration) outcome {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(within):
		r.t.Fatalf("%s: still running after %s; standard error:\n%s", r.verb, within, r.stderr.end())
	}
	return outcome{r.t, r.verb, r.code, r.stdout.String(), r.stderr.String()}
}

// until waits for a condition, and fails with the log when it does not come.
func (r *running) until(what string, is func() bool) {
	r.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-poll.C:
		case <-r.done:
			if is() {
				return
			}
			r.t.Fatalf("%s: ended with %d before: %s\nstdout:\n%s\nstderr:\n%s", r.verb, r.code, what, r.stdout.end(), r.stderr.end())
		case <-deadline:
			r.t.Fatalf("%s: it did not come to this: %s\nstdout:\n%s\nstderr:\n%s", r.verb, what, r.stdout.end(), r.stderr.end())
		}
	}
}

// daemon starts 'run' in this process and waits until it is there for others.
func (s *site) daemon(args ...string) *running {
	s.t.Helper()
	r := s.start(append([]string{"run"}, args...)...)
	r.until("it runs", func() bool { return strings.Contains(r.stderr.String(), "running") })
	return r
}

// url is where the daemon of this data directory serves.
func (s *site) url() string {
	s.t.Helper()
	info, ok, err := findDaemon(s.path("data"))
	if err != nil || !ok {
		s.t.Fatalf("no daemon: %v", err)
	}
	return info.URL
}

// operator talks to the daemon as the operator.
func (s *site) operator() *interapp.Client {
	s.t.Helper()
	token, err := readOperatorToken(s.path("data"))
	if err != nil {
		s.t.Fatal(err)
	}
	c := interapp.NewClient(s.url(), token.Reveal())
	s.t.Cleanup(c.Close)
	return c
}

// withoutOperator takes the operator's token away, as for somebody who may not read it.
func (s *site) withoutOperator() {
	s.t.Helper()
	if err := os.Remove(s.path("data/operator.token")); err != nil {
		s.t.Fatal(err)
	}
}

// exists reports whether there is a file, below the site's directory.
func (s *site) exists(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

// parts gives the pending files below a directory.
func (s *site) parts(dir string) []string {
	var found []string
	_ = filepath.WalkDir(s.path(dir), func(p string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".part") {
			found = append(found, p)
		}
		return nil
	})
	return found
}
