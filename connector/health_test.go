package connector

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/status"
)

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []Health
		h := newHealth(func(c, _ Health) { changes = append(changes, c) })
		start := time.Now()
		refused := &status.Error{Word: status.ConnectionRefused, Op: "connect", Err: errors.New("no")}
		for i, c := range []struct {
			do      func()
			word    status.Word
			since   int // seconds after the start, of which each step takes one
			changes int
		}{
			{func() {}, status.NotChecked, 0, 0},
			{h.checking, status.Checking, 2, 0},
			{h.abandon, status.NotChecked, 0, 0},
			{h.checking, status.Checking, 4, 0},
			{func() { h.report(nil) }, status.ConnectionValid, 5, 1},
			{h.checking, status.Checking, 6, 1},
			{func() { h.report(nil) }, status.ConnectionValid, 5, 1},
			{func() { h.report(refused) }, status.ConnectionRefused, 8, 2},
			{h.checking, status.Checking, 9, 2},
			{h.abandon, status.ConnectionRefused, 8, 2},
			{func() { h.report(errors.New("a reset")) }, status.ConnectionLost, 11, 3},
			{func() { h.report(nil) }, status.ConnectionValid, 12, 4},
			{func() { h.report(refused) }, status.ConnectionRefused, 13, 5},
			{func() { h.report(&status.Error{Word: refused.Word, Err: errors.New("no more")}) }, status.ConnectionRefused, 13, 5},
		} {
			time.Sleep(time.Second)
			c.do()
			got := h.get()
			if got.Status != c.word || len(changes) != c.changes {
				t.Errorf("step %d: %s after %d changes, want %s after %d", i+1, got.Status, len(changes), c.word, c.changes)
			}
			if since := int(got.Since.Sub(start) / time.Second); since != c.since {
				t.Errorf("step %d: %s since second %d, want %d", i+1, got.Status, since, c.since)
			}
			if got.Hint != c.word.Hint() {
				t.Errorf("step %d: hint %q", i+1, got.Hint)
			}
			if failing := c.word == status.ConnectionRefused || c.word == status.ConnectionLost; failing != (got.Error != "") {
				t.Errorf("step %d: error %q", i+1, got.Error)
			}
		}
	})
}

// A login that is held back leaves the cause for which it is.
func TestHealthOfAHeldLogin(t *testing.T) {
	t.Parallel()
	h := newHealth(nil)
	h.report(&status.Error{Word: status.AuthenticationFailed, Op: "log in", Err: errors.New("the server refuses password")})
	known := h.get()
	h.checking()
	h.report(&status.Error{Word: status.AuthenticationFailed, Op: "log in", Err: ErrHeld})
	if got := h.get(); got.Error != known.Error || got.Status != known.Status {
		t.Errorf("%+v, want %+v", got, known)
	}
}
