package sshclient

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

// keyLogin is the configuration of a login by key at a test server.
func keyLogin(e sftptest.Endpoint) Config {
	return Config{Host: e.Host, Port: e.Port, Username: e.User, KeyPairs: true,
		KeyPath: e.PrivateKeyPath, KnownHosts: KnownHostsFile(e.KnownHosts)}
}

// passwordLogin is the same with a password.
func passwordLogin(e sftptest.Endpoint) Config {
	cfg := keyLogin(e)
	cfg.KeyPairs, cfg.KeyPath, cfg.Password = false, "", e.Password
	return cfg
}

// at is the configuration for a plain socket.
func at(t *testing.T, addr string) Config {
	t.Helper()
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Host: tcp.IP.String(), Port: tcp.Port, Username: "nobody", Password: "secret-word",
		KnownHosts: KnownHostsFile(filepath.Join(t.TempDir(), "known_hosts"))}
}

// noLeaks checks at the end of the test, after all that it cleans up, that no
// goroutine is left over.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// answering is a server that says text to everyone; it closes the connection
// after that, or waits for the client to do so.
func answering(t *testing.T, text string, closes bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, text)
				if !closes {
					io.Copy(io.Discard, c)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// connectTo connects and checks what holds for every attempt: the stages come
// in order, one that fails is the last, and no secret is in what users see.
func connectTo(t *testing.T, cfg Config) (*Connection, []status.Stage, error) {
	t.Helper()
	var stages []status.Stage
	c, err := Dial(t.Context(), cfg, func(s status.Stage) { stages = append(stages, s) })
	order := []string{status.StageResolve, status.StageConnect, status.StageHandshake, status.StageHostKey, status.StageAuthenticate}
	for i, s := range stages {
		if s.Stage != order[i] {
			t.Fatalf("stage %d is %s, want %s: %+v", i, s.Stage, order[i], stages)
		}
		if last := i == len(stages)-1; s.OK == (last && err != nil) {
			t.Fatalf("stage %s: ok is %v, and the error %v: %+v", s.Stage, s.OK, err, stages)
		}
		if s.Detail == "" {
			t.Errorf("stage %s has no detail", s.Stage)
		}
	}
	if err == nil {
		t.Cleanup(func() { c.Close() })
		if len(stages) != len(order) {
			t.Fatalf("%d stages: %+v", len(stages), stages)
		}
		return c, stages, nil
	}
	if _, ok := errors.AsType[*status.Error](err); !ok {
		t.Errorf("the error is a %T: %v", err, err)
	}
	for _, secret := range []string{cfg.Password, cfg.KeyPassphrase} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	return nil, stages, err
}

// expectFailure connects in vain.
func expectFailure(t *testing.T, cfg Config, word status.Word, stage, text string) {
	t.Helper()
	_, stages, err := connectTo(t, cfg)
	if !status.Is(err, word) {
		t.Fatalf("the word is %q, want %q: %v", status.Of(err), word, err)
	}
	if got := stages[len(stages)-1].Stage; got != stage {
		t.Errorf("it failed in %s, want %s: %v", got, stage, err)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not say %q", err, text)
	}
	t.Log(err)
}

// expectSFTP asks the server for its protocol version.
func expectSFTP(t *testing.T, c *Connection) {
	t.Helper()
	ch, err := c.OpenSubsystem(t.Context(), "sftp")
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	if _, err := ch.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3}); err != nil { // SSH_FXP_INIT
		t.Fatal(err)
	}
	answer := make([]byte, 9)
	if _, err := io.ReadFull(ch, answer); err != nil || answer[4] != 2 || answer[8] != 3 {
		t.Fatalf("the answer to INIT is % x, %v", answer, err)
	}
}

// awaitEnd waits until the connection is gone.
func awaitEnd(t *testing.T, c *Connection) error {
	t.Helper()
	select {
	case <-c.Done():
		return c.Err()
	case <-time.After(10 * time.Second):
		t.Fatal("the connection does not end")
		return nil
	}
}

