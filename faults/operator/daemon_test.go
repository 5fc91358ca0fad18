//go:build linux

package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// daemon is a run of the program.
type daemon struct {
	cmd    *exec.Cmd
	dir    string
	stderr output
	gone   chan struct{}
}

// output may be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// configure writes a configuration with one connector, "results".
func (r *rig) configure(c settings) {
	r.Helper()
	text := fmt.Sprintf(`server: {listen: "%[1]s:0", reply_to_allow: ["http://%[1]s:*"]}
connectors:
  results:
    %[2]s
    sftp: {%[3]s}
    files: {settle: %[4]s, source_directory_path: %[5]q, destination_directory_path: %[6]q%[7]s}
    automatic_sftp_file_sync: %[8]s
%[9]s`, r.host, c.direction, c.sftp, or(c.settle, "0s"), or(c.source, r.path("source")), or(c.destination, r.path("destination")), c.files, or(c.every, "1s"), c.more)
	r.write("config.yaml", []byte(text))
}

// settings are what differs between the configurations.
type settings struct {
	sftp        string // the keys of the login
	source      string
	destination string
	files       string // further keys, each after a comma
	settle      string
	every       string
	direction   string
	more        string // lines at the top level
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// run starts the daemon with a configuration.
func (r *rig) run(c settings) {
	r.Helper()
	r.configure(c)
	r.start(r.command(program, r.args()...))
}

func (r *rig) args() []string {
	return []string{"--config", r.path("config.yaml"), "--log-format", "json", "run"}
}

// start starts the daemon by a command.
func (r *rig) start(cmd *exec.Cmd) {
	r.Helper()
	d := &daemon{cmd: cmd, dir: r.path("data"), gone: make(chan struct{})}
	d.cmd.Stderr = &d.stderr
	r.must(d.cmd.Start())
	go func() {
		defer close(d.gone)
		_ = d.cmd.Wait()
	}()
	r.daemon = d
	r.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.gone
	})
}

// stop ends the daemon and waits for it.
func (r *rig) stop() {
	r.Helper()
	r.signal(syscall.SIGTERM)
	r.ended()
}

func (r *rig) signal(s os.Signal) {
	r.Helper()
	r.must(r.daemon.cmd.Process.Signal(s))
}

// ended waits for the end of the program and gives its exit code.
func (r *rig) ended() int {
	r.Helper()
	select {
	case <-r.daemon.gone:
	case <-time.After(patience):
		r.Fatalf("the program does not end:\n%s", r.daemon.stderr.String())
	}
	return r.daemon.cmd.ProcessState.ExitCode()
}

// url is where the API is.
func (d *daemon) url() (string, error) {
	select {
	case <-d.gone:
		return "", errors.New("the program has ended")
	default:
	}
	text, err := os.ReadFile(filepath.Join(d.dir, "daemon.json"))
	if err != nil {
		return "", err
	}
	var b struct {
		PID int
		URL string
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return "", err
	}
	if b.PID != d.cmd.Process.Pid {
		return "", errors.New("it has not started yet")
	}
	return b.URL, nil
}

// record is a line of the log.
type record map[string]any

func (l record) text(key string) string {
	s, _ := l[key].(string)
	return s
}

func (l record) is(p logPattern) bool {
	return l.text("level") == p.level && l.text("msg") == p.message
}

// log gives the lines of the log so far. What is none is left out.
func (d *daemon) log() []record {
	var all []record
	for line := range strings.SplitSeq(d.stderr.String(), "\n") {
		var l record
		if json.Unmarshal([]byte(line), &l) == nil {
			all = append(all, l)
		}
	}
	return all
}
