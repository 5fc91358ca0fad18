package connector

import (
	"sync"
	"time"

	"sftpconnector/status"
)

// Health is the Connection Status of an element at a moment.
type Health struct {
	Status status.Word
	Since  time.Time // when it became that
	Hint   string
	Error  string // the cause; "" when there is none
}

// health holds the one Connection Status of an element. Passes and checks
// report to it; everybody else reads.
type health struct {
	mu       sync.Mutex
	now      Health
	settled  Health // the last that was not Checking
	onChange func(Health)
}

func newHealth(onChange func(Health)) *health {
	h := Health{Status: status.NotChecked, Since: time.Now()}
	return &health{now: h, settled: h, onChange: onChange}
}

// checking says that a check or a pass tries the connection.
func (h *health) checking() { h.set(Health{Status: status.Checking}) }

// report says how it went; nil is Connection Valid.
func (h *health) report(err error) {
	next := Health{Status: status.Of(err)}
	if err != nil {
		next.Error = err.Error()
		next.Hint = next.Status.Hint()
	}
	h.set(next)
}

// abandon goes back to what was known before checking began: the check was
// cancelled and says nothing about the connection.
func (h *health) abandon() {
	h.mu.Lock()
	back := h.settled
	h.mu.Unlock()
	h.set(back)
}

func (h *health) set(next Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := next.Status != h.now.Status
	next.Since = h.now.Since
	if changed {
		next.Since = time.Now()
	}
	// Checking comes and goes with every pass: the time since which a status
	// holds is that of the last different one.
	if next.Status != status.Checking {
		if next.Status == h.settled.Status {
			next.Since = h.settled.Since
		}
		changed = next.Status != h.settled.Status
		h.settled = next
	}
	h.now = next
	if changed && h.onChange != nil {
		h.onChange(next)
	}
}

func (h *health) get() Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}
