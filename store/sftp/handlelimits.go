package sftp

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"sftpconnector/store/sftp/wire"
)

// handleLimit is how many handles may be open on a connection, as far as refusals have
// shown. Other users of the host may share the server's limit, so that more may be
// allowed at another time. So more are tried once in a while.
type handleLimit struct {
	value atomic.Int32 // 0: unknown
	shown atomic.Int32 // the value without a trial of a higher one

	mu            sync.Mutex
	openedAtLimit int  // how many were opened in a row with the limit reached
	probing       bool // a higher limit is being tried
	failedProbes  int  // how often in a row that failed
}

const (
	// probeAfter is how many files are opened at the limit before a higher one is
	// tried. It doubles with each of at most maxFailedProbes failures.
	probeAfter      = 50
	maxFailedProbes = 8
	// noLimit is more than is ever open. A higher limit is none.
	noLimit = 512
)

// limit is the limit; 0: none is known.
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
	l.shown.Store(l.value.Load())
}

// noteOpened notes that one more was opened, and that so many are open now.
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
		l.shown.Store(l.value.Load())
	}
	l.openedAtLimit, l.probing = 0, true
	if n := l.value.Add(max(1, l.value.Load()/2)); n > noLimit {
		l.value.Store(0)
		l.shown.Store(0)
	}
}

// refusalStats is what was learnt of each status that an OPEN was refused with.
type refusalStats struct {
	generation atomic.Int32 // how often a status was noted as one of a limit

	mu       sync.Mutex
	peak     int              // the most handles that were ever open
	byStatus [33]statusRecord // by status; the last is for all that no draft knows
}

type statusRecord struct {
	tooMany  bool // it is known to mean too many handles
	seenAt   int  // the generation in which it first seemed to mean that; 0: it did not
	first    openRefusal
	ownCount int // how often in a row it did not mean that
	skip     int // how many further refusals are not looked into
}

const (
	// maxSkipShift bounds how many refusals are not looked into between two that are,
	// as a power of two.
	maxSkipShift = 10
	// maxTriesAtPeak is how often in a row a refusal may turn out to be the file's own
	// until refusals with more open handles than ever before are treated like any
	// other.
	maxTriesAtPeak = 64
)

func (r *refusalStats) status(code uint32) *statusRecord {
	return &r.byStatus[min(int(code), len(r.byStatus)-1)]
}

// changes is how often a status was noted as one of a limit.
func (r *refusalStats) changes() int { return int(r.generation.Load()) }

// handleOpened notes that one more was opened, and what was open beside it.
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

// meansTooMany reports whether a status is known to mean too many handles.
func (r *refusalStats) meansTooMany(code uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status(code).tooMany
}

// maybeOthers reports whether a status may tell of the handles of other clients: it is
// known to mean too many, and did so the last time.
func (r *refusalStats) maybeOthers(code uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status(code)
	return s.tooMany && s.ownCount == 0
}

// worthRetrying reports whether a refusal with that status, beside so many open
// handles, is to be looked into.
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

// notLimit notes that a refusal was the file's own.
func (r *refusalStats) notLimit(code uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status(code)
	s.ownCount++
	s.skip = 1 << min(s.ownCount, maxSkipShift)
}

// learnLimit notes that a refused OPEN worked with fewer handles open, and reports
// whether their number was the reason. Something else that is over by now would look
// the same. So the number is believed to be the reason when it happens again to an OPEN
// that was sent later.
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

// refusedByLimit notes that a refused OPEN worked with fewer handles open.
func (l *Limits) refusedByLimit(was openRefusal) {
	if l.refusals.learnLimit(was) {
		l.openFiles.lower(max(1, was.counts.open))
	}
}

// setChannelHandles remembers how many handles may be open on one channel.
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

// oneHandle reports whether only a single handle may be open.
func (l *Limits) oneHandle() bool { return l.handles() == 1 }

// fewHandles reports whether a limit is known.
func (l *Limits) fewHandles() bool { return l.handles() > 0 }

// manyHandles is a number of handles that a session may have ended because of.
const manyHandles = 2

// openHandles is how many handles are open on a session, or were when it ended. Handles
// that are being opened count if hardly another is open, as their answers may have been
// lost.
func openHandles(s *wire.Session) int {
	open, opening := s.InUse()
	if open < manyHandles {
		open += opening
	}
	return open
}

// channelDied notes that a server ended a session on which so many handles were open,
// and left the connection alone. From now on a quarter of them is used.
func (l *Limits) channelDied(n int) {
	if n >= manyHandles {
		l.setChannelHandles(max(1, n/4))
	}
}

// connectionLost notes that the whole connection was lost while so many handles were
// open on a channel. Once, that is chance. From the second time in a row on, the
// handles may be the reason.
func (l *Limits) connectionLost(n int) {
	if l.lostWithHandles.Add(1) > 1 {
		l.channelDied(n)
	}
}

// rejectsOpenHandle reports whether a server calls an open handle invalid while many
// are open. Some servers do so before they die of their number. Fewer are opened from
// now on.
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
