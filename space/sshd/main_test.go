package sshd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "host_keys")
	if err != nil {
		panic(err)
	}
	testKeys = sync.OnceValues(func() (string, error) {
		_, err := loadHostKeys(HostKeyDirectory(dir))
		return dir, err
	})
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// testKeys gives the host keys of the servers of these tests: an RSA key takes too
// long to make it for each.
var testKeys func() (directory string, err error)

// Who may log in to the servers of these tests.
const (
	testSpace    = "us_sp_123"
	otherSpace   = "us_sp_456"
	testPassword = "right-password"
)

// within is how long a test waits for what must come.
const within = 20 * time.Second

func authenticate(_ context.Context, space, _ string, password []byte) bool {
	return (space == testSpace || space == otherSpace) && string(password) == testPassword
}

// running is a server of a test, on loopback.
type running struct {
	*Server
	t         *testing.T
	addr      string
	directory string // of the files
	log       *lockedBuffer
	events    chan Event
	stop      func() error // ends it and gives what Serve gave
}

// start runs a server that ends with the test. Its files are those of a
// directory, unless the options say otherwise.
func start(t *testing.T, o Options) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, l, o)
}

func startOn(t *testing.T, l net.Listener, o Options) *running {
	t.Helper()
	r := &running{t: t, addr: l.Addr().String(), directory: t.TempDir(), log: &lockedBuffer{}, events: make(chan Event, 10_000)}
	if o.Authenticate == nil {
		o.Authenticate = authenticate
	}
	if o.Handlers == nil {
		o.Handlers = func(string) (sftp.Handlers, error) { return diskHandlers(t, r.directory), nil }
	}
	if o.HostKeys == nil {
		keys, err := testKeys()
		if err != nil {
			t.Fatal(err)
		}
		o.HostKeys = HostKeyDirectory(keys)
	}
	o.OnEvent = func(e Event) {
		select {
		case r.events <- e:
		default: // enough for any test that looks at them
		}
	}
	o.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, l) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// event waits for one of that kind and gives it.
func (r *running) event(kind EventKind) Event {
	r.t.Helper()
	timeout := time.After(time.Hour) // of a bubble, where it is the one that ends a test
	if !r.bubble() {
		timeout = time.After(within)
	}
	for {
		select {
		case e := <-r.events:
			if e.Kind == kind {
				return e
			}
		case <-timeout:
			r.t.Fatalf("no event %q came; the log:\n%s", kind, r.log)
		}
	}
}

func (r *running) bubble() bool { return r.addr == "pipe" }

// dial logs in as x/crypto's client does.
func (r *running) dial(space string, methods ...ssh.AuthMethod) (*ssh.Client, error) {
	c, err := net.DialTimeout("tcp", r.addr, within)
	if err != nil {
		return nil, err
	}
	return r.over(c, space, methods...)
}

func (r *running) over(c net.Conn, space string, methods ...ssh.AuthMethod) (*ssh.Client, error) {
	config := &ssh.ClientConfig{User: space, Auth: methods, HostKeyCallback: ssh.FixedHostKey(r.HostKeys()[0])}
	config.HostKeyAlgorithms = []string{ssh.KeyAlgoED25519}
	conn, channels, requests, err := ssh.NewClientConn(c, r.addr, config)
	if err != nil {
		c.Close()
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

// client is a client that is logged in, until the test ends.
func (r *running) client() *ssh.Client {
	r.t.Helper()
	c, err := r.dial(testSpace, ssh.Password(testPassword))
	if err != nil {
		r.t.Fatalf("login: %v; the log:\n%s", err, r.log)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// files is a client's SFTP session, until the test ends.
func files(t *testing.T, c *ssh.Client) *sftp.Client {
	t.Helper()
	f, err := sftp.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// await waits until the condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// disk serves a directory, in the simplest way. "/forbidden" may not be touched.
type disk struct{ root *os.Root }

func diskHandlers(t *testing.T, dir string) sftp.Handlers {
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Error(err)
	}
	t.Cleanup(func() { root.Close() })
	d := disk{root}
	return sftp.Handlers{FileGet: d, FilePut: d, FileCmd: d, FileList: d}
}

func relative(path string) (string, error) {
	if path == "/forbidden" {
		return "", os.ErrPermission
	}
	return "." + filepath.FromSlash(path), nil
}

func (d disk) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	name, err := relative(r.Filepath)
	if err != nil {
		return nil, err
	}
	return d.root.Open(name)
}

func (d disk) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	name, err := relative(r.Filepath)
	if err != nil {
		return nil, err
	}
	return d.root.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
}

func (d disk) Filecmd(r *sftp.Request) error {
	name, err := relative(r.Filepath)
	if err != nil {
		return err
	}
	switch r.Method {
	case "Setstat":
		return nil
	case "Mkdir":
		return d.root.Mkdir(name, 0o700)
	case "Remove", "Rmdir":
		return d.root.Remove(name)
	case "Rename":
		target, _ := relative(r.Target)
		return d.root.Rename(name, target)
	}
	return os.ErrPermission
}

func (d disk) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	name, err := relative(r.Filepath)
	if err != nil {
		return nil, err
	}
	if r.Method != "List" {
		fi, err := d.root.Lstat(name)
		return infos{fi}, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := f.Readdir(-1)
	return infos(all), err
}

type infos []os.FileInfo

func (l infos) ListAt(to []os.FileInfo, off int64) (int, error) {
	if off >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[off:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// wants checks that err is there and has the words.
func wants(t *testing.T, what string, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: got %v, want an error with %q", what, err, words)
	}
}

var errTest = errors.New("an error of the test")
