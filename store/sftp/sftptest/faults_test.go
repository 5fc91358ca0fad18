package sftptest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/store/sftp/sftptest"
)

// write puts a file below the server's root and gives its path.
func write(t *testing.T, s *sftptest.Faulty, name string, content []byte) string {
	t.Helper()
	p := filepath.Join(s.Root, name)
	if err := os.WriteFile(p, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t *testing.T, c *sftp.Client, path string) *sftp.File {
	t.Helper()
	f, err := c.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// within runs f and reports whether it ended in time.
func within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

func TestReadFaults(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 1000)
	for name, c := range map[string]struct {
		faults sftptest.Faults
		at     int64
		n      int // bytes
		reads  int
		err    error
	}{
		"none":             {sftptest.Faults{}, 0, 10000, 1, nil},
		"short":            {sftptest.Faults{MaxRead: 7}, 3, 9997, 1430, io.EOF}, // 9997/7 answers, and the end
		"end too early":    {sftptest.Faults{EOFAt: 100}, 90, 10, 2, io.EOF},
		"past early end":   {sftptest.Faults{EOFAt: 100}, 100, 0, 1, io.EOF},
		"too long refused": {sftptest.Faults{RefuseReadOver: 4096}, 0, 0, 1, sftp.ErrSSHFxFailure},
		"denied":           {sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpRead)}, 0, 0, 1, os.ErrPermission},
	} {
		t.Run(name, func(t *testing.T) {
			s := sftptest.StartFaulty(t, c.faults)
			f := open(t, newClient(t, s.Endpoint), write(t, s, "f.csv", content))
			buf := make([]byte, 10000) // one packet: pkg/sftp asks again for what is missing
			n, err := f.ReadAt(buf, c.at)
			if n != c.n || !bytes.Equal(buf[:n], content[c.at:int(c.at)+n]) {
				t.Errorf("%d bytes, want %d", n, c.n)
			}
			if got := s.Counts(); got.Ops[sftptest.OpRead] != c.reads || got.BytesRead != int64(n) {
				t.Errorf("counted %d READs and %d bytes", got.Ops[sftptest.OpRead], got.BytesRead)
			}
			if status := (*sftp.StatusError)(nil); errors.As(err, &status) {
				err = status.FxCode()
			}
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
		})
	}
}

