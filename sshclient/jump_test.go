package sshclient

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
)

// through is the configuration that reaches target through bastion, which has
// neither a password nor a key of its own yet.
func through(t *testing.T, cfg Config, bastion, target sftptest.Endpoint) Config {
	t.Helper()
	cfg.KnownHosts = KnownHostsFile(filepath.Join(t.TempDir(), "known_hosts"))
	writeFile(t, cfg.KnownHosts.String(),
		string(sftptest.KnownHostsLines(bastion.Addr, bastion.HostKeys...))+
			string(sftptest.KnownHostsLines(target.Addr, target.HostKeys...)))
	cfg.Jump = &Jump{Username: bastion.User, Host: bastion.Host, Port: bastion.Port}
	return cfg
}

// A jump host has a login of its own.
func TestJumpLogin(t *testing.T) {
	keys := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	passwords := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{AllowPassword: true, Extra: []string{"PubkeyAuthentication no"}}).Endpoint
	both := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{AllowPassword: true, Extra: []string{"AuthenticationMethods publickey,password"}}).Endpoint
	key := func(e sftptest.Endpoint) func(*Jump) { return func(j *Jump) { j.KeyPath = e.PrivateKeyPath } }
	password := func(e sftptest.Endpoint) func(*Jump) { return func(j *Jump) { j.Password = e.Password } }
	for name, tt := range map[string]struct {
		login           Config
		bastion, target sftptest.Endpoint
		jump            []func(*Jump)
	}{
		"a key, then a password":   {passwordLogin(passwords), keys, passwords, []func(*Jump){key(keys)}},
		"a password, then a key":   {keyLogin(keys), passwords, keys, []func(*Jump){password(passwords)}},
		"another key":              {keyLogin(keys), both, keys, []func(*Jump){key(both), password(both)}},
		"a password, then another": {passwordLogin(passwords), passwords, passwords, []func(*Jump){password(passwords)}},
		"the same key":             {keyLogin(keys), keys, keys, nil},
		"then key and password":    {bothLogin(both), both, both, []func(*Jump){password(both)}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := through(t, tt.login, tt.bastion, tt.target)
			for _, give := range tt.jump {
				give(cfg.Jump)
			}
			c, _, err := connectTo(t, cfg)
			if err != nil {
				t.Fatal(err)
			}
			expectSFTP(t, c)
		})
	}
}

// eavesdropper is a jump host that keeps what it is given.
type eavesdropper struct {
	mu    sync.Mutex
	heard []string
}

func (e *eavesdropper) hear(text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, text)
	return errors.New("refused")
}

// What is secret of the login on the server is never shown to the jump host,
// whatever that asks for.
func TestJumpHostHearsNoSecret(t *testing.T) {
	target := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{AllowPassword: true}).Endpoint
	for name, login := range map[string]Config{"credentials": passwordLogin(target), "key-pairs": keyLogin(target), "both": bothLogin(target)} {
		for _, own := range []string{"", "jump-password"} {
			t.Run(name+own, func(t *testing.T) {
				var e eavesdropper
				hop := serveLogins(t, &ssh.ServerConfig{
					PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
						return nil, e.hear(string(password))
					},
					KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
						answers, _ := ask("", "", []string{"Password:", "Code:"}, []bool{false, false})
						return nil, e.hear(strings.Join(answers, "/"))
					},
				})
				cfg := through(t, login, target, target)
				cfg.HostKey = PolicyAcceptNew
				cfg.Password, cfg.Answers = target.Password, map[string]string{"Code": "4711"}
				cfg.Jump = &Jump{Username: "nobody", Host: hop.Host, Port: hop.Port, Password: own}
				_, _, err := connectTo(t, cfg)
				if !status.Is(err, status.AuthenticationFailed) || !strings.Contains(err.Error(), "jump host") ||
					!strings.Contains(status.HintOf(err), "sftp.proxy_jump") || strings.Contains(status.HintOf(err), "sftp.username") {
					t.Errorf("got %v; hint %q", err, status.HintOf(err))
				}
				t.Log(err, status.HintOf(err))
				e.mu.Lock()
				defer e.mu.Unlock()
				for _, heard := range e.heard {
					if own == "" || strings.Contains(heard, target.Password) || strings.Contains(heard, "4711") {
						t.Errorf("it was given %q", heard)
					}
				}
				if own != "" && len(e.heard) == 0 {
					t.Error("its own password was not tried")
				}
			})
		}
	}
}
