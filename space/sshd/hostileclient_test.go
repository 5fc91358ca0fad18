package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/store/sftp/sftptest"
)

func TestOnlySFTPIsServed(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := r.client()
	text := func(s string) []byte { return ssh.Marshal(struct{ S string }{s}) }
	for _, request := range []struct {
		kind    string
		payload []byte
	}{
		{"shell", nil}, {"exec", text("id")}, {"pty-req", text("xterm")}, {"x11-req", nil},
		{"env", ssh.Marshal(struct{ K, V string }{"LD_PRELOAD", "x"})}, {"auth-agent-req@openssh.com", nil},
		{"subsystem", text("shell")}, {"subsystem", text("")}, {"subsystem", []byte("sftp")}, {"subsystem", append(text("sftp"), 0)},
		{"window-change", nil}, {"", nil},
	} {
		channel, _, err := c.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := channel.SendRequest(request.kind, true, request.payload); ok || err != nil {
			t.Errorf("%s %q: %v, %v, want a refusal", request.kind, request.payload, ok, err)
		}
		channel.Close()
	}
	for _, kind := range []string{"direct-tcpip", "direct-streamlocal@openssh.com", "x11", "tun@openssh.com", ""} {
		_, _, err := c.OpenChannel(kind, nil)
		wants(t, kind, err, "this server is for SFTP only")
	}
	for kind, want := range map[string]bool{"tcpip-forward": false, "no-more-sessions@openssh.com": false, "hostkeys-prove-00@openssh.com": false, keepalive: true} {
		if ok, _, err := c.SendRequest(kind, true, nil); ok != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", kind, ok, err, want)
		}
	}
	f := files(t, c) // and that still works
	if _, err := f.Stat("/"); err != nil {
		t.Error(err)
	}
}

func TestChannelsAreBounded(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := r.client()
	var last ssh.Channel
	for range maxChannels {
		channel, requests, err := c.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		go ssh.DiscardRequests(requests)
		last = channel
	}
	_, _, err := c.OpenChannel("session", nil)
	wants(t, "one more channel", err, "10 channels")
	last.Close()
	await(t, "a channel after another was closed", func() bool {
		_, _, err := c.OpenChannel("session", nil)
		return err == nil
	})
}

func TestWeakAlgorithmsAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	weak := ssh.InsecureAlgorithms()
	try := func(change func(*ssh.ClientConfig)) error {
		config := &ssh.ClientConfig{User: testSpace, Auth: []ssh.AuthMethod{ssh.Password(testPassword)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
		change(config)
		c, err := ssh.Dial("tcp", r.addr, config)
		if err == nil {
			c.Close()
		}
		return err
	}
	for name, change := range map[string]func(*ssh.ClientConfig){
		"key exchange": func(c *ssh.ClientConfig) { c.KeyExchanges = weak.KeyExchanges },
		"group 14":     func(c *ssh.ClientConfig) { c.KeyExchanges = []string{ssh.KeyExchangeDH14SHA256} },
		"cipher":       func(c *ssh.ClientConfig) { c.Ciphers = weak.Ciphers },
		"mac": func(c *ssh.ClientConfig) {
			c.Ciphers, c.MACs = []string{ssh.CipherAES128CTR}, append(weak.MACs, ssh.HMACSHA1)
		},
		"host key": func(c *ssh.ClientConfig) { c.HostKeyAlgorithms = []string{ssh.KeyAlgoRSA} },
	} {
		wants(t, name, try(change), "no common algorithm")
	}
	for _, algorithm := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512} {
		if err := try(func(c *ssh.ClientConfig) { c.HostKeyAlgorithms = []string{algorithm} }); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// Failed logins look the same, whatever was wrong: the same words, and the same calls.
func TestWrongLoginsLookTheSame(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	mine := sftptest.NewKey(t, sftptest.Ed25519).Signer
	foreign := sftptest.NewKey(t, sftptest.Ed25519).Signer
	r := start(t, Options{
		Authenticate: func(ctx context.Context, space, address string, password []byte) bool {
			asked.Add(1)
			return authenticate(ctx, space, address, password)
		},
		AuthenticateKey: func(_ context.Context, space string, key ssh.PublicKey) bool {
			return space == testSpace && string(key.Marshal()) == string(mine.PublicKey().Marshal())
		},
	})
	for _, c := range []struct {
		name, space, want string
		method            ssh.AuthMethod
		asked             int64
	}{
		{"none", testSpace, "[none]", nil, 0},
		{"wrong password", testSpace, "[none password]", ssh.Password("wrong"), 1},
		{"unknown Space", "us_sp_999", "[none password]", ssh.Password(testPassword), 1},
		{"no Space", "", "[none password]", ssh.Password(testPassword), 1},
		{"hostile Space", "\x00\x1b[31m\n" + strings.Repeat("x", 60_000), "[none password]", ssh.Password(testPassword), 0},
		{"foreign key", testSpace, "[none publickey]", ssh.PublicKeys(foreign), 0},
		{"key of another Space", otherSpace, "[none publickey]", ssh.PublicKeys(mine), 0},
		{"key of an unknown Space", "us_sp_999", "[none publickey]", ssh.PublicKeys(mine), 0},
	} {
		var methods []ssh.AuthMethod
		if c.method != nil {
			methods = append(methods, c.method)
		}
		asked.Store(0)
		_, err := r.dial(c.space, methods...)
		wants(t, c.name, err, "ssh: handshake failed: ssh: unable to authenticate, attempted methods "+c.want+", no supported methods remain")
		if asked.Load() != c.asked {
			t.Errorf("%s: %d passwords were looked at, want %d", c.name, asked.Load(), c.asked)
		}
		if c.method != nil {
			if e := r.event(Refused); e.Reason != RefusedLogin || len(e.Session.Space) > 110 || strings.ContainsAny(e.Session.Space, "\x00\n\x1b") {
				t.Errorf("%s: event %+v", c.name, e)
			}
		}
	}
	if c, err := r.dial(testSpace, ssh.PublicKeys(mine)); err != nil {
		t.Errorf("the right key: %v", err)
	} else {
		c.Close()
	}
	if log := r.log.String(); strings.Contains(log, testPassword) || strings.Contains(log, "wrong") {
		t.Errorf("the log has a password:\n%s", log)
	}
}

func TestSixPasswordsAConnection(t *testing.T) {
	t.Parallel()
	for name, method := range map[string]func(answer func() string) ssh.AuthMethod{
		"password": func(answer func() string) ssh.AuthMethod {
			return ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) { return answer(), nil }), 0)
		},
		"keyboard-interactive": func(answer func() string) ssh.AuthMethod {
			return ssh.RetryableAuthMethod(ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
				if len(questions) == 0 {
					return nil, nil
				}
				return []string{answer()}, nil
			}), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var looked atomic.Int64
			r := start(t, Options{Authenticate: func(context.Context, string, string, []byte) bool { return looked.Add(1) > maxPasswords }})
			if _, err := r.dial(testSpace, method(func() string { return "guess" })); err == nil {
				t.Error("the seventh password was taken")
			}
			if looked.Load() != maxPasswords {
				t.Errorf("%d passwords were looked at", looked.Load())
			}
		})
	}
}

