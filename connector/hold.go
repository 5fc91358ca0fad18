package connector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/config"
	"sftpconnector/status"
	"sftpconnector/sync/ledger"
)

// hold keeps passes away from an end whose server refused the login. Each end
// has its own: that one server lets us in says nothing of the other. The ledger keeps it,
// so that a program that is started again and again does not lock an account.
type hold struct {
	end     string    // as the ledger has it
	login   string    // what is refused; another one is tried at once
	refused int       // logins refused in a row
	until   time.Time // no login before; zero: not held
	word    status.Word
	hint    string
}

// The ends of a connector, as the ledger has them.
const (
	sourceEnd      = "source"
	destinationEnd = "destination"
)

// newHold makes the hold of an end, as far as the ledger remembers it of this login.
func newHold(end, login string, kept []ledger.Hold, now time.Time) hold {
	h := hold{end: end, login: login}
	for _, k := range kept {
		if k.End == end && k.Login == login {
			h.refused, h.word, h.hint = k.Refused, k.Word, k.Hint
			h.until = now.Add(min(k.Until.Sub(now), backoff.Login.Longest())) // the clock may have been set back
		}
	}
	return h
}

// loginOf tells the login of an end from others. It is short on purpose: who reads the
// ledger must not be able to find out a password by it.
func loginOf(cfg *config.Connector, end string) string {
	f, s := cfg.Files, cfg.SFTP
	login := []string{f.DestinationDirectoryPath, f.SystemUsername, f.SystemPassword.Reveal()}
	if cfg.Uploads() == (end == destinationEnd) {
		login = []string{s.Host, strconv.Itoa(s.Port), s.Username, string(s.Authentication), s.Password.Reveal(), fmt.Sprint(s.InteractiveAnswers.Reveal()),
			s.KeyPairsPath, s.KeyPairsPassphrase.Reveal(), s.ProxyJump, s.JumpPassword.Reveal(), s.JumpKeyPairsPath, s.JumpPassphrase.Reveal(),
			s.CredentialsAPI.URL, s.CredentialsAPI.SecretKey.Reveal(), s.CredentialsAPI.SpaceID}
		for _, path := range []string{s.KeyPairsPath, s.JumpKeyPairsPath} {
			if info, err := os.Stat(path); err == nil { // another key may have come in its place
				login = append(login, info.ModTime().String())
			}
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(login, "\x00")))
	return hex.EncodeToString(sum[:2])
}

// kept is the hold as the ledger is to have it. That a host key was refused is not kept:
// it locks no account, and is settled beside the program.
func (h *hold) kept() ledger.Hold {
	k := ledger.Hold{End: h.end}
	if h.word != status.HostKeyVerificationFailed && h.word != status.HostKeyUnknown {
		k.Login, k.Refused, k.Until, k.Word, k.Hint = h.login, h.refused, h.until, h.word, h.hint
	}
	return k
}

// clear ends the hold, as the login works.
func (h *hold) clear() { *h = hold{end: h.end, login: h.login} }

// learn takes in how a login went at now.
func (h *hold) learn(err error, now time.Time) {
	if !isRefusal(err) {
		h.clear()
		return
	}
	h.word, h.hint = status.Of(err), status.HintOf(err)
	h.refused++
	h.until = now.Add(backoff.Login.Wait(h.refused))
}

// isRefusal reports whether a server refused our login, or we its host key: it
// takes a person to change that.
func isRefusal(err error) bool {
	switch status.Of(err) {
	case status.AuthenticationFailed, status.HostKeyVerificationFailed, status.HostKeyUnknown:
		return true
	}
	return errors.Is(err, status.ErrLoginRefused)
}

// unlessHeld opens an end at target, unless its server refused us a short while ago. One
// login is tried at a time.
func unlessHeld[T any](ctx context.Context, e *ends, h *hold, target string, open func(context.Context) (T, error)) (T, error) {
	e.mu.Lock()
	now := *h
	e.mu.Unlock()
	if time.Now().Before(now.until) {
		var none T
		return none, &status.Error{Word: now.word, Op: "log in", Target: target, Err: ErrHeld, Hint: now.hint}
	}
	end, err := open(ctx)
	if ctx.Err() != nil {
		return end, err
	}
	e.mu.Lock()
	h.learn(err, time.Now())
	learnt := *h
	e.mu.Unlock()
	if learnt.refused != now.refused {
		e.keep(ctx, &learnt)
	}
	return end, err
}

// keep has the ledger remember a hold.
func (e *ends) keep(ctx context.Context, h *hold) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := e.ledger.SetHold(late, h.kept()); err != nil {
		e.log.Warn("that the login was refused, or is not any more, is not remembered", "error", err)
	}
}

// loginWorks ends the holds, as both ends let us in.
func (e *ends) loginWorks(ctx context.Context) {
	e.mu.Lock()
	var ended []hold
	for _, h := range []*hold{&e.srcHold, &e.dstHold} {
		refused := h.refused > 0
		if h.clear(); refused {
			ended = append(ended, *h)
		}
	}
	e.mu.Unlock()
	for _, h := range ended {
		e.keep(ctx, &h)
	}
}

// refusal is the error of logins that are held back; nil if none are.
func (e *ends) refusal() error {
	e.mu.Lock()
	now := e.srcHold
	if e.dstHold.until.After(now.until) {
		now = e.dstHold
	}
	e.mu.Unlock()
	if !time.Now().Before(now.until) {
		return nil
	}
	return &status.Error{Word: now.word, Op: "log in", Target: e.cfg.SFTP.Host, Err: ErrHeld, Hint: now.hint}
}

// held is until when automatic passes are held back. It may be over.
func (e *ends) held() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.srcHold.until.After(e.dstHold.until) {
		return e.srcHold.until
	}
	return e.dstHold.until
}

// clearHolds ends the holds, as somebody asks for a login now.
func (e *ends) clearHolds() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.srcHold.until, e.dstHold.until = time.Time{}, time.Time{}
}
