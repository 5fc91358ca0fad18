package sshd

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// The types of SFTP packets that matter here (draft-ietf-secsh-filexfer-02, section 3).
const (
	packetOpen    = 3
	packetRead    = 5
	packetWrite   = 6
	packetOpenDir = 11
)

// What a client may request before it has the answers. pkg/sftp keeps each request
// until its answer is sent, and each answer until those before it are sent, without a
// bound of its own. One slow request would let both grow without an end. OpenSSH's sftp
// requests 64 blocks of 32 KiB at a time.
const (
	maxUnanswered      = 128
	maxUnansweredBytes = 4 << 20
)

// maxAnswer is the size of the largest answer to a request: that of a READ.
const maxAnswer = 32 << 10

// stream is the channel of one SFTP session as pkg/sftp sees it, which reads in one
// goroutine and writes in another. It counts the requests without an answer, accepts no
// more while there are too many, and does not wait for ever for a client that does not
// read.
//
// It holds a READ or WRITE back until every OPEN before it is answered. A client that
// waits for the handle does not notice. If a client guessed the handle, pkg/sftp would
// use the open file in one goroutine while another one still fills it in.
//
// pkg/sftp runs WRITEs side by side. If a file was opened for appending, their order
// decides where each belongs, so that they are passed on one at a time.
type stream struct {
	ssh.Channel
	session *session
	from    confinedReader
	in, out packetCounter // each used by one goroutine

	mu              sync.Mutex
	change          sync.Cond
	asked           int64                // requests that were passed to pkg/sftp
	answered        int64                // requests that are answered: pkg/sftp answers in the same order
	lastOpen        int64                // the value of asked at the last OPEN
	ordered         bool                 // a WRITE waits for the answers to all requests before it
	costs           [maxUnanswered]int64 // bytes of the requests without an answer; the n-th is at n % maxUnanswered
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

// abort wakes a Read that waits for answers, as the client is gone.
func (c *stream) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	c.change.Broadcast()
}

// Read gives no more than the rest of a packet. It gives the end of one only when
// pkg/sftp may act on the packet.
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
	var first int64 // how many answers are needed before this packet is passed on
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
	// A CLOSE counts even if the client disconnects at once.
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

// orderWrites passes later WRITEs on one at a time.
func (c *stream) orderWrites() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ordered = true
}

// mustWait reports whether answers have to go out before another request comes in: the
// first ones, or any. The caller holds c.mu.
func (c *stream) mustWait(first int64) bool {
	return c.answered < first || c.asked-c.answered >= maxUnanswered || c.unansweredBytes >= maxUnansweredBytes
}

// Write waits for the client to read, at most Options.Idle.
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

// forget is called at the end, when nobody waits for answers any more. pkg/sftp may
// still be writing some.
func (c *stream) forget() {
	c.unwatch()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.waiting.Add(c.answered - c.asked)
	c.forgotten = true
}

// packetCounter follows the packets of one direction. Each begins with its length in
// four bytes and its type in one (draft-ietf-secsh-filexfer-02, section 3).
type packetCounter struct {
	head [5]byte
	have int   // bytes of head
	rest int64 // remaining bytes of the packet, after its length
	kind byte  // the type of the last complete packet
	size int64 // the size of that packet, without its length
}

// missing is how many bytes may be added before the next decision: the rest of the
// length, or of the packet. It is never 0.
func (p *packetCounter) missing() int64 {
	if p.have < 4 {
		return int64(4 - p.have)
	}
	return p.rest
}

// add adds at most missing bytes, and reports whether a packet ends with them. A packet
// of length 0 has no type; pkg/sftp ends the session for it.
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
