package sshd

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// loginTime is how long a client may take to log in, at least, when others wait. A
// program needs a few round trips. People have longer when nobody waits.
const loginTime = 5 * time.Second

// waitingPerActive is how many clients may wait for each one that may log in. They cost
// a socket each, and no work.
const waitingPerActive = 4

// loginQueue bounds how many clients log in at a time. Others wait. If they were
// refused, they would come again at once, and chance would decide who gets in. If
// active ones were dropped for them, nobody would finish.
//
// While a client waits, it takes the place of an active one that has given a wrong
// password or had its loginTime. So neither guessers nor silent clients keep others out
// for longer than that. The address with the fewest active clients is admitted first,
// and the one with the most makes room.
type loginQueue struct {
	maxActive, maxPerSource int

	mu      sync.Mutex
	active  []*client   // in the order in which they were admitted
	waiting []*client   // in the order in which they came
	timer   *time.Timer // for the next end of a loginTime; nil if nobody waits
}

func newLoginQueue(most, mostOfSource int) *loginQueue {
	return &loginQueue{maxActive: most, maxPerSource: mostOfSource}
}

// wait waits until c may log in. It is false if c is disconnected before.
func (q *loginQueue) wait(c *client) bool {
	q.mu.Lock()
	q.waiting = append(q.waiting, c)
	q.schedule()
	if len(q.waiting) > waitingPerActive*q.maxActive {
		q.dropWaiting()
	}
	q.mu.Unlock()
	select {
	case <-c.admitted:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// remove forgets c, wherever it is. It may be called more than once.
func (q *loginQueue) remove(c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.active, q.waiting = without(q.active, c), without(q.waiting, c)
	q.schedule()
}

// passwordFailed notes that c has given a wrong password.
func (q *loginQueue) passwordFailed(c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.wrongPassword = true
	q.schedule()
}

// schedule admits as many clients as it can, and runs again when the next loginTime
// ends. The caller holds q.mu.
func (q *loginQueue) schedule() {
	of := countBySource(q.active)
	for q.admitOne(of) {
	}
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	if len(q.waiting) == 0 {
		return
	}
	now := time.Now()
	for _, w := range q.active { // the oldest client that still has time
		if !w.hadLoginTime(now) {
			q.timer = time.AfterFunc(w.admittedAt.Add(loginTime).Sub(now), func() {
				q.mu.Lock()
				defer q.mu.Unlock()
				q.schedule()
			})
			return
		}
	}
}

// admitOne admits one client: of those that have or can be given room, the one whose
// address has the fewest active clients.
func (q *loginQueue) admitOne(of map[netip.Prefix]int) bool {
	now := time.Now()
	may := map[netip.Prefix]bool{} // the answer is the same for all clients of an address
	var first, victim *client
	for _, c := range q.waiting {
		if first != nil && of[c.source] >= of[first.source] {
			continue
		}
		if ok, known := may[c.source]; known && !ok {
			continue
		}
		w, ok := q.makeRoom(c.source, of, now)
		may[c.source] = ok
		if ok {
			first, victim = c, w
		}
	}
	if first == nil {
		return false
	}
	if victim != nil {
		of[victim.source]--
		q.active = without(q.active, victim)
		victim.drop()
	}
	of[first.source]++
	q.waiting = without(q.waiting, first)
	q.active = append(q.active, first)
	first.admittedAt = now
	close(first.admitted)
	return true
}

// makeRoom reports whether one more client of that address can be active, and which one
// has to go for it; nil: none.
func (q *loginQueue) makeRoom(source netip.Prefix, of map[netip.Prefix]int, now time.Time) (victim *client, ok bool) {
	full := of[source] >= q.maxPerSource
	if !full && len(q.active) < q.maxActive {
		return nil, true
	}
	for _, w := range q.active {
		switch {
		case !w.wrongPassword && !w.hadLoginTime(now), full && w.source != source, of[w.source] < of[source]:
		case victim == nil, of[w.source] > of[victim.source],
			of[w.source] == of[victim.source] && w.wrongPassword && !victim.wrongPassword:
			victim = w
		}
	}
	return victim, victim != nil
}

// dropWaiting drops the last client of the address that has the most waiting.
func (q *loginQueue) dropWaiting() {
	of := countBySource(q.waiting)
	slices.Reverse(q.waiting)
	last := slices.MaxFunc(q.waiting, func(a, b *client) int { return of[a.source] - of[b.source] })
	slices.Reverse(q.waiting)
	q.waiting = without(q.waiting, last)
	last.drop()
}

func countBySource(all []*client) map[netip.Prefix]int {
	of := map[netip.Prefix]int{}
	for _, c := range all {
		of[c.source]++
	}
	return of
}

func without(all []*client, c *client) []*client {
	if i := slices.Index(all, c); i >= 0 {
		return slices.Delete(all, i, i+1)
	}
	return all
}
