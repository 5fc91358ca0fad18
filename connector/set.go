package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"sftpconnector/config"
	"sftpconnector/sync/ledger"
)

// Set is all connectors of the program. Its methods may be called concurrently.
type Set struct {
	parts  Parts
	ledger *ledger.Ledger

	mu         sync.RWMutex
	connectors map[string]*Connector
	running    context.Context // of the schedules; nil until Run
	runs       map[string]context.CancelFunc
	retiring   map[string]*retirement
	stopped    bool // there are to be no more connectors
	group      sync.WaitGroup
}

// NewSet makes the connectors of a configuration. They do nothing of their own
// accord until Run.
func NewSet(ctx context.Context, cfg *config.Config, parts Parts, l *ledger.Ledger) (*Set, error) {
	s := &Set{parts: parts, ledger: l, connectors: map[string]*Connector{}, runs: map[string]context.CancelFunc{}, retiring: map[string]*retirement{}}
	made, err := s.build(ctx, cfg.Connectors)
	if err != nil {
		return nil, err
	}
	s.connectors = made
	return s, nil
}

// build makes connectors with what the ledger remembers of them.
func (s *Set) build(ctx context.Context, cfgs map[string]*config.Connector) (map[string]*Connector, error) {
	memories, err := s.ledger.Connectors(ctx, slices.Collect(maps.Keys(cfgs)))
	if err != nil {
		return nil, err
	}
	made := make(map[string]*Connector, len(cfgs))
	for name, cfg := range cfgs {
		m := memories[name]
		over, err := m.ScheduleOver(ctx, cfg.Sync.String())
		if err != nil {
			return nil, err
		}
		c, err := New(cfg, s.parts, m, over)
		if err != nil {
			return nil, err
		}
		made[name] = c
	}
	return made, nil
}

// Run lets every connector start its automatic passes, until ctx ends; then it
// ends the passes under way and returns when all have ended.
func (s *Set) Run(ctx context.Context) {
	clock := s.readClocks() // before the connectors plan by it
	s.mu.Lock()
	s.running = ctx
	for _, c := range s.connectors {
		s.launch(c)
	}
	s.mu.Unlock()
	s.watchClock(ctx, clock)
	s.Stop()
}

// launch runs a connector's schedule. The clock may have been set since the connector was
// made. The caller holds s.mu.
func (s *Set) launch(c *Connector) {
	c.planner.stepped(s.parts.now())
	ctx, cancel := context.WithCancel(s.running)
	s.runs[c.Name()] = cancel
	s.group.Go(func() { c.followSchedule(ctx) })
}

// Stop ends all passes under way and waits for them.
func (s *Set) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	var stopping sync.WaitGroup
	for _, c := range s.All() {
		stopping.Go(c.stop)
	}
	stopping.Wait()
	s.group.Wait()
}

// Reload goes over to another configuration. Connectors whose settings are the same are
// not touched. The others end their passes, and answer ErrStopped until the new ones take
// their places: each as soon as its own passes have ended, also after Reload has returned
// because ctx ended. late names those for which that is still to come.
func (s *Set) Reload(ctx context.Context, cfg *config.Config) (late []string, err error) {
	fresh, gone := s.changes(cfg)
	made, err := s.build(ctx, fresh)
	if err != nil {
		return nil, fmt.Errorf("reload: %w", err)
	}
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nil, fmt.Errorf("reload: %w", ErrStopped)
	}
	replaced := map[string]<-chan struct{}{}
	for _, name := range gone {
		replaced[name] = s.replace(name, made[name])
		delete(made, name)
	}
	for _, c := range made {
		s.put(c)
	}
	s.mu.Unlock()
	for name, done := range replaced {
		select {
		case <-done:
			continue
		default:
		}
		select {
		case <-done:
		case <-ctx.Done():
			late = append(late, name)
		}
	}
	slices.Sort(late)
	return late, nil
}

// changes gives the connectors that are new or have other settings, and the names of
// connectors that have to go.
func (s *Set) changes(cfg *config.Config) (fresh map[string]*config.Connector, gone []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	fresh = map[string]*config.Connector{}
	for name, own := range cfg.Connectors {
		if c := s.latest(name); c == nil || !c.cfg.Equal(own) {
			fresh[name] = own
		}
	}
	for name := range s.connectors {
		if cfg.Connectors[name] == nil || fresh[name] != nil {
			gone = append(gone, name)
		}
	}
	return fresh, gone
}

// latest gives the connector of that name, or the one that is about to take its place. The
// caller holds s.mu.
func (s *Set) latest(name string) *Connector {
	if r := s.retiring[name]; r != nil {
		return r.next
	}
	return s.connectors[name]
}

// retirement is the end of a connector, whose passes are ending.
type retirement struct {
	next *Connector    // what takes its place; nil for nothing
	done chan struct{} // closed when it has
}

// replace ends the schedule and the passes of a connector, and puts next in its place when
// they have ended. The connector stays there until then, so that Stop waits for it too. done
// is closed afterwards. The caller holds s.mu.
func (s *Set) replace(name string, next *Connector) (done <-chan struct{}) {
	if r := s.retiring[name]; r != nil {
		r.next = next
		return r.done
	}
	r := &retirement{next: next, done: make(chan struct{})}
	s.retiring[name] = r
	if cancel := s.runs[name]; cancel != nil {
		cancel()
		delete(s.runs, name)
	}
	old := s.connectors[name]
	s.group.Go(func() {
		defer close(r.done)
		old.stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.retiring, name)
		if s.stopped {
			return
		}
		delete(s.connectors, name)
		if r.next != nil {
			r.next.inherit(old) // what came after next was made
			s.put(r.next)
		}
	})
	return r.done
}

// put takes a connector in, and runs its schedule if the others run. The caller holds s.mu.
func (s *Set) put(c *Connector) {
	s.connectors[c.Name()] = c
	if s.running != nil {
		s.launch(c)
	}
}

// ErrUnknown: there is no connector of that name.
var ErrUnknown = errors.New("no connector has this name")

// Get gives the connector of that name, or ErrUnknown.
func (s *Set) Get(name string) (*Connector, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c := s.connectors[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("connector %q: %w", name, ErrUnknown)
}

// All gives the connectors in the order of their names.
func (s *Set) All() []*Connector {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := slices.Collect(maps.Values(s.connectors))
	slices.SortFunc(all, func(a, b *Connector) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}

// Ready reports whether the schedules run.
func (s *Set) Ready() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.running != nil && s.running.Err() == nil
}
