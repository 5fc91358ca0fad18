package connector

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// Health is the Connection Status of a connector at a moment.
type Health struct {
	Status status.Word
	Since  time.Time // when it became that
	Hint   string
	Error  string // the cause; "" when there is none
}

// health holds the one Connection Status of a connector. Passes and checks
// report to it; everybody else reads.
type health struct {
	mu       sync.Mutex
	now      Health
	settled  Health  // the last that was not Checking
	paused   *Health // shown in place of both; nil: the connector is not paused
	onChange func(next, was Health)
	changes  []healthChange // that onChange has not been told of yet
	telling  bool           // somebody is at it
}

type healthChange struct{ now, was Health }

// newHealth makes one that tells of each change of the status, and of another cause of
// the same status that asks for something else to be done. Checking is no change.
func newHealth(onChange func(next, was Health)) *health {
	h := Health{Status: status.NotChecked, Since: time.Now()}
	return &health{now: h, settled: h, onChange: onChange}
}

// checking says that a check or a pass tries the connection.
func (h *health) checking() { h.set(Health{Status: status.Checking}) }

// report says how it went; nil is Connection Valid. A login that was not tried says
// nothing new: why it was refused stays.
func (h *health) report(err error) {
	if errors.Is(err, ErrHeld) && h.word() == status.Of(err) {
		h.abandon()
		return
	}
	next := Health{Status: status.Of(err)}
	if err != nil {
		next.Error = err.Error()
		next.Hint = status.HintOf(err)
	}
	h.set(next)
}

// reached says that a pass could read the source directory. What was wrong with
// the destination is found out only when something is written, and whether anything
// can be delivered when the pass has ended.
func (h *health) reached() {
	h.valid(status.DestinationUnavailable, status.NothingDeliverable, status.LedgerUnavailable)
}

// checked is report of a check, which does not tell whether anything can be delivered,
// nor whether the ledger takes it.
func (h *health) checked(err error) {
	if err != nil {
		h.report(err)
		return
	}
	h.valid(status.NothingDeliverable, status.LedgerUnavailable)
}

// valid says that the connection is good. That does not end the statuses that are kept.
func (h *health) valid(kept ...status.Word) {
	h.mu.Lock()
	settled := h.settled
	h.mu.Unlock()
	if slices.Contains(kept, settled.Status) {
		h.set(settled)
		return
	}
	h.report(nil)
}

// word is the last status that was not Checking.
func (h *health) word() status.Word {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settled.Status
}

// abandon goes back to what was known before checking began: the check was
// cancelled and says nothing about the connection.
func (h *health) abandon() {
	h.mu.Lock()
	back := h.settled
	h.mu.Unlock()
	h.set(back)
}

// set changes the health. onChange is called without the lock, for one change after the
// other: by whoever is at it already, if anybody is.
func (h *health) set(next Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.change(next)
	h.tell()
}

// pause shows the pause in place of the Connection Status; nil shows that again. What
// passes and checks report meanwhile is kept.
func (h *health) pause(p *Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.paused
	switch h.paused = p; {
	case p != nil && was == nil:
		h.changed(*p, h.settled)
	case p != nil:
		h.changed(*p, *was)
	case was != nil:
		h.settled.Since = time.Now()
		if h.now.Status != status.Checking {
			h.now = h.settled
		}
		h.changed(h.settled, *was)
	}
	h.tell()
}

// changed notes a change that onChange is to be told of. The caller holds h.mu.
func (h *health) changed(now, was Health) {
	if h.onChange != nil {
		h.changes = append(h.changes, healthChange{now, was})
	}
}

// tell tells onChange of what has changed. The caller holds h.mu, which is released for
// each call.
func (h *health) tell() {
	if h.telling {
		return
	}
	h.telling = true
	for len(h.changes) > 0 {
		c := h.changes[0]
		h.changes = h.changes[1:]
		h.mu.Unlock()
		h.onChange(c.now, c.was)
		h.mu.Lock()
	}
	h.telling = false
}

// change is set, but for telling of it. The caller holds h.mu.
func (h *health) change(next Health) {
	next.Since = time.Now()
	if next.Status == status.Checking {
		h.now = next
		return
	}
	// Checking comes and goes with every pass: it neither counts as a change
	// nor does it start the time anew since which a status holds.
	was := h.settled
	if next.Status == was.Status {
		next.Since = was.Since
	}
	h.now, h.settled = next, next
	another := next.Hint != was.Hint && !status.SameCause(next.Error, was.Error)
	if (next.Status != was.Status || another) && h.paused == nil {
		h.changed(next, was)
	}
}

func (h *health) get() Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paused != nil {
		return *h.paused
	}
	return h.now
}

// statusOf is the Connection Status that a pass ended with; a check at the same
// time may have found another one.
func (h *health) statusOf(r filesync.Result) status.Word {
	if _, known := errors.AsType[*status.Error](r.Err); known || r.Err == nil {
		return status.Of(r.Err)
	}
	return h.word()
}

// conclude reports what a pass says about the connection.
func (h *health) conclude(ctx context.Context, r filesync.Result) filesync.Result {
	_, known := errors.AsType[*status.Error](r.Err)
	switch {
	case ctx.Err() != nil:
		r.Outcome, r.Err = filesync.Cancelled, context.Cause(ctx)
		h.abandon()
	case r.Err == nil:
		h.valid(status.NothingDeliverable) // which deliverable decides about
	case known:
		h.report(r.Err)
	case ledger.Broken(r.Err):
		r.Err = ofLedger(r.Err)
		h.report(r.Err)
	default:
		h.abandon()
	}
	return r
}
