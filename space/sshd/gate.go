package sshd

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// turn is how long someone who logs in has for it, at least, when others wait.
// A program needs a few round trips; people have longer when nobody waits.
const turn = 5 * time.Second

// lineLength is how many may wait for each one that may log in. They cost a
// socket each, and no work.
const lineLength = 4

// gate bounds how many connections log in at a time. Others wait in line. To
// turn them away would make them come again at once, and then it is chance who
// gets in; to drop those inside for them would let nobody finish.
//
// While somebody waits for a place, it is taken from one that has given a wrong
// password or had its turn; so neither guessers nor those that connect and do
// nothing keep others out for longer than a turn. Between addresses, who has
// fewest inside is let in first, and who has most inside makes room.
type gate struct {
	most, mostOfSource int

	mu     sync.Mutex
	inside []*visitor  // in the order in which they were let in
	line   []*visitor  // in the order in which they came
	timer  *time.Timer // for the end of a turn; nil if none is waited for
}

func newGate(most, mostOfSource int) *gate {
	return &gate{most: most, mostOfSource: mostOfSource}
}

// enter waits until v may log in. It gives false if v is cut before.
func (g *gate) enter(v *visitor) bool {
	g.mu.Lock()
	g.line = append(g.line, v)
	g.settle()
	if len(g.line) > lineLength*g.most {
		g.shorten()
	}
	g.mu.Unlock()
	select {
	case <-v.admitted:
		return true
	case <-v.ctx.Done():
		return false
	}
}

// leave forgets v, wherever it is; more than once does no harm.
func (g *gate) leave(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside, g.line = without(g.inside, v), without(g.line, v)
	g.settle()
}

// failed notes that v has given a wrong password.
func (g *gate) failed(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v.failed = true
	g.settle()
}

// settle lets in whom it can, and looks again when the next turn ends.
func (g *gate) settle() {
	of := count(g.inside)
	for g.admitOne(of) {
	}
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if len(g.line) == 0 {
		return
	}
	now := time.Now()
	for _, w := range g.inside { // the oldest of those whose turn it still is
		if !w.hadTurn(now) {
			g.timer = time.AfterFunc(w.since.Add(turn).Sub(now), func() {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.settle()
			})
			return
		}
	}
}

// admitOne lets one in, of those in line for whom there is or can be made room
// the one whose address has fewest inside.
func (g *gate) admitOne(of map[netip.Prefix]int) bool {
	now := time.Now()
	may := map[netip.Prefix]bool{} // there are few that can make room: it is found out once an address
	var first, victim *visitor
	for _, v := range g.line {
		if first != nil && of[v.source] >= of[first.source] {
			continue
		}
		if ok, known := may[v.source]; known && !ok {
			continue
		}
		w, ok := g.room(v.source, of, now)
		may[v.source] = ok
		if ok {
			first, victim = v, w
		}
	}
	if first == nil {
		return false
	}
	if victim != nil {
		of[victim.source]--
		g.inside = without(g.inside, victim)
		victim.drop()
	}
	of[first.source]++
	g.line = without(g.line, first)
	g.inside = append(g.inside, first)
	first.since = now
	close(first.admitted)
	return true
}

// room says whether one more of that address can be inside, and who has to go
// for it, nil for nobody.
func (g *gate) room(source netip.Prefix, of map[netip.Prefix]int, now time.Time) (victim *visitor, ok bool) {
	full := of[source] >= g.mostOfSource
	if !full && len(g.inside) < g.most {
		return nil, true
	}
	for _, w := range g.inside {
		switch {
		case !w.failed && !w.hadTurn(now), full && w.source != source, of[w.source] < of[source]:
		case victim == nil, of[w.source] > of[victim.source],
			of[w.source] == of[victim.source] && w.failed && !victim.failed:
			victim = w
		}
	}
	return victim, victim != nil
}

// shorten drops who came last, of the address that has most in line.
func (g *gate) shorten() {
	of := count(g.line)
	slices.Reverse(g.line)
	last := slices.MaxFunc(g.line, func(a, b *visitor) int { return of[a.source] - of[b.source] })
	slices.Reverse(g.line)
	g.line = without(g.line, last)
	last.drop()
}

func count(all []*visitor) map[netip.Prefix]int {
	of := map[netip.Prefix]int{}
	for _, v := range all {
		of[v.source]++
	}
	return of
}

func without(all []*visitor, v *visitor) []*visitor {
	if i := slices.Index(all, v); i >= 0 {
		return slices.Delete(all, i, i+1)
	}
	return all
}
