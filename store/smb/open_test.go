package smb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/smb"
	"sftpconnector/store/smb/smbtest"
)

// expect opens what cannot be opened, and looks at the error.
func expect(t *testing.T, cfg smb.Config, says string) {
	t.Helper()
	d, err := smb.Open(t.Context(), cfg)
	if err == nil {
		d.Close()
		t.Errorf("it was opened, want %q", says)
		return
	}
	hinted, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), says) || !ok {
		t.Errorf("%v, want %q", err, says)
	}
	if ok && hinted.Hint() == "" && !strings.Contains(says, "directory") {
		t.Errorf("%v comes without a hint", err)
	}
	refused := strings.HasPrefix(says, "wrong user") || strings.HasPrefix(says, "account")
	if errors.Is(err, status.ErrLoginRefused) != refused {
		t.Errorf("%v: a refused login is %v", err, refused)
	}
	if cfg.Password != "" && strings.Contains(fmt.Sprintf("%+v", err), cfg.Password) {
		t.Errorf("the password is in %v", err)
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{Global: []string{"[closed]", "path = /tmp", "valid users = somebody-else", "[printer]", "path = /tmp", "printable = yes", "[global]"}})
	if err := os.WriteFile(filepath.Join(s.Dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*smb.Config)) smb.Config {
		cfg := config(s, "")
		change(&cfg)
		return cfg
	}
	expect(t, with(func(c *smb.Config) { c.Password = "not the password" }), "wrong user or password")
	expect(t, with(func(c *smb.Config) { c.Username = "nobody else" }), "wrong user or password")
	expect(t, with(func(c *smb.Config) { c.Password = "" }), "wrong user or password")
	expect(t, with(func(c *smb.Config) { c.Share = "none" }), "no such share on the server: none")
	expect(t, with(func(c *smb.Config) { c.Share = "closed" }), "no permission to use the share closed")
	expect(t, with(func(c *smb.Config) { c.Directory = "none/new" }), "no such directory above it: none is missing")
	expect(t, with(func(c *smb.Config) { c.Directory = "file" }), "not a directory")
	expect(t, with(func(c *smb.Config) { c.Directory = "file/new" }), "directory")
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) != 1 {
		t.Errorf("on the share: %v, %v", entries, err)
	}
	s.Disable()
	expect(t, config(s, ""), "account is disabled")
	s.Stop()
	expect(t, config(s, ""), "connection refused")
	expect(t, with(func(c *smb.Config) { c.Host = "no-such-host.invalid" }), "server not found")
}

// Somebody else listens there, or nobody that speaks.
func TestNoFileServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says  string
		serve func(net.Conn)
	}{
		"SSH":    {"no file server", func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n"); io.Copy(io.Discard, c) }},
		"HTTP":   {"HTTP/1.1 400", answering("HTTP/1.1 400 Bad Request\r\n\r\n")},
		"SMB 1":  {"only SMB 1", answering("\x00\x00\x00\x23\xffSMBr" + strings.Repeat("\x00", 40))},
		"zeros":  {"no file server", answering(strings.Repeat("\x00", 64))},
		"lies":   {"does not answer", answering("\x00\x00\x00\x44\xfeSMB" + strings.Repeat("\xff", 64))},
		"closes": {"closed the connection", func(net.Conn) {}},
		"silent": {"does not answer", func(c net.Conn) { io.Copy(io.Discard, c) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := smb.Config{Target: listen(t, c.serve), Username: "connector", Password: "secret", Timeouts: smb.Timeouts{Login: 300 * time.Millisecond}}
			expect(t, cfg, c.says)
		})
	}
}

func answering(answer string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 1024))
		io.WriteString(c, answer)
		io.Copy(io.Discard, c)
	}
}

// listen serves connections on a port of loopback until the test ends.
func listen(t *testing.T, serve func(net.Conn)) smb.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return smb.Target{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Share: "share"}
}

func TestSMB1Only(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{MinProtocol: "NT1", MaxProtocol: "NT1"})
	expect(t, config(s, ""), "only SMB 1")
}

func TestOpenTimesOut(t *testing.T) {
	t.Parallel()
	cfg := smb.Config{Target: smb.Target{Host: "127.0.0.1", Share: "share"}, Timeouts: smb.Timeouts{Dial: 50 * time.Millisecond}}
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	expect(t, cfg, "timed out")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := smb.Open(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Each dialect, signed and encrypted as the server asks.
func TestDialects(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]smbtest.Options{
		"2.0.2":            {MinProtocol: "SMB2_02", MaxProtocol: "SMB2_02"},
		"2.1":              {MinProtocol: "SMB2_10", MaxProtocol: "SMB2_10"},
		"2.1 signed":       {MinProtocol: "SMB2_10", MaxProtocol: "SMB2_10", Signing: "mandatory"},
		"3.0":              {MinProtocol: "SMB3_00", MaxProtocol: "SMB3_00"},
		"3.0.2 encrypted":  {MinProtocol: "SMB3_02", MaxProtocol: "SMB3_02", Encryption: "required"},
		"3.1.1":            {MinProtocol: "SMB3_11", MaxProtocol: "SMB3_11"},
		"3.1.1 signed":     {MinProtocol: "SMB3_11", Signing: "mandatory"},
		"3.1.1 encrypted":  {MinProtocol: "SMB3_11", Encryption: "required"},
		"a share that is":  {Share: []string{"smb encrypt = required"}},
		"AES-128-CCM only": {Encryption: "required", Global: []string{"server smb3 encryption algorithms = AES-128-CCM"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := smbtest.Start(t, o)
			d := open(t, config(s, "to"))
			defer d.Close()
			data := text(3<<20 + 17)
			deliver(t, d, "sub/x.csv", data)
			wantThere(t, s, "to/sub/x.csv", data)
			if !smb.FlushesDirectories(d) {
				t.Error("the directories are not flushed")
			}
		})
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	for _, user := range []string{s.User, `SMBTEST\` + s.User, `.\` + s.User, s.User + "@smbtest"} {
		cfg := config(s, "")
		cfg.Username = user
		d, err := smb.Open(t.Context(), cfg)
		if err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		d.Close()
	}
}

func TestOpenMakesOneDirectory(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	for _, dir := range []string{"new", "new/below", "new", ""} {
		d := open(t, config(s, dir))
		if err := d.Probe(t.Context()); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
		d.Close()
	}
}
