package sshclient

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
)

// bothLogin is a login with a key and a password.
func bothLogin(e sftptest.Endpoint) Config {
	cfg := keyLogin(e)
	cfg.KeyPairs, cfg.Both, cfg.Password = false, true, e.Password
	return cfg
}

// hintOf connects in vain and gives the hint.
func hintOf(t *testing.T, cfg Config, text string) string {
	t.Helper()
	_, _, err := connectTo(t, cfg)
	if !status.Is(err, status.AuthenticationFailed) || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %v, want %q", err, text)
	}
	hint := status.HintOf(err)
	t.Logf("%v\n%s", err, hint)
	return hint
}

// Servers that want a key and a password, in either order, get both.
func TestKeyAndPassword(t *testing.T) {
	for methods, second := range map[string]string{
		"publickey,password":             "password",
		"publickey,keyboard-interactive": "keyboard-interactive",
		"password,publickey":             "publickey",
		"keyboard-interactive,publickey": "publickey",
	} {
		t.Run(methods, func(t *testing.T) {
			interactive := strings.Contains(methods, "interactive")
			server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{
				AllowPassword: !interactive, KeyboardInteractive: interactive, Extra: []string{"AuthenticationMethods " + methods},
			})
			c, stages, err := connectTo(t, bothLogin(server.Endpoint))
			if err != nil {
				t.Fatalf("%v\n%s", err, server.Log())
			}
			if detail := stages[4].Detail; !strings.Contains(detail, ", and then "+second) || strings.Contains(detail, "refused") {
				t.Errorf("logged in %q", stages[4].Detail)
			}
			expectSFTP(t, c)

			wrong := bothLogin(server.Endpoint)
			wrong.Password = "not-this-one"
			text := "accepts publickey, ssh-ed25519"
			if second == "publickey" {
				text = "refuses " + strings.TrimSuffix(methods, ",publickey")
			}
			if hint := hintOf(t, wrong, text); second != "publickey" && !strings.Contains(hint, "sftp.password") {
				t.Errorf("the hint is %q", hint)
			}

			stranger := bothLogin(server.Endpoint)
			stranger.KeyPath = filepath.Join(t.TempDir(), "stranger")
			writeFile(t, stranger.KeyPath, string(sftptest.NewKey(t, sftptest.Ed25519).PEM))
			hintOf(t, stranger, "refuses publickey")

			for name, cfg := range map[string]Config{"key": keyLogin(server.Endpoint), "password": passwordLogin(server.Endpoint)} {
				_, _, err := connectTo(t, cfg)
				hint := status.HintOf(err)
				want := "authentication: both"
				if first := strings.HasPrefix(methods, "publickey"); first != (name == "key") {
					want = map[bool]string{true: "This server takes keys", false: "This server takes passwords"}[first]
				}
				if !strings.Contains(hint, want) {
					t.Errorf("with a %s alone: %v; hint %q", name, err, hint)
				}
			}
		})
	}
}

// A server that wants one of them gets the key, or the password where that is refused.
func TestBothWhereOneWillDo(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{AllowPassword: true})
	_, stages, err := connectTo(t, bothLogin(server.Endpoint))
	if err != nil || strings.Contains(stages[4].Detail, "password") {
		t.Errorf("%v: %+v", err, stages)
	}
	cfg := bothLogin(server.Endpoint)
	cfg.KeyPath = filepath.Join(t.TempDir(), "stranger")
	writeFile(t, cfg.KeyPath, string(sftptest.NewKey(t, sftptest.Ed25519).PEM))
	_, stages, err = connectTo(t, cfg)
	if err != nil || !strings.Contains(stages[4].Detail, "by password (publickey, ssh-ed25519") {
		t.Errorf("%v: %+v", err, stages)
	}
}

// interview is a server that asks by keyboard-interactive, and what it was told.
type interview struct {
	mu      sync.Mutex
	answers [][]string
	logins  int // that were tried
}

// prompt is a question; one that is shown starts with "+".
func (i *interview) ask(rounds [][]string, want [][]string) func(ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	return func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.logins++
		i.answers = nil
		for _, questions := range rounds {
			echos := make([]bool, len(questions))
			asked := slices.Clone(questions)
			for n, q := range questions {
				asked[n], echos[n] = strings.CutPrefix(q, "+")
			}
			given, err := ask("Login", "Read this first.", asked, echos)
			if err != nil {
				return nil, err
			}
			i.answers = append(i.answers, given)
		}
		if !slices.EqualFunc(i.answers, want, slices.Equal) {
			return nil, errors.New("refused")
		}
		return nil, nil
	}
}

