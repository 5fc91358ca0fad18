package sftp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// authenticator answers one login. Each method gets one try: a server locks
// users out who try too often.
type authenticator struct {
	cfg      Config
	offered  []string // the methods that the server takes, as it last said
	used     string   // the last method that was tried, for people
	answered bool     // the password went out by keyboard-interactive
	err      error    // why we could not even try
}

func newAuthenticator(cfg Config) *authenticator { return &authenticator{cfg: cfg} }

// methods gives the ways to log in, in the order in which they are tried.
// Many servers take a password by keyboard-interactive only.
func (a *authenticator) methods() []ssh.AuthMethod {
	if a.cfg.KeyPairs {
		return []ssh.AuthMethod{ssh.PublicKeysCallback(a.signers)}
	}
	return []ssh.AuthMethod{ssh.PasswordCallback(a.password), ssh.KeyboardInteractive(a.interact)}
}

// detail says how the login went through.
func (a *authenticator) detail() string {
	if a.used == "" {
		return fmt.Sprintf("%s, the server asked for nothing", a.cfg.Username)
	}
	return fmt.Sprintf("%s by %s", a.cfg.Username, a.used)
}

// password is asked for once by the method "password" (RFC 4252, section 8).
func (a *authenticator) password() (string, error) {
	a.used = "password"
	return a.cfg.Password, nil
}

// interact answers the prompts of "keyboard-interactive" (RFC 4256): as many
// as are asked, also none, with the password where the input is hidden. A
// second question after the password is one that we cannot answer.
func (a *authenticator) interact(_, _ string, questions []string, echos []bool) ([]string, error) {
	a.used = "keyboard-interactive"
	if len(questions) == 0 {
		return nil, nil
	}
	answers := make([]string, len(questions))
	if a.answered {
		a.err = fmt.Errorf("the server wants more than the password: it asks %q", printable([]byte(questions[0])))
		return nil, a.err
	}
	for i, q := range questions {
		// Some servers forget to say that the password is not to be shown.
		if !echos[i] || strings.Contains(strings.ToLower(q), "password") {
			answers[i] = a.cfg.Password
			a.answered = true
		}
	}
	return answers, nil
}

// signers reads the key file, when the server wants a key at all.
func (a *authenticator) signers() ([]ssh.Signer, error) {
	signers, err := loadSigners(a.cfg.KeyPath, a.cfg.KeyPassphrase, a.cfg.LegacyAlgorithms)
	if err != nil {
		a.err = err
		return nil, err
	}
	key := signers[0].PublicKey()
	a.used = fmt.Sprintf("publickey, %s %s", key.Type(), ssh.FingerprintSHA256(plainKey(key)))
	return signers, nil
}

// refusal explains why the login failed, in place of x/crypto's words.
func (a *authenticator) refusal(err error) error {
	switch {
	case a.err != nil:
		return a.err
	case strings.Contains(err.Error(), "unexpected message type 60 "): // SSH_MSG_USERAUTH_PASSWD_CHANGEREQ
		return errors.New("the password has expired: the server wants a new one")
	case a.used != "":
		return fmt.Errorf("the server refuses %s for user %q", a.used, a.cfg.Username)
	case len(a.offered) > 0 && !slices.ContainsFunc(a.wanted(), func(m string) bool { return slices.Contains(a.offered, m) }):
		return fmt.Errorf("the server takes %s only, and sftp.authentication offers %s",
			printable([]byte(strings.Join(a.offered, ", "))), strings.Join(a.wanted(), ", "))
	}
	return err
}

// wanted names the methods that we can do.
func (a *authenticator) wanted() []string {
	if a.cfg.KeyPairs {
		return []string{"publickey"}
	}
	return []string{"password", "keyboard-interactive"}
}
