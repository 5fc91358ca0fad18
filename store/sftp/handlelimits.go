package sftp

import (
	"sync"
	"sync/atomic"
)

// handleLimit is how many handles may be open on a connection, as far as refusals
// have shown. It may be less than that at times, where a host's users share it, so
// that one more is tried once in a while.
type handleLimit struct {
	n atomic.Int32 // 0: unknown

	mu     sync.Mutex
	full   int // how many were opened in a row with as many open as may be
	raises int // how often one more was tried
}

const (
	// raiseAfter is how many have to be opened at the limit before one more is
	// tried; it doubles with each time.
	raiseAfter = 200
	// maxRaises bounds that doubling.
	maxRaises = 8
)

// most is the limit; 0: none is known.
func (l *handleLimit) most() int { return int(l.n.Load()) }

// lower notes that one more was refused while n were open.
func (l *handleLimit) lower(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = 0
	lower(&l.n, n)
}

// passed notes that one more was opened, with which so many are.
func (l *handleLimit) passed(open int) {
	limit := l.most()
	if limit == 0 || open < limit {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full++; l.full >= raiseAfter<<min(l.raises, maxRaises) {
		l.full = 0
		l.raises++
		l.n.CompareAndSwap(int32(limit), int32(limit+1))
	}
}

// refusals is what was learnt of each status with which an OPEN was refused.
type refusals struct {
	mu sync.Mutex
	by [33]refusal // by the status; the last for all that no draft knows
}

type refusal struct {
	limiting bool // an OPEN was refused with it for the number of handles
	owned    int  // how often in a row it turned out to be the file's own
	skip     int  // how many are taken for that unseen
}

// maxSkip is how many refusals are taken for the files' own between two that are
// looked into, as a power of two.
const maxSkip = 10

func (r *refusals) of(code uint32) *refusal { return &r.by[min(int(code), len(r.by)-1)] }

// byNumber reports whether that status is known to be one of too many handles.
func (r *refusals) byNumber(code uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of(code).limiting
}

// suspect reports whether a refusal with that status is worth a look.
func (r *refusals) suspect(code uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(code)
	if s.skip > 0 {
		s.skip--
		return false
	}
	return true
}

// own notes that a refusal was the file's own.
func (r *refusals) own(code uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(code)
	s.owned++
	s.skip = 1 << min(s.owned, maxSkip)
}

// limit notes that a refusal was one of too many handles.
func (r *refusals) limit(code uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.of(code) = refusal{limiting: true}
}

// limitChannel remembers how many handles may be open on one channel.
func (l *Limits) limitChannel(n int) { lower(&l.channelHandles, max(1, n)) }

// handles is how many handles may be open, on the connection or on each channel,
// whichever is less; 0: no limit is known.
func (l *Limits) handles() int {
	all, each := l.openFiles.most(), int(l.channelHandles.Load())
	if all == 0 || each > 0 && each < all {
		return each
	}
	return all
}

// oneHandle reports whether a single handle is all there is.
func (l *Limits) oneHandle() bool { return l.handles() == 1 }

// fewHandles reports whether handles are known to be short.
func (l *Limits) fewHandles() bool { return l.handles() > 0 }

// manyHandles are so many that the end of a session may be due to them.
const manyHandles = 8

// diedWith notes that a server ended a session on which so many handles were open,
// and left the connection alone: what it dies of is met again with a quarter.
func (l *Limits) diedWith(n int) {
	if n >= manyHandles {
		l.limitChannel(n / 4)
	}
}
