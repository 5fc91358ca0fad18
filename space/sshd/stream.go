package sshd

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// The kinds of SFTP packets that matter here (draft-ietf-secsh-filexfer-02,
// section 3).
const (
	packetOpen    = 3
	packetRead    = 5
	packetWrite   = 6
	packetOpenDir = 11
)

// What a client may ask for before it has the answers. pkg/sftp keeps each
// request until its answer is sent, and the answers until those before them are,
// without a bound of its own; behind one slow request there would be no end to
// either. OpenSSH's sftp asks for 64 blocks of 32 KiB at a time.
const (
	maxUnanswered      = 128
	maxUnansweredBytes = 4 << 20
)

// answerCost is what the answer to a request may take: that of a READ, at most.
const maxAnswer = 32 << 10

// stream is the channel of one SFTP session, as pkg/sftp sees it, which reads
// in one goroutine and writes in another. It knows how many requests have no
// answer yet, takes no more while there are too many, and does not wait for ever
// for a client that does not read.
//
// It also holds a READ or WRITE back until every OPEN before it is answered. A
// client that waits for the handle never notices; one that guesses it would have
// pkg/sftp use the open file in one goroutine while another one still fills it in.
//
// pkg/sftp does WRITEs side by side. Where a file was opened to append to it, their
// order is all that says where each belongs: from then on they come one at a time.
type stream struct {
	ssh.Channel
	session *session
	from    confinedReader
	in, out packetCounter // each used by one goroutine

	mu              sync.Mutex
	change          sync.Cond
	asked           int64                // requests that pkg/sftp has been given
	answered        int64                // and that are answered: it answers in the same order
	lastOpen        int64                // what asked was with the last OPEN
	ordered         bool                 // a WRITE waits for the answers to all before it
	costs           [maxUnanswered]int64 // of those without an answer, in bytes; the n-th stands at n % maxUnanswered
	unansweredBytes int64                // the sum of these
	broken          bool                 // there will be no more answers

	forgotten bool
	unwatch   func() bool
}

func newStream(c ssh.Channel, s *session) *stream {
	st := &stream{Channel: c, session: s, from: confinedReader{from: c}}
	st.change.L = &st.mu
	st.unwatch = context.AfterFunc(s.client.ctx, st.abort)
	return st
}

// breakOff wakes a Read that waits for answers: the client has gone.
func (c *stream) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	c.change.Broadcast()
}

// Read never gives more than the rest of a packet, and its end only when it may
// be acted on.
func (c *stream) Read(p []byte) (int, error) {
	n, err := c.from.Read(p[:min(int64(len(p)), c.in.missing())])
	if n == 0 {
		return 0, err
	}
	c.session.touch()
	if !c.in.add(p[:n]) {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var first int64 // how many answers are to be there before pkg/sftp has this one
	transfer := false
	switch c.in.kind {
	case packetOpen, packetOpenDir:
		c.lastOpen = c.asked + 1
	case packetRead, packetWrite:
		first, transfer = c.lastOpen, true
	}
	if c.ordered && c.in.kind == packetWrite {
		first = c.asked
	}
	for c.mustWait(first) && !c.broken {
		c.change.Wait()
	}
	// A CLOSE of a client that hangs up at once counts all the same.
	if c.broken && (transfer || c.mustWait(first)) {
		return 0, io.ErrClosedPipe
	}
	cost := c.in.size + maxAnswer
	c.costs[c.asked%maxUnanswered] = cost
	c.unansweredBytes += cost
	c.asked++
	c.session.waiting.Add(1)
	return n, err
}

// inOrder has the WRITEs that follow come one at a time.
func (c *stream) orderWrites() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ordered = true
}

// behind reports whether answers have to go out before another request comes
// in: the first ones, or any. The caller holds c.mu.
func (c *stream) mustWait(first int64) bool {
	return c.answered < first || c.asked-c.answered >= maxUnanswered || c.unansweredBytes >= maxUnansweredBytes
}

// Write waits for the client to make room, at most Options.Idle.
func (c *stream) Write(p []byte) (int, error) {
	stalled := time.AfterFunc(c.session.server.options.Idle, func() { c.session.cut(EndStalled) })
	defer stalled.Stop()
	n, err := c.Channel.Write(p)
	c.session.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	for rest := p[:n]; len(rest) > 0; {
		k := min(int64(len(rest)), c.out.missing())
		if c.out.add(rest[:k]) && !c.forgotten {
			c.unansweredBytes -= c.costs[c.answered%maxUnanswered]
			c.answered++
			c.session.waiting.Add(-1)
		}
		rest = rest[k:]
	}
	c.broken = c.broken || err != nil
	c.change.Broadcast()
	c.session.changed()
	return n, err
}

// forget is called at the end: nobody waits for answers any more. pkg/sftp may
// still be writing some.
func (c *stream) forget() {
	c.unwatch()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.waiting.Add(c.answered - c.asked)
	c.forgotten = true
}

// packets follows the packets of one direction. Each begins with its length in
// four bytes and its kind in one (draft-ietf-secsh-filexfer-02, section 3).
type packetCounter struct {
	head [5]byte
	have int   // bytes of head
	rest int64 // bytes of the packet after its length that are to come
	kind byte  // of the packet that has just ended
	size int64 // of that packet, without its length
}

// missing is how many bytes may be added before the next decision: some of the
// length, or the rest of the packet. It is never 0.
func (p *packetCounter) missing() int64 {
	if p.have < 4 {
		return int64(4 - p.have)
	}
	return p.rest
}

// add takes at most missing bytes, and reports whether a packet ends with them.
// One of length 0 has no kind; pkg/sftp ends the session for it.
func (p *packetCounter) add(b []byte) (ended bool) {
	if p.have < 4 {
		p.have += copy(p.head[p.have:4], b)
		if p.have < 4 {
			return false
		}
		p.rest = int64(binary.BigEndian.Uint32(p.head[:]))
		p.size = p.rest
		p.head[4] = 0
	} else {
		if p.have == 4 && len(b) > 0 {
			p.head[4] = b[0]
			p.have = 5
		}
		p.rest -= int64(len(b))
	}
	if p.rest > 0 {
		return false
	}
	p.kind, p.have = p.head[4], 0
	return true
}
