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

// unlessHeld opens an end at target, unless its server refused us a short while ago:
// only a person who asks for it tries again before the hold is over. One login
// is tried at a time.
func unlessHeld[T any](ctx context.Context, c *Connector, h *hold, target string, open func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	now := *h
	c.mu.Unlock()
	if time.Now().Before(now.until) {
		var none T
		return none, &status.Error{Word: now.word, Op: "log in", Target: target, Err: ErrHeld, Hint: now.hint}
	}
	end, err := open(ctx)
	if ctx.Err() != nil {
		return end, err
	}
	c.mu.Lock()
	h.learn(err, time.Now())
	learnt := *h
	c.mu.Unlock()
	if learnt.refused != now.refused {
		c.keep(ctx, &learnt)
	}
	return end, err
}

// keep has the ledger remember a hold.
func (c *Connector) keep(ctx context.Context, h *hold) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := c.ledger.SetHold(late, h.kept()); err != nil {
		c.log.Warn("that the login was refused, or is not any more, is not remembered", "error", err)
	}
}

// loginWorks ends the holds, as both ends let us in.
func (c *Connector) loginWorks(ctx context.Context) {
	c.mu.Lock()
	var ended []hold
	for _, h := range []*hold{&c.srcHold, &c.dstHold} {
		refused := h.refused > 0
		if h.clear(); refused {
			ended = append(ended, *h)
		}
	}
	c.mu.Unlock()
	for _, h := range ended {
		c.keep(ctx, &h)
	}
}

// tellHeld sets the Connection Status to that of a hold from before the program started:
// no pass tries the login for now.
func (c *Connector) tellHeld() {
	c.mu.Lock()
	now := c.srcHold
	if c.dstHold.until.After(now.until) {
		now = c.dstHold
	}
	c.mu.Unlock()
	if time.Now().Before(now.until) {
		c.health.report(&status.Error{Word: now.word, Op: "log in", Target: c.cfg.SFTP.Host, Err: ErrHeld, Hint: now.hint})
	}
}

// held is until when passes are held back. The caller holds c.mu.
func (c *Connector) held() time.Time {
	if c.srcHold.until.After(c.dstHold.until) {
		return c.srcHold.until
	}
	return c.dstHold.until
}

// clearHolds ends the holds, as somebody asks for a login now.
func (c *Connector) clearHolds() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.srcHold.until, c.dstHold.until = time.Time{}, time.Time{}
}
