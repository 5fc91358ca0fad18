package sshd

import (
	"net/netip"
	"slices"
	"sync"
)

// gate bounds how many connections are not yet logged in. It never turns the
// new one away, as those who are there may stay for minutes and do nothing:
// it drops another. To drop the oldest is fair to whoever logs in without
// delay, and one that has given a wrong password goes before those that have
// not, so that a flood of these pushes itself out and not a right one.
type gate struct {
	most, mostOfSource int

	mu   sync.Mutex
	here []*visitor // in the order in which they came
}

func newGate(most, mostOfSource int) *gate {
	return &gate{most: most, mostOfSource: mostOfSource}
}

// enter lets v in and drops another if there are too many.
func (g *gate) enter(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	of := map[netip.Prefix]int{}
	for _, w := range g.here {
		of[w.source]++
	}
	if of[v.source] >= g.mostOfSource {
		g.drop(func(w *visitor) int {
			if w.source != v.source {
				return -1
			}
			return 0
		})
	} else if len(g.here) >= g.most {
		g.drop(func(w *visitor) int { return of[w.source] })
	}
	g.here = append(g.here, v)
}

// drop cuts the one with the highest rank: of these, one that has failed, and
// of these, the oldest.
func (g *gate) drop(rank func(*visitor) int) {
	worst := slices.MaxFunc(g.here, func(a, b *visitor) int { // the first of the greatest
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return failedFirst(a) - failedFirst(b)
	})
	worst.drop()
	g.remove(worst)
}

func failedFirst(v *visitor) int {
	if v.failed.Load() {
		return 1
	}
	return 0
}

// leave forgets v; more than once does no harm.
func (g *gate) leave(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(v)
}

func (g *gate) remove(v *visitor) {
	if i := slices.Index(g.here, v); i >= 0 {
		g.here = slices.Delete(g.here, i, i+1)
	}
}
