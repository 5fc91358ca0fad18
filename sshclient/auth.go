package sshclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// authenticator answers one login. It tries each method once for each step that the
// server requires, as servers lock out users after too many tries.
type authenticator struct {
	ctx      context.Context // of the login
	cfg      Config
	offered  []string    // the methods that the server takes, as it last said
	steps    []step      // what was tried, in order
	sent     int         // how often the method "password" asked for it
	prompts  prompts     // of keyboard-interactive
	said     []string    // what the server said in words
	err      error       // why we could not go on
	ended    func() bool // whether the server has ended the connection
	upon     string      // what was tried when it had
	closings []func()    // of what the login took
}

// step is one method that was tried.
type step struct {
	method   string
	shown    string // the method with what it used, for people
	accepted bool   // as one step of several, or as the last
}

// The methods of RFC 4252 and RFC 4256 that are supported.
const (
	methodKey         = "publickey"
	methodPassword    = "password"
	methodInteractive = "keyboard-interactive"
)

func newAuthenticator(ctx context.Context, cfg Config, ended func() bool) *authenticator {
	return &authenticator{ctx: ctx, cfg: cfg, prompts: newPrompts(cfg), ended: ended}
}

// close frees what the login took.
func (a *authenticator) close() {
	for _, f := range a.closings {
		f()
	}
}

// wanted gives the methods that credentials are configured for, in the order in which
// they are tried. Many servers take a password by keyboard-interactive only.
func (a *authenticator) wanted() (methods []string) {
	if a.cfg.usesKey() {
		methods = append(methods, methodKey)
	}
	if a.cfg.usesPassword() && a.cfg.Password != "" {
		methods = append(methods, methodPassword)
	}
	if a.cfg.usesPassword() && (a.cfg.Password != "" || len(a.cfg.Answers) > 0) {
		methods = append(methods, methodInteractive)
	}
	return methods
}

// next chooses the next method, after the server's answer to the last one. It is an
// ssh.ClientConfig.AuthCallback. If it gives neither a method nor an error, x/crypto
// ends the login with its own reason.
func (a *authenticator) next(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	a.offered = c.AllowedMethods
	if a.err != nil {
		return nil, a.err
	}
	if !a.settle(c) {
		return nil, nil
	}
	if a.upon == "" && a.tried() && a.ended() {
		a.upon = a.steps[len(a.steps)-1].shown // x/crypto finds out with the next message
	}
	for _, m := range a.wanted() {
		if slices.Contains(c.AllowedMethods, m) && !slices.Contains(c.TriedMethods, m) {
			a.steps = append(a.steps, step{method: m, shown: m})
			return a.method(m), nil
		}
	}
	return nil, nil
}

// settle notes the answer to the last step. It is false for a step that the server
// neither accepted nor refused.
func (a *authenticator) settle(c *ssh.ClientAuthContext) bool {
	if len(a.steps) == 0 {
		return true
	}
	last := &a.steps[len(a.steps)-1]
	accepted := 0
	for _, s := range a.steps {
		if s.accepted {
			accepted++
		}
	}
	switch {
	case len(c.PartialSuccessMethods) > accepted:
		last.accepted = true
		a.prompts.answered = false // what is asked from now on is another login's
		a.sent = 0
	case last.method == methodPassword && a.sent == 1:
		return false
	}
	return true
}

func (a *authenticator) method(name string) ssh.AuthMethod {
	switch name {
	case methodKey:
		return ssh.PublicKeysCallback(a.signers)
	case methodPassword:
		// x/crypto hides packets that it cannot read, such as a request to change the
		// password. It asks for a second try after a refusal only.
		return ssh.RetryableAuthMethod(ssh.PasswordCallback(a.password), 2)
	}
	return ssh.KeyboardInteractive(a.interact)
}

var errRefusedPassword = errors.New("the password was refused")

// password is sent once by the method "password" (RFC 4252, section 8).
func (a *authenticator) password() (string, error) {
	a.sent++
	if a.sent > 1 {
		return "", errRefusedPassword
	}
	return a.cfg.Password, nil
}

// interact answers one round of "keyboard-interactive" (RFC 4256).
func (a *authenticator) interact(name, instruction string, questions []string, echos []bool) ([]string, error) {
	a.note(name)
	a.note(instruction)
	answers, err := a.prompts.answer(questions, echos)
	a.err = err
	return answers, err
}

// signers reads the key when the server asks for one.
func (a *authenticator) signers() ([]ssh.Signer, error) {
	signers, shown, err := a.loadKeys()
	if err != nil {
		a.err = err
		return nil, err
	}
	a.steps[len(a.steps)-1].shown = methodKey + ", " + shown
	return offers(signers), nil
}

func (a *authenticator) loadKeys() ([]ssh.Signer, string, error) {
	if a.cfg.Agent {
		signers, hangUp, err := agentSigners(a.ctx, a.cfg)
		if err != nil {
			return nil, "", err
		}
		a.closings = append(a.closings, hangUp)
		if n := len(signers); n > maxAgentKeys {
			return signers[:maxAgentKeys], fmt.Sprintf("the first %d of the %d keys of the agent", maxAgentKeys, n), nil
		}
		return signers, "the keys of the agent", nil
	}
	signers, err := loadSigners(a.cfg.KeyPath, a.cfg.KeyPassphrase, a.cfg.LegacyAlgorithms)
	if err != nil && a.cfg.hopKey {
		err = errors.New(strings.ReplaceAll(err.Error(), "sftp.key_pairs_", "sftp.proxy_jump_key_pairs_"))
	}
	if err != nil {
		setting := "sftp.key_pairs_path"
		if a.cfg.hopKey {
			setting = "sftp.proxy_jump_key_pairs_path"
		}
		return nil, "", &hintedError{err, fmt.Sprintf("Check %s: the key there cannot be used, so that no login was tried with it.", setting)}
	}
	key := signers[0].PublicKey()
	return signers, fmt.Sprintf("%s %s", key.Type(), ssh.FingerprintSHA256(plainKey(key))), nil
}

// tried reports whether any method was tried.
func (a *authenticator) tried() bool { return len(a.steps) > 0 }

// succeeded describes the steps of a login whose last step was accepted.
func (a *authenticator) succeeded() string {
	if !a.tried() {
		return fmt.Sprintf("%s, the server asked for nothing", a.cfg.Username)
	}
	a.steps[len(a.steps)-1].accepted = true
	text := fmt.Sprintf("%s by %s", a.cfg.Username, a.named(", and then ", true))
	if refused := a.refusedSteps(); refused != "" {
		text += fmt.Sprintf(" (%s was refused)", refused)
	}
	return text
}

// acceptedSteps and refusedSteps name the steps by the server's answer.
func (a *authenticator) acceptedSteps() string { return a.named(" and ", true) }

func (a *authenticator) refusedSteps() string { return a.named(" and ", false) }

func (a *authenticator) named(separator string, accepted bool) string {
	var names []string
	for _, s := range a.steps {
		if s.accepted == accepted {
			names = append(names, s.shown)
		}
	}
	return strings.Join(names, separator)
}
