package sftp

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"sftpconnector/store/sftp/wire"
)

// handleLimit is how many handles may be open on a connection, as far as refusals
// have shown. Where a host's users share what it takes, it may be more at other
// times, so that more are tried once in a while.
type handleLimit struct {
	value atomic.Int32 // 0: unknown

	mu            sync.Mutex
	openedAtLimit int  // how many were opened in a row with as many open as may be
	probing       bool // more are being tried
	failedProbes  int  // how often in a row that was in vain
}

const (
	// raiseAfter is how many have to be opened at the limit before more are tried;
	// it doubles each time that this is in vain, so often at most.
	probeAfter      = 50
	maxFailedProbes = 8
	// noLimit is more than is ever open: one that is higher is none.
	noLimit = 512
)

// most is the limit; 0: none is known.
func (l *handleLimit) limit() int { return int(l.value.Load()) }

// lower notes that one more was refused while n were open.
func (l *handleLimit) lower(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.probing {
		l.failedProbes = min(l.failedProbes+1, maxFailedProbes)
	}
	l.openedAtLimit, l.probing = 0, false
	lower(&l.value, n)
}

// passed notes that one more was opened, with which so many are.
func (l *handleLimit) noteOpened(open int) {
	if limit := l.limit(); limit == 0 || open < limit {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.openedAtLimit++; l.openedAtLimit < probeAfter<<l.failedProbes {
		return
	}
	if l.probing {
		l.failedProbes = 0
	}
	l.openedAtLimit, l.probing = 0, true
	if n := l.value.Add(max(1, l.value.Load()/2)); n > noLimit {
		l.value.Store(0)
	}
}

// refusals is what was learnt of each status with which an OPEN was refused.
type refusalStats struct {
	generation atomic.Int32 // how often something was noted of a status being a limit's

	mu       sync.Mutex
	peak     int              // the most handles that ever were open
	byStatus [33]statusRecord // by the status; the last for all that no draft knows
}

type statusRecord struct {
	tooMany  bool // an OPEN was refused with it for the number of handles
	seenAt   int  // the news that one may have been; 0: none
	first    openRefusal
	ownCount int // how often in a row it turned out to be the file's own
	skip     int // how many are taken for that unseen
}

const (
	// maxSkip is how many refusals are taken for the files' own between two that
	// are looked into, as a power of two.
	maxSkipShift = 10
	// atThePeak is how often in a row a refusal may turn out to be the file's own
	// until one with as many handles open as never before is looked into no more
	// than any other.
	maxTriesAtPeak = 64
)

func (r *refusalStats) status(code uint32) *statusRecord {
	return &r.byStatus[min(int(code), len(r.byStatus)-1)]
}

// noted is how often something was noted of a status being a limit's.
func (r *refusalStats) changes() int { return int(r.generation.Load()) }

// opened notes what is open beside one more.
func (r *refusalStats) handleOpened(others handleCounts, dir bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peak = max(r.peak, others.open+1)
	for i := range r.byStatus {
		if s := &r.byStatus[i]; s.seenAt > 0 && s.first.disprovedBy(others, dir) {
			s.seenAt = 0
		}
	}
}

// byNumber reports whether that status is known to be one of too many handles.
func (r *refusalStats) meansTooMany(code uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status(code).tooMany
}

// byOthers reports whether that status may tell of the handles of others: it is
// known to be one of too many, and was the last time.
func (r *refusalStats) maybeOthers(code uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status(code)
	return s.tooMany && s.ownCount == 0
}

// suspect reports whether a refusal with that status is worth a look, where so many
// handles were open beside it.
func (r *refusalStats) worthRetrying(code uint32, open int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status(code)
	switch {
	case s.ownCount == 0, s.ownCount < maxTriesAtPeak && open >= r.peak:
		return true
	case s.skip > 0:
		s.skip--
		return false
	}
	s.skip = 1 << min(s.ownCount, maxSkipShift)
	return true
}

// own notes that a refusal was the file's own.
func (r *refusalStats) notLimit(code uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status(code)
	s.ownCount++
	s.skip = 1 << min(s.ownCount, maxSkipShift)
}

// limit notes that what was refused works with less open, and reports whether it was
// for the number of handles. Something else that is over by now would look the same:
// that is believed when it happens again to an OPEN that was sent later.
func (r *refusalStats) learnLimit(was openRefusal) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status(was.code)
	switch {
	case s.tooMany:
		*s = statusRecord{tooMany: true}
		return true
	case s.seenAt == 0:
		*s = statusRecord{seenAt: int(r.generation.Add(1)), first: was}
		return false
	case was.changes < s.seenAt:
		return false
	}
	r.generation.Add(1)
	*s = statusRecord{tooMany: true}
	return true
}

// limited notes that what was refused works with less open.
func (l *Limits) refusedByLimit(was openRefusal) {
	if l.refusals.learnLimit(was) {
		l.openFiles.lower(max(1, was.counts.open))
	}
}

// limitChannel remembers how many handles may be open on one channel.
func (l *Limits) setChannelHandles(n int) { lower(&l.channelHandles, max(1, n)) }

// handles is how many handles may be open, on the connection or on each channel,
// whichever is less; 0: no limit is known.
func (l *Limits) handles() int {
	all, each := l.openFiles.limit(), int(l.channelHandles.Load())
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
const manyHandles = 2

// handlesOf is how many handles are open on a session, or were when it ended. Those
// that are being opened count if hardly another is: the answers may have been lost.
func openHandles(s *wire.Session) int {
	open, opening := s.InUse()
	if open < manyHandles {
		open += opening
	}
	return open
}

// diedWith notes that a server ended a session on which so many handles were open,
// and left the connection alone: what it dies of is met again with a quarter.
func (l *Limits) channelDied(n int) {
	if n >= manyHandles {
		l.setChannelHandles(max(1, n/4))
	}
}

// lostWith notes that the whole connection was lost while so many handles were open
// on a channel. Chance, once; from the second time in a row on, it may be due to them.
func (l *Limits) connectionLost(n int) {
	if l.lostWithHandles.Add(1) > 1 {
		l.channelDied(n)
	}
}

// losesHandles reports whether a server says of a handle that is open that it is
// none, while many are. That is what some do before they die of their number: fewer
// are open from now on.
func (s *session) rejectsOpenHandle(err error) bool {
	e, ok := errors.AsType[*wire.StatusError](err)
	if !ok {
		return false
	}
	text := strings.ToLower(e.Message) // such as "invalid directory handle"
	if e.Code != wire.CodeInvalidHandle && !(strings.HasPrefix(text, "invalid ") && strings.HasSuffix(text, " handle")) {
		return false
	}
	n := 0
	for _, ch := range s.pool.all() {
		n = max(n, openHandles(ch.wire().session))
	}
	if n < manyHandles {
		return false
	}
	s.limits.channelDied(n)
	for _, ch := range s.pool.all() {
		ch.wire().session.LimitHandles(int(s.limits.channelHandles.Load()))
	}
	return true
}
