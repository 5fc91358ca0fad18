package connector

import (
	"context"
	"errors"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/status"
)

// hold keeps passes away from an end whose server refused the login. Each end
// has its own: that one server lets us in says nothing of the other.
type hold struct {
	refused int       // logins refused in a row
	until   time.Time // no login before; zero: not held
	word    status.Word
	hint    string
}

// learn takes in how a login went at now.
func (h *hold) learn(err error, now time.Time) {
	if !isRefusal(err) {
		*h = hold{}
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

// login opens an end at target, unless its server refused us a short while ago:
// only a person who asks for it tries again before the hold is over. One login
// is tried at a time.
func login[T any](ctx context.Context, e *Element, h *hold, target string, open func(context.Context) (T, error)) (T, error) {
	e.mu.Lock()
	now := *h
	e.mu.Unlock()
	if time.Now().Before(now.until) {
		var none T
		return none, &status.Error{Word: now.word, Op: "log in", Target: target, Err: ErrHeld, Hint: now.hint}
	}
	end, err := open(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if ctx.Err() == nil {
		h.learn(err, time.Now())
	}
	return end, err
}

// held is until when passes are held back. The caller holds e.mu.
func (e *Element) held() time.Time {
	if e.srcHold.until.After(e.dstHold.until) {
		return e.srcHold.until
	}
	return e.dstHold.until
}

// letIn ends the holds, as somebody asks for a login now.
func (e *Element) letIn() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.srcHold.until, e.dstHold.until = time.Time{}, time.Time{}
}