func TestLogins(t *testing.T) {
	kbd := func(answers func(questions []string) []string) ssh.AuthMethod {
		return ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			return answers(questions), nil
		})
	}
	for name, c := range map[string]struct {
		faults sftptest.Faults
		method func(s *sftptest.Faulty) ssh.AuthMethod
		ok     bool
		failed int
	}{
		"password":       {sftptest.Faults{}, func(s *sftptest.Faulty) ssh.AuthMethod { return ssh.Password(s.Password) }, true, 0},
		"wrong password": {sftptest.Faults{}, func(*sftptest.Faulty) ssh.AuthMethod { return ssh.Password("wrong") }, false, 1},
		"key":            {sftptest.Faults{AuthMethods: []string{"publickey"}}, func(s *sftptest.Faulty) ssh.AuthMethod { return ssh.PublicKeys(s.ClientKey) }, true, 0},
		"password where only keys": {sftptest.Faults{AuthMethods: []string{"publickey"}},
			func(s *sftptest.Faulty) ssh.AuthMethod { return ssh.Password(s.Password) }, false, 0},
		"none accepted": {sftptest.Faults{AuthMethods: []string{}},
			func(s *sftptest.Faulty) ssh.AuthMethod { return ssh.Password(s.Password) }, false, 1},
		"no questions, then two": {sftptest.Faults{AuthMethods: []string{"keyboard-interactive"}, Rounds: [][]string{{}, {"Password: ", "Again: "}}},
			func(s *sftptest.Faulty) ssh.AuthMethod {
				return kbd(func(q []string) []string { return []string{s.Password, s.Password}[:len(q)] })
			}, true, 0},
		"wrong answer": {sftptest.Faults{Rounds: [][]string{{"Password: ", "Code: "}}},
			func(s *sftptest.Faulty) ssh.AuthMethod {
				return kbd(func(q []string) []string { return []string{s.Password, "wrong"}[:len(q)] })
			}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := sftptest.StartFaulty(t, c.faults)
			_, err := dial(t, s.Endpoint, c.method(s))
			if (err == nil) != c.ok {
				t.Errorf("login: %v", err)
			}
			s.Stop() // so that all is counted
			if n := s.Counts(); n.FailedLogins != c.failed || (n.Logins == 1) != c.ok {
				t.Errorf("counts: %+v", n)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	for name, silence := range map[string]sftptest.Silence{
		"from accept": sftptest.SilentFromAccept, "in handshake": sftptest.SilentInHandshake,
		"in login": sftptest.SilentInLogin, "after login": sftptest.SilentAfterLogin,
	} {
		t.Run(name, func(t *testing.T) {
			s := sftptest.StartFaulty(t, sftptest.Faults{Silent: silence})
			nc, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = nc.SetDeadline(time.Now().Add(500 * time.Millisecond))
			config := &ssh.ClientConfig{User: s.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(s.ClientKey)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
			c, _, _, err := ssh.NewClientConn(nc, s.Addr, config)
			if silence != sftptest.SilentAfterLogin {
				if err == nil || !strings.Contains(err.Error(), "timeout") {
					t.Fatalf("handshake: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.OpenChannel("session", nil); err == nil {
				t.Error("a channel was opened")
			}
			if n := s.Counts(); n.Logins != 1 || n.Channels != 0 {
				t.Errorf("counts: %+v", n)
			}
		})
	}
}

func TestRequestFaults(t *testing.T) {
	// Requests: 1 to 4 STATs, then those of the fault.
	for name, c := range map[string]struct {
		faults    sftptest.Faults
		keepalive bool // is answered after the fault
		ended     bool // the connection is
	}{
		"silent": {sftptest.Faults{SilentAtRequest: 5}, true, false},
		"freeze": {sftptest.Faults{FreezeAtRequest: 5}, false, false},
		"die":    {sftptest.Faults{DieAtRequest: 5}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := sftptest.StartFaulty(t, c.faults)
			sc, err := dial(t, s.Endpoint)
			if err != nil {
				t.Fatal(err)
			}
			client, err := sftp.NewClient(sc)
			if err != nil {
				t.Fatal(err)
			}
			for range 4 {
				if _, err := client.Stat(s.Root); err != nil {
					t.Fatal(err)
				}
			}
			statted := within(300*time.Millisecond, func() {
				if _, err := client.Stat(s.Root); err == nil {
					t.Error("the fifth request was answered")
				}
			})
			if statted != c.ended {
				t.Errorf("the fifth request ended: %v", statted)
			}
			alive := within(300*time.Millisecond, func() {
				if _, _, err := sc.SendRequest("keepalive@openssh.com", true, nil); err != nil {
					<-t.Context().Done()
				}
			})
			if alive != c.keepalive {
				t.Errorf("a keepalive was answered: %v", alive)
			}
			s.Stop() // ends what still waits
		})
	}
}

func TestDeaths(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{DieAfterBytes: 50_000, Deaths: 2})
	path := write(t, s, "f.bin", make([]byte, 200_000))
	for i, wantDeath := range []bool{true, true, false} {
		c := newClient(t, s.Endpoint)
		f := open(t, c, path)
		buf := make([]byte, 10_000)
		read := 0
		for read < 200_000 {
			n, err := f.ReadAt(buf, int64(read))
			read += n
			if err != nil && !errors.Is(err, io.EOF) {
				break
			}
		}
		if died := read < 200_000; died != wantDeath {
			t.Errorf("connection %d: died %v after %d bytes", i, died, read)
		} else if died && read != 50_000 {
			t.Errorf("connection %d died after %d bytes", i, read)
		}
	}
}

func TestLimits(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{MaxConnections: 1, MaxChannels: 1, MaxOpenFiles: 1, NoExtensions: true})
	path := write(t, s, "f.csv", []byte("x"))
	sc, err := dial(t, s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sftp.NewClient(sc)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.HasExtension("posix-rename@openssh.com"); ok {
		t.Error("extensions are on")
	}
	if _, err := sc.NewSession(); err == nil {
		t.Error("a second channel was given")
	}
	if _, err := dial(t, s.Endpoint); err == nil {
		t.Error("a second connection was served")
	}
	f := open(t, c, path)
	if _, err := c.Open(path); err == nil {
		t.Error("a second file was opened")
	}
	f.Close()
	open(t, c, path).Close()
	if n := s.Counts(); n.PeakChannels != 1 || n.PeakConnections != 1 || n.PeakOpenFiles != 1 {
		t.Errorf("counts: %+v", n)
	}
	s.Set(func(f *sftptest.Faults) { *f = sftptest.Faults{NoSFTP: true} })
	if _, err := sftp.NewClient(sc); err == nil {
		t.Error("sftp was given")
	}
	s.Set(func(f *sftptest.Faults) { f.NoSFTP = false })
	again, err := sftp.NewClient(sc)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.HasExtension("posix-rename@openssh.com"); !ok {
		t.Error("extensions are off")
	}
}

func TestListingFaults(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	c := newClient(t, s.Endpoint)
	s.Set(func(f *sftptest.Faults) {
		f.Inject = map[string][]sftptest.Injected{s.Root: {
			{Name: "dir", Dir: true}, {Name: "big.csv", Size: 1 << 40},
		}, s.Root + "/dir": {{Name: "in.csv", Content: []byte("in")}}}
	})
	infos, err := c.ReadDir(s.Root + "/dir")
	if err != nil || len(infos) != 1 || infos[0].Size() != 2 {
		t.Errorf("an injected directory: %v, %v", infos, err)
	}
	if fi, err := c.Stat(s.Root + "/big.csv"); err != nil || fi.Size() != 1<<40 {
		t.Errorf("an injected size: %v, %v", fi, err)
	}
	s.Set(func(f *sftptest.Faults) { f.NoAttributes = true })
	if infos, err = c.ReadDir(s.Root + "/dir"); err != nil || infos[0].Size() != 0 {
		t.Errorf("without attributes: %v, %v", infos, err)
	}
	s.Set(func(f *sftptest.Faults) { f.Inject = nil; f.EndlessTree = s.Root })
	at := s.Root
	for range 30 {
		infos, err := c.ReadDir(at)
		if err != nil || len(infos) != 2 {
			t.Fatalf("at %s: %v, %v", at, infos, err)
		}
		at += "/deeper"
	}
	if b, err := io.ReadAll(open(t, c, at+"/leaf.csv")); err != nil || string(b) != "leaf" {
		t.Errorf("leaf: %q, %v", b, err)
	}
	s.Set(func(f *sftptest.Faults) { *f = sftptest.Faults{EndlessListing: s.Root} })
	s.ResetCounts()
	go func() { _, _ = c.ReadDir(s.Root) }()
	deadline := time.Now().Add(10 * time.Second)
	for s.Counts().Ops[sftptest.OpReaddir] < 100 && time.Now().Before(deadline) {
		<-time.After(time.Millisecond)
	}
	if n := s.Counts().Ops[sftptest.OpReaddir]; n < 100 {
		t.Errorf("the endless listing ended after %d requests", n)
	}
	s.Cut()
}

// All hostile names cross the wire as they are.
func TestHostileNames(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	s.Set(func(f *sftptest.Faults) {
		f.Inject = map[string][]sftptest.Injected{s.Root: sftptest.InjectNames(sftptest.HostileNames()...)}
	})
	infos, err := newClient(t, s.Endpoint).ReadDir(s.Root)
	// pkg/sftp drops "." and ".." itself, and takes the last element of others.
	if err != nil || len(infos) < len(sftptest.HostileNames())-2 {
		t.Fatalf("%d names, %v", len(infos), err)
	}
	long := false
	for _, fi := range infos {
		long = long || len(fi.Name()) > 10<<10
	}
	if !long {
		t.Error("the name of 10 KiB is missing")
	}
}

func TestHooks(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	path := write(t, s, "f.csv", []byte("one"))
	var mu sync.Mutex
	var seen []string
	s.Set(func(f *sftptest.Faults) {
		f.OnOpen = func(p string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, "open "+p)
			_ = os.WriteFile(p, []byte("two"), 0o600)
		}
		f.OnRead = func(p string, at int64) {
			mu.Lock()
			defer mu.Unlock()
			if len(seen) == 1 {
				seen = append(seen, "read "+p)
			}
		}
		f.Fail = sftptest.Deny(s.Root + "/denied")
	})
	c := newClient(t, s.Endpoint)
	if b, err := io.ReadAll(open(t, c, path)); err != nil || string(b) != "two" {
		t.Errorf("content: %q, %v", b, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(seen, ", "); got != "open "+path+", read "+path {
		t.Errorf("hooks: %s", got)
	}
	if _, err := c.ReadDir(s.Root + "/denied"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("denied: %v", err)
	}
}

func TestRealpath(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	if err := os.Mkdir(s.Root+"/real", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", s.Root+"/link"); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s.Endpoint)
	for _, q := range []struct {
		lexical    bool
		path, want string
	}{
		{false, ".", s.Root}, {false, "link", s.Root + "/real"}, {false, "link/new", s.Root + "/real/new"},
		{true, "link", s.Root + "/link"}, {true, "link/../x", s.Root + "/x"},
	} {
		s.Set(func(f *sftptest.Faults) { f.LexicalRealpath = q.lexical })
		if got, err := c.RealPath(q.path); err != nil || got != q.want {
			t.Errorf("REALPATH %s, lexical %v: %q, %v; want %q", q.path, q.lexical, got, err, q.want)
		}
	}
	if fi, err := c.Lstat("link"); err != nil || fi.Mode().Type() != os.ModeSymlink {
		t.Errorf("LSTAT: %v, %v", fi, err)
	}
	if fi, err := c.Stat("link"); err != nil || !fi.IsDir() {
		t.Errorf("STAT: %v, %v", fi, err)
	}
	if target, err := c.ReadLink("link"); err != nil || target != "real" {
		t.Errorf("READLINK: %q, %v", target, err)
	}
}

func TestSlowness(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{Bandwidth: 100_000})
	f := open(t, newClient(t, s.Endpoint), write(t, s, "f.bin", make([]byte, 50_000)))
	begin := time.Now()
	if _, err := io.ReadAll(f); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < 300*time.Millisecond {
		t.Errorf("50,000 bytes at 100,000 a second took %v", d)
	}
	s.Set(func(f *sftptest.Faults) { *f = sftptest.Faults{Delay: 20 * time.Millisecond} })
	begin = time.Now()
	for range 5 {
		if _, err := f.Stat(); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begin); d < 100*time.Millisecond {
		t.Errorf("5 requests, each 20 ms late, took %v", d)
	}
}

func TestFaultyStopRestartFreezeCut(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	c := newClient(t, s.Endpoint)
	s.Freeze()
	answered := make(chan error, 1)
	go func() { _, err := c.Stat(s.Root); answered <- err }()
	select {
	case err := <-answered:
		t.Fatalf("a frozen server answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	s.Thaw()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	s.Cut()
	if _, err := c.Stat(s.Root); err == nil {
		t.Error("a connection outlived its cut")
	}
	s.Stop()
	if _, err := dial(t, s.Endpoint); err == nil {
		t.Error("a stopped server answers")
	}
	s.Restart()
	exercise(t, newClient(t, s.Endpoint), s.Root)
	s.Set(func(f *sftptest.Faults) { f.HostKeys = []sftptest.Key{sftptest.NewKey(t, sftptest.Ed25519)} })
	if _, err := dial(t, s.Endpoint); err == nil || !strings.Contains(err.Error(), "knownhosts: key mismatch") {
		t.Errorf("with another host key: %v", err)
	}
}
