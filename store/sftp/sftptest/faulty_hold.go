package sftptest

import (
	"bytes"
	"maps"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Hold keeps the answers of a Faulty server back, so that a test counts the round trips
// of what it does, however busy the machine is: it waits until the server has all
// requests of one, and releases their answers. The first answer on a channel is not
// held. Methods may be called from any goroutine.
type Hold struct {
	mu      sync.Mutex
	over    bool
	ops     map[Op]int
	answers []heldAnswer
}

type heldAnswer struct {
	to     ssh.Channel
	answer []byte
}

// Hold holds the answers from now on. No request may be under way.
func (s *Faulty) Hold() *Hold {
	h := &Hold{ops: map[Op]int{}}
	s.hold.Store(h)
	return h
}

// Ops gives the requests whose answers are held, by kind.
func (h *Hold) Ops() map[Op]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.ops)
}

// Release sends the answers that are held, and holds those that follow.
func (h *Hold) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send()
}

// End sends the answers that are held, and holds no more.
func (h *Hold) End() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	h.send()
}

// send sends what is held. The caller holds h.mu. An error is the client's end.
func (h *Hold) send() {
	for _, a := range h.answers {
		_, _ = a.to.Write(a.answer)
	}
	h.answers = nil
	clear(h.ops)
}

// takes reports whether the answer is held. h may be nil.
func (h *Hold) takes(op Op, to ssh.Channel, answer []byte) bool {
	if h == nil || op == OpInit {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return false
	}
	h.ops[op]++
	h.answers = append(h.answers, heldAnswer{to, bytes.Clone(answer)})
	return true
}