// A panic of the caller's code ends that connection alone.
func TestPanicsStayInTheirSession(t *testing.T) {
	t.Parallel()
	r := start(t, Options{
		Authenticate: func(ctx context.Context, space, address string, password []byte) bool {
			if space == "panic" {
				panic("authenticate")
			}
			return authenticate(ctx, space, address, password)
		},
		Handlers: func(space string) (sftp.Handlers, error) {
			if space == otherSpace {
				panic("handlers")
			}
			p := panicking{}
			return sftp.Handlers{FileGet: p, FilePut: p, FileCmd: p, FileList: p}, nil
		},
	})
	if _, err := r.dial("panic", ssh.Password("x")); err == nil {
		t.Error("a login that panics succeeds")
	}
	if c, err := r.dial(otherSpace, ssh.Password(testPassword)); err != nil {
		t.Error(err)
	} else {
		if _, err := sftp.NewClient(c); err == nil {
			t.Error("SFTP without handlers")
		}
		c.Close()
	}
	r.event(Closed)
	for name, use := range map[string]func(*sftp.Client) error{
		"open":   func(f *sftp.Client) error { _, err := f.Open("/panic"); return err },
		"create": func(f *sftp.Client) error { _, err := f.OpenFile("/panic", os.O_WRONLY|os.O_CREATE); return err },
		"both":   func(f *sftp.Client) error { _, err := f.OpenFile("/panic", os.O_RDWR|os.O_CREATE); return err },
		"read": func(f *sftp.Client) error {
			return withFile(f, os.O_RDONLY, func(x *sftp.File) error { _, err := x.Read(make([]byte, 9)); return err })
		},
		"too much": func(f *sftp.Client) error {
			return withFile(f, os.O_RDONLY, func(x *sftp.File) error { _, err := x.Read(make([]byte, 1)); return err })
		},
		"write": func(f *sftp.Client) error {
			return withFile(f, os.O_WRONLY, func(x *sftp.File) error { _, err := x.Write(make([]byte, 9)); return err })
		},
		"close":     func(f *sftp.Client) error { return withFile(f, os.O_WRONLY, (*sftp.File).Close) },
		"mkdir":     func(f *sftp.Client) error { return f.Mkdir("/x") },
		"rename":    func(f *sftp.Client) error { return f.PosixRename("/x", "/y") },
		"stat":      func(f *sftp.Client) error { _, err := f.Stat("/panic"); return err },
		"lstat":     func(f *sftp.Client) error { _, err := f.Lstat("/panic"); return err },
		"list":      func(f *sftp.Client) error { _, err := f.ReadDir("/x"); return err },
		"bad entry": func(f *sftp.Client) error { _, err := f.ReadDir("/entry"); return err },
		"readlink":  func(f *sftp.Client) error { _, err := f.ReadLink("/panic"); return err },
	} {
		c, err := r.dial(testSpace, ssh.Password(testPassword))
		if err != nil {
			t.Fatal(err)
		}
		f, err := sftp.NewClient(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := use(f); err == nil {
			t.Errorf("%s: no error", name)
		}
		if e := r.event(Closed); e.Reason != EndPanic {
			t.Errorf("%s: the session ended because %q", name, e.Reason)
		}
		f.Close()
		c.Close()
	}
	if log := r.log.String(); !strings.Contains(log, "hostileclient_test.go") {
		t.Errorf("no stack in the log:\n%s", log)
	}
}

func withFile(f *sftp.Client, flags int, use func(*sftp.File) error) error {
	x, err := f.OpenFile("/x", flags)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return use(x)
}

// panicking fails in every way: at once for "/panic", later for other names.
type panicking struct{}

func (panicking) open(r *sftp.Request) panicking {
	if r.Filepath == "/panic" {
		panic(r.Method)
	}
	return panicking{}
}

func (p panicking) Fileread(r *sftp.Request) (io.ReaderAt, error)  { return p.open(r), nil }
func (p panicking) Filewrite(r *sftp.Request) (io.WriterAt, error) { return p.open(r), nil }
func (panicking) Filecmd(*sftp.Request) error                      { panic("command") }
func (panicking) WriteAt([]byte, int64) (int, error)               { panic("write") }
func (panicking) Close() error                                     { panic("close") }
func (p panicking) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	if r.Filepath == "/entry" {
		return infos{nil}, nil
	}
	return p.open(r), nil
}
func (panicking) ListAt([]os.FileInfo, int64) (int, error) { panic("list") }
func (panicking) ReadAt(b []byte, _ int64) (int, error) {
	if len(b) == 1 {
		return 2, nil
	}
	panic("read")
}

func TestOpenFilesAreBounded(t *testing.T) {
	t.Parallel()
	r := start(t, Options{MaximumOpenFiles: 3})
	f := files(t, r.client())
	var open []*sftp.File
	for i := range 3 {
		x, err := f.OpenFile(fmt.Sprint("f", i), os.O_WRONLY|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, x)
	}
	for range 10 { // a failure is not counted as open
		_, err := f.OpenFile("one-more", os.O_WRONLY|os.O_CREATE)
		wants(t, "a fourth file", err, "too many open files")
		_, err = f.ReadDir("/")
		wants(t, "a directory beside three files", err, "too many open files")
	}
	if err := open[0].Close(); err != nil {
		t.Error(err)
	}
	for range 10 {
		if _, err := f.ReadDir("/"); err != nil {
			t.Error(err)
		}
		if _, err := f.Stat("/f1"); err != nil {
			t.Error(err)
		}
		if _, err := f.Open("/missing"); !os.IsNotExist(err) {
			t.Error(err)
		}
	}
	if x, err := f.OpenFile("f0", os.O_RDONLY); err != nil {
		t.Error(err)
	} else if _, err := x.ReadAt(make([]byte, 1), math.MinInt64+5); err == nil {
		t.Error("a negative offset was read")
	}
}