func TestConnect(t *testing.T) {
	noLeaks(t)
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	c, stages, err := connectTo(t, keyLogin(server.Endpoint))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(c.ServerVersion(), "SSH-2.0-OpenSSH_") {
		t.Errorf("version %q", c.ServerVersion())
	}
	for i, want := range []string{"127.0.0.1", server.Addr, "aes128-gcm@openssh.com", "SHA256:", "publickey, ssh-ed25519"} {
		if !strings.Contains(stages[i].Detail, want) {
			t.Errorf("stage %s says %q, not %q", stages[i].Stage, stages[i].Detail, want)
		}
	}
	expectSFTP(t, c)
	expectSFTP(t, c)
	if err := c.Err(); err != nil {
		t.Errorf("a standing connection has the error %v", err)
	}
	c.Close()
	if err := awaitEnd(t, c); !status.Is(err, status.ConnectionLost) {
		t.Errorf("after Close: %v", err)
	}
	server.Stop()
}

func TestConnectByPassword(t *testing.T) {
	for name, options := range map[string]sftptest.OpenSSHOptions{
		"password":             {AllowPassword: true},
		"keyboard-interactive": {KeyboardInteractive: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := sftptest.StartOpenSSH(t, options)
			c, stages, err := connectTo(t, passwordLogin(server.Endpoint))
			if err != nil {
				t.Fatalf("%v\n%s", err, server.Log())
			}
			if want := sftptest.PasswordUser + " by " + name; stages[4].Detail != want {
				t.Errorf("logged in %q, want %q", stages[4].Detail, want)
			}
			expectSFTP(t, c)
			cfg := passwordLogin(server.Endpoint)
			cfg.Password = "not-this-one"
			expectFailure(t, cfg, status.AuthenticationFailed, status.StageAuthenticate, "refuses "+name)
		})
	}
}

