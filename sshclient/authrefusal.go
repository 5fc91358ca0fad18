package sshclient

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// loginError is why a login failed, with advice where that is known.
type loginError struct {
	text string
	hint string
}

func (e *loginError) Error() string { return e.text }

// Hint is what to check next, or "" for the hint of the Connection Status.
func (e *loginError) Hint() string { return e.hint }

// maxSaid is how many bytes of a server's text are kept.
const maxSaid = 200

// note keeps the text that the server sends: its banner, and the instructions of
// keyboard-interactive. It removes secrets before it changes the text in any way.
func (a *authenticator) note(text string) {
	text = a.cfg.hide(text)
	text = strings.Join(strings.Fields(text[:min(len(text), 8*maxSaid)]), " ")
	if text != "" && len(a.said) < 8 && !slices.Contains(a.said, text) {
		a.said = append(a.said, text)
	}
}

// quote makes a server's text of the login fit for an error. A server may repeat a
// secret that it was given.
func (c Config) quote(text string) string {
	return fmt.Sprintf("%q", Printable([]byte(c.hide(text))))
}

// hide removes the secrets from a server's text. The text must be as it was sent, as a
// secret that was cut or quoted has another form. The longest secret goes first, as it
// may contain another one.
func (c Config) hide(text string) string {
	secrets := slices.AppendSeq([]string{c.Password, c.KeyPassphrase}, maps.Values(c.Answers))
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	return text
}

// refusal explains why the login failed, in place of x/crypto's text.
func (a *authenticator) refusal(err error) error {
	return a.withServerText(a.reason(err))
}

func (a *authenticator) withServerText(err error) error {
	if len(a.said) == 0 {
		return err
	}
	return &serverTextError{err, "the server says " + a.cfg.quote(strings.Join(a.said, " "))}
}

// serverTextError is an error with the text that the server sent.
type serverTextError struct {
	error
	text string
}

func (e *serverTextError) Error() string { return e.error.Error() + "; " + e.text }

func (e *serverTextError) Unwrap() error { return e.error }

// closed is the error of a server that ended the connection in the login without an SSH
// message.
func (a *authenticator) closed() error {
	upon := cmp.Or(a.upon, a.steps[len(a.steps)-1].shown)
	return a.withServerText(fmt.Errorf("the server closed the connection upon %s for user %q", upon, a.cfg.Username))
}

func (a *authenticator) reason(err error) error {
	switch {
	case a.err != nil:
		return a.err
	case strings.Contains(err.Error(), "unexpected message type 60 "): // SSH_MSG_USERAUTH_PASSWD_CHANGEREQ
		return errExpired(a.cfg)
	case a.acceptedSteps() != "":
		return a.halfWay()
	case a.tried():
		text := fmt.Sprintf("the server refuses %s for user %q", a.refusedSteps(), a.cfg.Username)
		if a.prompts.empty != "" {
			text += fmt.Sprintf("; it asked %s, which %s does not answer", a.cfg.quote(a.prompts.empty), a.cfg.setting("interactive_answers"))
		}
		return &loginError{text: text, hint: a.refusedHint()}
	case len(a.wanted()) == 0:
		return &loginError{
			text: "there is nothing to log in with: the server takes " + a.quoteMethods(),
			hint: fmt.Sprintf("Give %s or %s: what is for the server behind it is not shown to the jump host.",
				a.cfg.setting("password"), a.cfg.setting("key_pairs_path")),
		}
	case len(a.offered) > 0:
		return &loginError{
			text: fmt.Sprintf("the server takes %s only, and the configuration has %s",
				a.quoteMethods(), strings.Join(a.wanted(), ", ")),
			hint: a.otherMethodHint(),
		}
	}
	return err
}

func (a *authenticator) quoteMethods() string {
	return Printable([]byte(a.cfg.hide(strings.Join(a.offered, ", "))))
}

// halfWay is the error of a server that requires more than the steps that it accepted.
func (a *authenticator) halfWay() error {
	accepted := fmt.Sprintf("the server accepts %s as one step", a.acceptedSteps())
	if last := a.steps[len(a.steps)-1]; !last.accepted {
		return &loginError{
			text: fmt.Sprintf("%s, and then refuses %s for user %q", accepted, last.shown, a.cfg.Username),
			hint: a.stepHint(last.method),
		}
	}
	e := &loginError{text: fmt.Sprintf("%s, and then wants %s too", accepted, a.quoteMethods())}
	if !a.cfg.Both {
		e.hint = a.bothHint()
	}
	return e
}

// bothHint tells how to configure two methods in a row.
func (a *authenticator) bothHint() string {
	if a.cfg.hop {
		return fmt.Sprintf("Give %s and %s: this jump host wants one after the other.", a.cfg.setting("password"), a.cfg.setting("key_pairs_path"))
	}
	return "Set sftp.authentication: both, with sftp.key_pairs_path and sftp.password: this server wants one after the other."
}

// stepHint is for a refused step where another one was accepted, so that the user name
// is right.
func (a *authenticator) stepHint(method string) string {
	if method == methodKey {
		return fmt.Sprintf("The other step was accepted: check that %s is the key that this user is authorised with.", a.cfg.setting("key_pairs_path"))
	}
	return fmt.Sprintf("The other step was accepted: verify that %s is right and hasn't expired.", a.cfg.setting("password"))
}

// otherMethodHint is for a server that takes only methods without configured
// credentials.
func (a *authenticator) otherMethodHint() string {
	takes := func(m string) bool { return slices.Contains(a.offered, m) }
	password := takes(methodPassword) || takes(methodInteractive)
	switch {
	case a.cfg.hop && takes(methodKey):
		return fmt.Sprintf("Give %s: the jump host takes keys.", a.cfg.setting("key_pairs_path"))
	case a.cfg.hop && password:
		return fmt.Sprintf("Give %s: the jump host takes passwords.", a.cfg.setting("password"))
	case takes(methodKey) && !a.cfg.usesKey():
		return "This server takes keys: set sftp.authentication: key-pairs and sftp.key_pairs_path."
	case password && !a.cfg.usesPassword():
		return "This server takes passwords: set sftp.authentication: credentials and sftp.password."
	case takes(methodInteractive):
		return "This server asks questions: answer them in sftp.interactive_answers."
	}
	return "Ask the server's administrator for a login by password or key: " + a.quoteMethods() + " is not supported."
}

// refusedHint is for methods that were refused.
func (a *authenticator) refusedHint() string {
	switch {
	case a.prompts.empty != "":
		return fmt.Sprintf("If the question that the server asks wants an answer, give it in %s.", a.cfg.setting("interactive_answers"))
	case a.cfg.Agent:
		return "Verify sftp.username, and that 'ssh-add -l' shows a key that this user is authorised with, among the first ones: " +
			"servers take few tries. The server does not say which of them is wrong."
	}
	return ""
}

// errExpired means that the server demands a new password.
func errExpired(cfg Config) error {
	return &loginError{
		text: "the password has expired: the server wants a new one",
		hint: fmt.Sprintf("Change the password on the server, as with ssh or its web page, and then give the new one in %s.", cfg.setting("password")),
	}
}
