package sshd

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// turn is how long someone who logs in has for it, at least, when others wait.
// A program needs a few round trips; people have longer when nobody waits.
const loginTime = 5 * time.Second

// lineLength is how many may wait for each one that may log in. They cost a
// socket each, and no work.
const waitingPerActive = 4

// gate bounds how many connections log in at a time. Others wait in line. To
// turn them away would make them come again at once, and then it is chance who
// gets in; to drop those inside for them would let nobody finish.
//
// While somebody waits for a place, it is taken from one that has given a wrong
// password or had its turn; so neither guessers nor those that connect and do
// nothing keep others out for longer than a turn. Between addresses, who has
// fewest inside is let in first, and who has most inside makes room.
type loginQueue struct {
	maxActive, maxPerSource int

	mu      sync.Mutex
	active  []*client   // in the order in which they were let in
	waiting []*client   // in the order in which they came
	timer   *time.Timer // for the end of a turn; nil if none is waited for
}

func newLoginQueue(most, mostOfSource int) *loginQueue {
	return &loginQueue{maxActive: most, maxPerSource: mostOfSource}
}

// enter waits until v may log in. It gives false if v is cut before.
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

// leave forgets v, wherever it is; more than once does no harm.
func (q *loginQueue) remove(c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.active, q.waiting = without(q.active, c), without(q.waiting, c)
	q.schedule()
}

// failed notes that v has given a wrong password.
func (q *loginQueue) passwordFailed(c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.wrongPassword = true
	q.schedule()
}

// settle lets in whom it can, and looks again when the next turn ends.
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
	for _, w := range q.active { // the oldest of those whose turn it still is
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

// admitOne lets one in, of those in line for whom there is or can be made room
// the one whose address has fewest inside.
func (q *loginQueue) admitOne(of map[netip.Prefix]int) bool {
	now := time.Now()
	may := map[netip.Prefix]bool{} // there are few that can make room: it is found out once an address
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

// room says whether one more of that address can be inside, and who has to go
// for it, nil for nobody.
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

// shorten drops who came last, of the address that has most in line.
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
