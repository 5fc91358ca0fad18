package sftpd

import (
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// faults are those in force, with what they did so far.
type faults struct {
	mu       sync.Mutex
	active   []*active
	injected map[Kind]int
	random   *rand.Rand
}

// active is a fault in force. The mu of faults guards it.
type active struct {
	Fault
	met   int // operations that fitted
	fired int // times that it went wrong
}

func newFaults(seed uint64) *faults {
	return &faults{injected: map[Kind]int{}, random: rand.New(rand.NewPCG(seed, 0))}
}

// Inject replaces the faults in force by these, from the next request on. What is
// under way is not touched.
func (s *Server) Inject(list ...Fault) {
	f := s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = nil
	for _, one := range list {
		f.active = append(f.active, &active{Fault: one})
	}
}

// Injected is how often each kind went wrong since the server was made.
func (s *Server) Injected() map[Kind]int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return maps.Clone(s.faults.injected)
}

// pick gives how long an operation is delayed, and the first other fault that is
// due for it. It counts the delay, and not the fault; see count.
func (f *faults) pick(op Op, paths []string) (delay time.Duration, due *active) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.active {
		switch {
		case a.Kind == Attributes || due != nil && a.Kind != Delay || !a.due(op, paths):
		case a.Kind == Delay:
			f.injected[Delay]++
			delay += a.Delay
		default:
			due = a
		}
	}
	return delay, due
}

// due says whether the operation goes wrong, and takes one of the fault's times.
func (a *active) due(op Op, paths []string) bool {
	if !a.fits(op, paths) || a.Times > 0 && a.fired >= a.Times {
		return false
	}
	a.met++
	if a.Every > 1 && a.met%a.Every != 0 {
		return false
	}
	a.fired++
	return true
}

// count counts a fault that was due as injected, or gives it back if it could not be.
func (f *faults) count(a *active, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if done {
		f.injected[a.Kind]++
	} else {
		a.fired--
	}
}

// lies are those to be told for one look at a file.
func (f *faults) lies(op Op, name string) []Lie {
	f.mu.Lock()
	defer f.mu.Unlock()
	var told []Lie
	for _, a := range f.active {
		if a.Kind != Attributes || a.Lie.Random && f.random.IntN(2) == 0 || !a.due(op, []string{name}) {
			continue
		}
		f.injected[Attributes]++
		told = append(told, a.Lie)
	}
	return told
}

// below is a random number from 0 and below n, which is above 0.
func (f *faults) below(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n)
}