// Connections share the open files of a Space, and Spaces those of all.
func TestOpenFilesAreSharedOut(t *testing.T) {
	t.Parallel()
	r := start(t, Options{MaximumOpenFiles: 2, MaximumOpenFilesPerSpace: 3, MaximumOpenFilesInAll: 4})
	open := func(f *sftp.Client, name string) (*sftp.File, error) {
		return f.OpenFile(name, os.O_WRONLY|os.O_CREATE)
	}
	mustOpen := func(f *sftp.Client, name string) *sftp.File {
		t.Helper()
		x, err := open(f, name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	c := r.client()
	one := files(t, c)
	mustOpen(one, "a")
	last := mustOpen(files(t, c), "b") // another channel
	_, err := open(one, "c")
	wants(t, "a third file of a connection", err, "too many open files")
	two := files(t, r.client())
	mustOpen(two, "d")
	_, err = open(two, "e")
	wants(t, "a fourth file of a Space", err, "too many open files")
	other, err := r.dial(otherSpace, ssh.Password(testPassword))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	mustOpen(files(t, other), "f")
	_, err = open(files(t, other), "g")
	wants(t, "a fifth file", err, "too many open files")
	if err := last.Close(); err != nil {
		t.Error(err)
	}
	mustOpen(two, "e")
	c.Close() // what it had is given back
	await(t, "a file after a connection has ended", func() bool {
		_, err := open(files(t, other), "g")
		return err == nil
	})
}

// A login whose password was right when it was checked gets no session if the Space was
// cut meanwhile.
func TestDisconnectKeepsOutWhoIsOnTheWayIn(t *testing.T) {
	t.Parallel()
	var r *running
	ready := make(chan struct{})
	r = start(t, Options{Authenticate: func(ctx context.Context, space, address string, password []byte) bool {
		<-ready
		right := authenticate(ctx, space, address, password)
		if space == testSpace {
			r.Disconnect(space) // between the look at the password and the session
		}
		return right
	}})
	close(ready)
	c, err := r.dial(testSpace, ssh.Password(testPassword))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = sftp.NewClient(c)
	wants(t, "SFTP", err, "the connections of this Space were closed just now")
	if e := r.event(Refused); e.Reason != RefusedCut {
		t.Errorf("refused because %q", e.Reason)
	}
	if other, err := r.dial(otherSpace, ssh.Password(testPassword)); err != nil {
		t.Error(err)
	} else {
		_ = files(t, other)
		other.Close()
	}
}

func TestDisconnectCutsTheSpace(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := r.client()
	other, err := r.dial(otherSpace, ssh.Password(testPassword))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	await(t, "both are there", func() bool { return len(r.Sessions()) == 2 })
	if n := r.Disconnect(testSpace); n != 1 {
		t.Errorf("%d were cut", n)
	}
	_ = c.Wait()
	if e := r.event(Closed); e.Reason != EndDisconnected || e.Session.Space != testSpace {
		t.Errorf("event %+v", e)
	}
	if _, _, err := other.SendRequest(keepalive, true, nil); err != nil {
		t.Errorf("the other Space: %v", err)
	}
}

// Everything that a session holds is released when it ends, in whatever way.
func TestLimitsAreGivenBack(t *testing.T) {
	t.Parallel()
	r := start(t, Options{MaximumConnectionsPerSpace: 1})
	for range 5 {
		var c *ssh.Client
		await(t, "a session after the last one", func() bool {
			var err error
			if c, err = r.dial(testSpace, ssh.Password(testPassword)); err != nil {
				t.Fatal(err)
			}
			f, err := sftp.NewClient(c)
			if err != nil {
				wants(t, "one too many", err, "this Space has 1 connections")
				c.Close()
				return false
			}
			_, _ = f.OpenFile("x", os.O_WRONLY|os.O_CREATE) // left open
			return true
		})
		c.Close()
	}
}

func TestServeGivesTheListenersError(t *testing.T) {
	t.Parallel()
	s, err := New(Options{
		HostKeys: HostKeyDirectory(t.TempDir() + "/keys"), Authenticate: authenticate,
		Handlers: func(string) (sftp.Handlers, error) { return sftp.Handlers{}, errTest },
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	wants(t, "Serve", s.Serve(t.Context(), l), "use of closed network connection")
}

// Requests that a client sends behind its CLOSE do not change the closed file.
func TestNothingIsWrittenBehindAClose(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := r.client()
	_ = files(t, c)
	await(t, "the session", func() bool { return len(r.Sessions()) == 1 })
	var one *session
	r.mu.Lock()
	for s := range r.sessions {
		one = s
	}
	r.mu.Unlock()
	f, err := newGuard(one, diskHandlers(t, r.directory)).Filewrite(&sftp.Request{Method: "Put", Filepath: "/x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("text"), 0); err != nil {
		t.Error(err)
	}
	if one.writers.Load() != 1 {
		t.Errorf("%d files are open for writing", one.writers.Load())
	}
	if err := f.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.WriteAt([]byte("more"), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a write behind the close: %v", err)
	}
	if err := f.(io.Closer).Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a second close: %v", err)
	}
	if one.writers.Load() != 0 || one.received.Load() != 4 {
		t.Errorf("%d files are open for writing, %d bytes were received", one.writers.Load(), one.received.Load())
	}
}
