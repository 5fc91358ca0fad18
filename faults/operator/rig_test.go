//go:build linux

package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// program is the daemon, built once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "operator")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		program = filepath.Join(dir, "sftp-connector")
		build := exec.Command("go", "build", "-o", program, "sftpconnector/cmd/sftp-connector")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// TestThePageTellsTheTruth bounds by itself how many scenarios run at a time.
	flag.Parse()
	if err := flag.Set("test.parallel", "1000"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// patience bounds every wait for what the daemon does, but for a server that falls
// silent, which is given a minute.
const patience = 40 * time.Second

// rig is one daemon with its directory, and the servers that it knows. They run
// as an ordinary user, whom permissions stop.
type rig struct {
	*testing.T
	dir      string
	host     string // an address of loopback that no other test uses: its ports are ours
	uid, gid int
	daemon   *daemon
	patience time.Duration
	posted   string // the id of a request with a reply to post
	said     string // what a client of the Space was told
	space    string // where the Space is
	password string // of the Space
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests mount file systems and become another user: run them as root, or in a container")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, dir: t.TempDir(), host: fmt.Sprintf("127.%d.%d.%d", 64+rand.N(64), rand.N(256), 1+rand.N(254)), patience: patience}
	r.uid, _ = strconv.Atoi(nobody.Uid)
	r.gid, _ = strconv.Atoi(nobody.Gid)
	for dir := r.dir; dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		r.must(os.Chmod(dir, 0o755))
	}
	r.must(os.Chown(r.dir, r.uid, r.gid))
	r.mkdir("source")
	r.mkdir("destination")
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// mkdir makes a directory of the ordinary user.
func (r *rig) mkdir(name string) {
	r.Helper()
	r.must(os.MkdirAll(r.path(name), 0o755))
	r.must(os.Chown(r.path(name), r.uid, r.gid))
}

// write writes a file of the ordinary user.
func (r *rig) write(name string, content []byte) {
	r.Helper()
	r.must(os.WriteFile(r.path(name), content, 0o600))
	r.must(os.Chown(r.path(name), r.uid, r.gid))
}

func (r *rig) read(name string) []byte {
	r.Helper()
	b, err := os.ReadFile(r.path(name))
	r.must(err)
	return b
}

func (r *rig) chmod(name string, mode os.FileMode) {
	r.Helper()
	r.must(os.Chmod(r.path(name), mode))
}

func (r *rig) remove(name string) {
	r.Helper()
	r.must(os.RemoveAll(r.path(name)))
}

// command is a program that runs as the ordinary user and dies with the test.
func (r *rig) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "HOME="+r.dir, "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:  syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: uint32(r.uid), Gid: uint32(r.gid)},
	}
	return cmd
}

// until waits for a condition. report says how things stand, for the failure.
func (r *rig) until(what string, is func() bool, report func() string) {
	r.Helper()
	deadline := time.After(r.patience)
	poll := time.NewTicker(40 * time.Millisecond)
	defer poll.Stop()
	for !is() {
		select {
		case <-poll.C:
		case <-r.daemon.gone:
			if !is() {
				r.Fatalf("the program ended before: %s\n%s", what, report())
			}
			return
		case <-deadline:
			r.Fatalf("it did not come to this: %s\n%s", what, report())
		}
	}
}

// get asks the API.
func (r *rig) get(path string, into any) error {
	return r.ask(http.MethodGet, path, nil, into)
}

// ask sends a request to the API. A body is JSON.
func (r *rig) ask(method, path string, body, into any) error {
	url, err := r.daemon.url()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	q, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	if token, err := os.ReadFile(r.path("data/operator.token")); err == nil {
		q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	answer, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, a.Status, answer)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	return err
}

// apply does what an operator does who has mended a login: it is tried at once.
func (r *rig) apply() {
	r.Helper()
	r.must(r.ask(http.MethodPost, "/api/v1/connectors/results/apply", nil, nil))
}

// applied is apply, and waits for its end.
func (r *rig) applied() {
	r.Helper()
	r.until("the daemon runs", func() bool { return r.get("/healthz", nil) == nil }, r.daemon.stderr.String)
	r.must(r.ask(http.MethodPost, "/api/v1/connectors/results/apply?wait=60s", nil, nil))
}

// freeAddress is one at which nothing listens.
func (r *rig) freeAddress() string {
	r.Helper()
	l, err := net.Listen("tcp", r.host+":0")
	r.must(err)
	defer l.Close()
	return l.Addr().String()
}

func port(addr string) string {
	return addr[strings.LastIndexByte(addr, ':')+1:]
}