func TestKeyboardInteractivePrompts(t *testing.T) {
	tests := map[string]struct {
		rounds [][]string
		ok     bool
	}{
		"one prompt":            {[][]string{{"Password: "}}, true},
		"two prompts at once":   {[][]string{{"Password: ", "Again: "}}, true},
		"an empty round after":  {[][]string{{"Password: "}, {}}, true},
		"an empty round before": {[][]string{{}, {"Password: "}}, true},
		"no prompt at all":      {[][]string{{}}, true},
		"a second question":     {[][]string{{"Password: "}, {"Code: "}}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := sftptest.StartFaulty(t, sftptest.Faults{AuthMethods: []string{"keyboard-interactive"}, Rounds: tt.rounds})
			if !tt.ok {
				expectFailure(t, passwordLogin(server.Endpoint), status.AuthenticationFailed, status.StageAuthenticate, `asks "Code: "`)
				return
			}
			if _, _, err := connectTo(t, passwordLogin(server.Endpoint)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A refused password goes out once by each method, or the user is locked out.
func TestPasswordIsTriedOnce(t *testing.T) {
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	cfg := passwordLogin(server.Endpoint)
	cfg.Password = "not-this-one"
	expectFailure(t, cfg, status.AuthenticationFailed, status.StageAuthenticate, "refuses")
	if n := server.Counts().FailedLogins; n != 2 {
		t.Errorf("%d failed logins, want one by password and one by keyboard-interactive", n)
	}
}

func TestWordsBeforeTheLogin(t *testing.T) {
	noLeaks(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	greeting := "SSH-2.0-test\r\n"
	tests := map[string]struct {
		addr  string
		word  status.Word
		stage string
		text  string
	}{
		"closed port":         {closed.Addr().String(), status.ConnectionRefused, status.StageConnect, "connection refused"},
		"silent":              {answering(t, "", false), status.ConnectionTimedOut, status.StageHandshake, "no answer for 300ms"},
		"silent after banner": {answering(t, greeting, false), status.ConnectionTimedOut, status.StageHandshake, "no answer"},
		"closes at once":      {answering(t, "", true), status.NotAnSSHServer, status.StageHandshake, "without a word"},
		"closes after banner": {answering(t, greeting, true), status.ConnectionLost, status.StageHandshake, "closed the connection during the handshake"},
		"ftp":                 {answering(t, "220 ProFTPD ready\r\n", false), status.NotAnSSHServer, status.StageHandshake, `"220 ProFTPD ready"`},
		"http":                {answering(t, "HTTP/1.1 400 Bad Request\r\n\r\n", true), status.NotAnSSHServer, status.StageHandshake, "HTTP/1.1 400"},
		"tls":                 {answering(t, "\x15\x03\x01\x00\x02\x02\x46", false), status.NotAnSSHServer, status.StageHandshake, ""},
		"ssh 1":               {answering(t, "SSH-1.5-old\r\n", false), status.NotAnSSHServer, status.StageHandshake, "SSH-1.5-old"},
		"garbage, waits":      {answering(t, "hello there", false), status.NotAnSSHServer, status.StageHandshake, "hello there"},
		"garbage, endless":    {answering(t, strings.Repeat("x", 1<<20), false), status.NotAnSSHServer, status.StageHandshake, "xxx"},
		"garbage, escapes":    {answering(t, "hello \x1b[31mred\x1b[0m\r\nmore\r\n", true), status.NotAnSSHServer, status.StageHandshake, "hello .[31mred"},
		"garbage after":       {answering(t, greeting+strings.Repeat("y", 1<<16), false), status.NotAnSSHServer, status.StageHandshake, "protocol"},
		"too many":            {answering(t, "Exceeded MaxStartups\r\n", true), status.ConnectionRefused, status.StageHandshake, "takes no connection"},
		"penalty":             {answering(t, "Not allowed at this time\r\n", true), status.ConnectionRefused, status.StageHandshake, "Not allowed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := at(t, tt.addr)
			if strings.HasPrefix(name, "silent") || name == "garbage, waits" { // the others are known at once
				cfg.Timeouts.Handshake = 300 * time.Millisecond
			}
			start := time.Now()
			expectFailure(t, cfg, tt.word, tt.stage, tt.text)
			if took := time.Since(start); took > 15*time.Second { // the limit of a handshake is 20
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestHostNotFound(t *testing.T) {
	cfg := Config{Host: "no-such-host.invalid", Username: "u", Timeouts: Timeouts{Dial: 3 * time.Second}}
	expectFailure(t, cfg, status.HostNotFound, status.StageResolve, "resolve no-such-host.invalid")
}

func TestMaxStartups(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Extra: []string{"PerSourceMaxStartups 1"}})
	// A connection counts once sshd has greeted it; those that waited for the
	// server to be up may still count too.
	for greeting, deadline := make([]byte, 4), time.Now().Add(10*time.Second); string(greeting) != "SSH-"; {
		idle, err := net.Dial("tcp", server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer idle.Close()
		if _, err := io.ReadFull(idle, greeting); err != nil || time.Now().After(deadline) {
			t.Fatalf("sshd says %q, %v", greeting, err)
		}
	}
	expectFailure(t, keyLogin(server.Endpoint), status.ConnectionRefused, status.StageHandshake, "Exceeded MaxStartups")
}

func TestNoCommonAlgorithm(t *testing.T) {
	for name, options := range map[string]sftptest.OpenSSHOptions{
		"key exchange": {KexAlgorithms: "diffie-hellman-group14-sha1"},
		"cipher":       {Ciphers: "aes128-cbc"},
		"host key":     {HostKeyAlgorithms: "ssh-rsa"},
	} {
		t.Run(name, func(t *testing.T) {
			server := sftptest.StartOpenSSH(t, options)
			cfg := keyLogin(server.Endpoint)
			expectFailure(t, cfg, status.NoCommonAlgorithm, status.StageHandshake, name)
			cfg.LegacyAlgorithms = true
			if _, _, err := connectTo(t, cfg); err != nil {
				t.Errorf("with legacy algorithms: %v", err)
			}
		})
	}
}

func TestSilentLogin(t *testing.T) {
	server := sftptest.StartFaulty(t, sftptest.Faults{Silent: sftptest.SilentInLogin})
	cfg := passwordLogin(server.Endpoint)
	cfg.Timeouts.Handshake = 500 * time.Millisecond
	expectFailure(t, cfg, status.ConnectionTimedOut, status.StageAuthenticate, "no answer for 500ms")
}

func TestMethodsThatTheServerDoesNotTake(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	cfg := keyLogin(server.Endpoint)
	cfg.KeyPairs, cfg.Password = false, "x-secret"
	expectFailure(t, cfg, status.AuthenticationFailed, status.StageAuthenticate, "the server takes publickey only")
}

func TestWrongKeys(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stranger := sftptest.NewKey(t, sftptest.Ed25519)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(stranger.Crypto, "", []byte("open-sesame"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted := write("encrypted", pemOf(block))
	tests := map[string]struct{ path, passphrase, text string }{
		"not authorized":        {write("stranger", stranger.PEM), "", "refuses publickey"},
		"missing":               {filepath.Join(dir, "missing"), "", "no such file"},
		"a directory":           {dir, "", "is a directory"},
		"no key":                {write("text", []byte("hello")), "", "no private key"},
		"a public key":          {write("id.pub", ssh.MarshalAuthorizedKey(stranger.Signer.PublicKey())), "", "is a public key"},
		"encrypted":             {encrypted, "", "give its passphrase in sftp.key_pairs_passphrase"},
		"encrypted, other word": {encrypted, "open-barley", "does not fit"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := keyLogin(server.Endpoint)
			cfg.KeyPath, cfg.KeyPassphrase = tt.path, tt.passphrase
			expectFailure(t, cfg, status.AuthenticationFailed, status.StageAuthenticate, tt.text)
		})
	}
}

func TestCancelInterruptsAtOnce(t *testing.T) {
	noLeaks(t)
	for name, addr := range map[string]string{
		"before the version": answering(t, "", false),
		"after it":           answering(t, "SSH-2.0-test\r\n", false),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := Dial(ctx, at(t, addr), nil)
			if took := time.Since(start); err == nil || took > 5*time.Second {
				t.Errorf("%v after %v", err, took)
			}
			ctx, cancel2 := context.WithCancel(t.Context())
			cancel2()
			if _, err = Dial(ctx, at(t, addr), nil); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

func TestNoSubsystem(t *testing.T) {
	servers := map[string]sftptest.Endpoint{
		"OpenSSH": sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{DisableSFTP: true}).Endpoint,
		"faulty":  sftptest.StartFaulty(t, sftptest.Faults{NoSFTP: true}).Endpoint,
	}
	for name, e := range servers {
		t.Run(name, func(t *testing.T) {
			c, _, err := connectTo(t, keyLogin(e))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.OpenSubsystem(t.Context(), "sftp"); !errors.Is(err, ErrNoSubsystem) {
				t.Errorf("got %v", err)
			}
			if c.Err() != nil {
				t.Errorf("the connection is gone: %v", c.Err())
			}
		})
	}
}

func TestNoMoreChannels(t *testing.T) {
	servers := map[string]sftptest.Endpoint{
		"OpenSSH": sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{MaxSessions: 1}).Endpoint,
		"faulty":  sftptest.StartFaulty(t, sftptest.Faults{MaxChannels: 1}).Endpoint,
	}
	for name, e := range servers {
		t.Run(name, func(t *testing.T) {
			c, _, err := connectTo(t, keyLogin(e))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.OpenSubsystem(t.Context(), "sftp"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.OpenSubsystem(t.Context(), "sftp"); !errors.Is(err, ErrNoChannel) {
				t.Errorf("the second channel: %v", err)
			}
		})
	}
}