// serveLogins answers logins as the configuration says. Of what is opened after
// that it has the handlers take the subsystem, and ends it then.
func serveLogins(t *testing.T, config *ssh.ServerConfig, handlers ...func(ssh.Channel)) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	config.AddHostKey(sftptest.HostKeys(t)[0].Signer)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				conn, channels, requests, err := ssh.NewServerConn(nc, config)
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				for ch := range channels {
					if len(handlers) == 0 {
						ch.Reject(ssh.Prohibited, "")
						continue
					}
					go serveSubsystem(ch, handlers)
				}
				conn.Wait()
			}()
		}
	}()
	cfg := at(t, l.Addr().String())
	cfg.HostKey = PolicyAcceptNew
	return cfg
}

// serveSubsystem has the handlers do what a subsystem does.
func serveSubsystem(nc ssh.NewChannel, handlers []func(ssh.Channel)) {
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range requests {
		r.Reply(r.Type == "subsystem", nil)
		if r.Type == "subsystem" {
			break
		}
	}
	go ssh.DiscardRequests(requests)
	for _, handle := range handlers {
		handle(ch)
	}
}

// What a server asks is answered by what it is about; "" in want stands for no login.
func TestPrompts(t *testing.T) {
	const user, password = "nobody", "secret-word"
	tests := map[string]struct {
		rounds  [][]string
		answers map[string]string
		want    [][]string
		text    string // of the failure
		hint    string
	}{
		"user and password":      {rounds: [][]string{{"+Username:", "Password:"}}, want: [][]string{{user, password}}},
		"one after the other":    {rounds: [][]string{{"+Username: "}, {"Password: "}}, want: [][]string{{user}, {password}}},
		"in German, shown":       {rounds: [][]string{{"+Benutzername:"}, {"+Passwort:"}}, want: [][]string{{user}, {password}}},
		"in French, shown":       {rounds: [][]string{{"+Mot de passe : "}}, want: [][]string{{password}}},
		"a user's password":      {rounds: [][]string{{"+Password for user nobody: "}}, want: [][]string{{password}}},
		"hidden, of no language": {rounds: [][]string{{"?"}}, want: [][]string{{password}}},
		"press Enter":            {rounds: [][]string{{"+Press Enter to go on"}, {"+Press Enter to go on"}, {"Password:"}}, want: [][]string{{""}, {""}, {password}}},
		"a fixed answer": {rounds: [][]string{{"Password:"}, {"Second password:"}},
			answers: map[string]string{"second": "another"}, want: [][]string{{password}, {"another"}}},
		"a fixed answer beside it": {rounds: [][]string{{"Password:", "PIN code: "}},
			answers: map[string]string{"pin*": "4711"}, want: [][]string{{password, "4711"}}},
		"the longer pattern": {rounds: [][]string{{"+Customer number [1-9]: ", "Password:"}},
			answers: map[string]string{"Customer": "no", "customer number [1-9]:": "7"}, want: [][]string{{"7", password}}},
		"asked again": {rounds: [][]string{{"Password:"}, {"Password:"}, {"Password:"}}, text: `asks "Password:" again`},
		"asked again in other words": {rounds: [][]string{{"Password:"}, {"Sorry. Password for nobody:"}},
			text: "the password is wrong"},
		"all asked again":    {rounds: [][]string{{"+Username:", "Password:"}, {"+Username:", "Password:"}}, text: `asks "Username:" again`},
		"an answer again":    {rounds: [][]string{{"PIN:"}, {"PIN:"}}, answers: map[string]string{"PIN": "1"}, text: `asks "PIN:" again`},
		"to be changed":      {rounds: [][]string{{"Password:"}, {"New password:", "Retype new password:"}}, text: "has expired", hint: "Change the password"},
		"to be changed, too": {rounds: [][]string{{"Password:"}, {"Current password:"}}, text: "has expired", hint: "Change the password"},
		"zu ändern":          {rounds: [][]string{{"Passwort:"}, {"Neues Passwort:"}}, text: "has expired", hint: "Change the password"},
		"to be changed, with a pattern": {rounds: [][]string{{"Password:"}, {"New password:"}, {"Retype new password:"}},
			answers: map[string]string{"Password": "fixed"}, text: "has expired", hint: "Change the password"},
		"to be changed at once, with a pattern": {rounds: [][]string{{"New password:", "Retype new password:"}},
			answers: map[string]string{"*password:": "fixed"}, text: "has expired", hint: "Change the password"},
		"the old one first, with a pattern": {rounds: [][]string{{"Password:"}, {"Current password:", "New password:"}},
			answers: map[string]string{"Password": "fixed"}, text: "has expired", hint: "Change the password"},
		"zu ändern, with a pattern": {rounds: [][]string{{"Пароль:"}, {"Новый пароль:"}},
			answers: map[string]string{"пароль": "fixed"}, text: "has expired", hint: "Change the password"},
		"a code":       {rounds: [][]string{{"Password:"}, {"Verification code:"}}, text: `asks "Verification code:"`, hint: "sftp.interactive_answers"},
		"a code first": {rounds: [][]string{{"Verification code:"}, {"Password:"}}, text: `asks "Verification code:"`, hint: "sftp.interactive_answers"},
		"a shown question": {rounds: [][]string{{"+Department:", "Password:"}}, want: [][]string{{"sales", password}},
			text: `it asked "Department:"`, hint: "sftp.interactive_answers"},
		"without end": {rounds: slices.Repeat([][]string{{}}, 30), text: "without end"},
		"it repeats the secret": {rounds: [][]string{{"Password:"}, {"secret-word is not a password:"}},
			text: `asks "[redacted] is not a password:"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var i interview
			cfg := serveLogins(t, &ssh.ServerConfig{KeyboardInteractiveCallback: i.ask(tt.rounds, tt.want)})
			cfg.Answers = tt.answers
			if tt.text == "" {
				if _, _, err := connectTo(t, cfg); err != nil {
					t.Fatal(err)
				}
				return
			}
			if hint := hintOf(t, cfg, tt.text); tt.hint != "" && !strings.Contains(hint, tt.hint) {
				t.Errorf("the hint is %q", hint)
			}
			i.mu.Lock()
			defer i.mu.Unlock()
			if i.logins != 1 {
				t.Errorf("%d logins were tried", i.logins)
			}
		})
	}
}

// A login with answers alone needs no password.
func TestAnswersAlone(t *testing.T) {
	var i interview
	cfg := serveLogins(t, &ssh.ServerConfig{KeyboardInteractiveCallback: i.ask([][]string{{"Magic word:"}}, [][]string{{"please"}})})
	cfg.Password, cfg.Answers = "", map[string]string{"magic*": "please"}
	if _, _, err := connectTo(t, cfg); err != nil {
		t.Fatal(err)
	}
}

// What the server says in words stands beside the failure, without the secrets
// that it repeats.
func TestWordsOfTheServer(t *testing.T) {
	cfg := serveLogins(t, &ssh.ServerConfig{
		BannerCallback: func(ssh.ConnMetadata) string { return "Your account\r\n is \x1b[1mlocked; you sent secret-word" },
		PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
			return nil, errors.New("no")
		},
	})
	hintOf(t, cfg, `refuses password for user "nobody"; the server says "Your account is .[1mlocked; you sent [redacted]"`)
	if _, _, err := connectTo(t, cfg); strings.Contains(err.Error(), "secret-word") {
		t.Errorf("the secret is shown: %v", err)
	}
}

// OpenSSH ends the connection in words when it has had enough.
func TestTooManyTries(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{AllowPassword: true, Extra: []string{"MaxAuthTries 1"}})
	cfg := passwordLogin(server.Endpoint)
	cfg.Password = "not-this-one"
	hintOf(t, cfg, "Too many authentication failures")
}

// A request to change the password is known by the number of its message, and
// nothing is tried after it.
func TestPasswordChangeRequest(t *testing.T) {
	a := newAuthenticator(t.Context(), Config{Password: "secret-word"}, func() bool { return false })
	offered := []string{methodPassword, methodInteractive}
	if m, err := a.next(&ssh.ClientAuthContext{AllowedMethods: offered}); m == nil || err != nil {
		t.Fatal(m, err)
	}
	if _, err := a.password(); err != nil {
		t.Fatal(err)
	}
	if m, err := a.next(&ssh.ClientAuthContext{AllowedMethods: offered, TriedMethods: []string{methodPassword}}); m != nil || err != nil {
		t.Errorf("after it, %v and %v", m, err)
	}
	if err := a.refusal(errors.New("ssh: unexpected message type 60 (expected 52)")); !strings.Contains(err.Error(), "has expired") {
		t.Error(err)
	}
}

// An agent that says nothing does not hold up who gives up.
func TestSilentAgent(t *testing.T) {
	noLeaks(t)
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := l.Accept()
		cancel()
		if err == nil {
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	cfg := keyLogin(server.Endpoint)
	cfg.KeyPairs, cfg.Agent, cfg.Timeouts.Handshake = false, true, time.Hour
	t.Setenv("SSH_AUTH_SOCK", socket)
	if _, err := Dial(ctx, cfg, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The keys of the agent log in.
func TestAgent(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	cfg := agentLogin(server.Endpoint)
	t.Setenv("SSH_AUTH_SOCK", "")
	hintOf(t, cfg, "SSH_AUTH_SOCK is not set")
	serveAgent(t)
	hintOf(t, cfg, "the SSH agent has no key")
	keys := slices.Concat(newKeys(t, sftptest.RSA, 1), newKeys(t, sftptest.Ed25519, 1))
	serveAgent(t, keys...)
	if hint := hintOf(t, cfg, "refuses publickey, the keys of the agent"); !strings.Contains(hint, "ssh-add -l") {
		t.Errorf("the hint is %q", hint)
	}
	serveAgent(t, append(keys, privateKeyOf(t, server.Endpoint))...)
	c, stages, err := connectTo(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stages[4].Detail, "agent") {
		t.Errorf("logged in %q", stages[4].Detail)
	}
	expectSFTP(t, c)
}
