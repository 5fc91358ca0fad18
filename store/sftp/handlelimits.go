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
	n atomic.Int32 // 0: unknown

	mu     sync.Mutex
	full   int  // how many were opened in a row with as many open as may be
	raised bool // more are being tried
	vain   int  // how often in a row that was in vain
}

const (
	// raiseAfter is how many have to be opened at the limit before more are tried;
	// it doubles each time that this is in vain, so often at most.
	raiseAfter = 50
	maxVain    = 8
	// noLimit is more than is ever open: one that is higher is none.
	noLimit = 512
)

// most is the limit; 0: none is known.
func (l *handleLimit) most() int { return int(l.n.Load()) }

// lower notes that one more was refused while n were open.
func (l *handleLimit) lower(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raised {
		l.vain = min(l.vain+1, maxVain)
	}
	l.full, l.raised = 0, false
	lower(&l.n, n)
}

// passed notes that one more was opened, with which so many are.
func (l *handleLimit) passed(open int) {
	if limit := l.most(); limit == 0 || open < limit {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full++; l.full < raiseAfter<<l.vain {
		return
	}
	if l.raised {
		l.vain = 0
	}
	l.full, l.raised = 0, true
	if n := l.n.Add(max(1, l.n.Load()/2)); n > noLimit {
		l.n.Store(0)
	}
}

// refusals is what was learnt of each status with which an OPEN was refused.
type refusals struct {
	news atomic.Int32 // how often something was noted of a status being a limit's

	mu   sync.Mutex
	peak int         // the most handles that ever were open
	by   [33]refusal // by the status; the last for all that no draft knows
}

type refusal struct {
	limiting bool // an OPEN was refused with it for the number of handles
	once     int  // the news that one may have been; 0: none
	first    refused
	owned    int // how often in a row it turned out to be the file's own
	skip     int // how many are taken for that unseen
}

const (
	// maxSkip is how many refusals are taken for the files' own between two that
	// are looked into, as a power of two.
	maxSkip = 10
	// atThePeak is how often in a row a refusal may turn out to be the file's own
	// until one with as many handles open as never before is looked into no more
	// than any other.
	atThePeak = 64
)

func (r *refusals) of(code uint32) *refusal { return &r.by[min(int(code), len(r.by)-1)] }

// noted is how often something was noted of a status being a limit's.
func (r *refusals) noted() int { return int(r.news.Load()) }

// opened notes what is open beside one more.
func (r *refusals) opened(beside turn, dir bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peak = max(r.peak, beside.opened+1)
	for i := range r.by {
		if s := &r.by[i]; s.once > 0 && s.first.refuted(beside, dir) {
			s.once = 0
		}
	}
}

// byNumber reports whether that status is known to be one of too many handles.
func (r *refusals) byNumber(code uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of(code).limiting
}

// byOthers reports whether that status may tell of the handles of others: it is
// known to be one of too many, and was the last time.
func (r *refusals) byOthers(code uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(code)
	return s.limiting && s.owned == 0
}

// suspect reports whether a refusal with that status is worth a look, where so many
// handles were open beside it.
func (r *refusals) suspect(code uint32, open int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(code)
	switch {
	case s.owned == 0, s.owned < atThePeak && open >= r.peak:
		return true
	case s.skip > 0:
		s.skip--
		return false
	}
	s.skip = 1 << min(s.owned, maxSkip)
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

// limit notes that what was refused works with less open, and reports whether it was
// for the number of handles. Something else that is over by now would look the same:
// that is believed when it happens again to an OPEN that was sent later.
func (r *refusals) limit(was refused) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(was.code)
	switch {
	case s.limiting:
		*s = refusal{limiting: true}
		return true
	case s.once == 0:
		*s = refusal{once: int(r.news.Add(1)), first: was}
		return false
	case was.noted < s.once:
		return false
	}
	r.news.Add(1)
	*s = refusal{limiting: true}
	return true
}

// limited notes that what was refused works with less open.
func (l *Limits) limited(was refused) {
	if l.refusals.limit(was) {
		l.openFiles.lower(max(1, was.beside.opened))
	}
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
const manyHandles = 2

// handlesOf is how many handles are open on a session, or were when it ended. Those
// that are being opened count if hardly another is: the answers may have been lost.
func handlesOf(s *wire.Session) int {
	open, opening := s.InUse()
	if open < manyHandles {
		open += opening
	}
	return open
}

// diedWith notes that a server ended a session on which so many handles were open,
// and left the connection alone: what it dies of is met again with a quarter.
func (l *Limits) diedWith(n int) {
	if n >= manyHandles {
		l.limitChannel(max(1, n/4))
	}
}

// lostWith notes that the whole connection was lost while so many handles were open
// on a channel. Chance, once; from the second time in a row on, it may be due to them.
func (l *Limits) lostWith(n int) {
	if l.lostBusy.Add(1) > 1 {
		l.diedWith(n)
	}
}

// losesHandles reports whether a server says of a handle that is open that it is
// none, while many are. That is what some do before they die of their number: fewer
// are open from now on.
func (s *session) losesHandles(err error) bool {
	e, ok := errors.AsType[*wire.StatusError](err)
	if !ok {
		return false
	}
	text := strings.ToLower(e.Message) // such as "invalid directory handle"
	if e.Code != wire.CodeInvalidHandle && !(strings.HasPrefix(text, "invalid ") && strings.HasSuffix(text, " handle")) {
		return false
	}
	n := 0
	for _, l := range s.pool.all() {
		n = max(n, handlesOf(l.wire().session))
	}
	if n < manyHandles {
		return false
	}
	s.limits.diedWith(n)
	for _, l := range s.pool.all() {
		l.wire().session.LimitHandles(int(s.limits.channelHandles.Load()))
	}
	return true
}
