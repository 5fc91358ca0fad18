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

// Set is all elements of the program. Its methods may be called concurrently.
type Set struct {
	parts  Parts
	ledger *ledger.Ledger

	mu       sync.RWMutex
	elements map[string]*Element
	running  context.Context // of the schedules; nil until Run
	runs     map[string]context.CancelFunc
	stopped  bool // there are to be no more elements
	group    sync.WaitGroup
}

// NewSet makes the elements of a configuration. They do nothing of their own
// accord until Run.
func NewSet(ctx context.Context, cfg *config.Config, parts Parts, l *ledger.Ledger) (*Set, error) {
	s := &Set{parts: parts, ledger: l, elements: map[string]*Element{}, runs: map[string]context.CancelFunc{}}
	made, err := s.build(ctx, cfg.Connectors)
	if err != nil {
		return nil, err
	}
	s.elements = made
	return s, nil
}

// build makes elements with what the ledger remembers of them.
func (s *Set) build(ctx context.Context, cfgs map[string]*config.Connector) (map[string]*Element, error) {
	memories, err := s.ledger.Connectors(ctx, slices.Collect(maps.Keys(cfgs)))
	if err != nil {
		return nil, err
	}
	made := make(map[string]*Element, len(cfgs))
	for name, cfg := range cfgs {
		m := memories[name]
		over, err := m.ScheduleOver(ctx, cfg.Sync.String())
		if err != nil {
			return nil, err
		}
		e, err := New(cfg, s.parts, m, over)
		if err != nil {
			return nil, err
		}
		made[name] = e
	}
	return made, nil
}

// Run lets every element start its automatic passes, until ctx ends; then it
// ends the passes under way and returns when all have ended.
func (s *Set) Run(ctx context.Context) {
	s.mu.Lock()
	s.running = ctx
	for _, e := range s.elements {
		s.launch(e)
	}
	s.mu.Unlock()
	s.watchClock(ctx)
	s.Stop()
}

// launch runs an element's schedule. The caller holds s.mu.
func (s *Set) launch(e *Element) {
	ctx, cancel := context.WithCancel(s.running)
	s.runs[e.Name()] = cancel
	s.group.Go(func() { e.run(ctx) })
}

// Stop ends all passes under way and waits for them.
func (s *Set) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	var stopping sync.WaitGroup
	for _, e := range s.All() {
		stopping.Go(e.stop)
	}
	stopping.Wait()
	s.group.Wait()
}

// Reload goes over to another configuration. Elements whose settings are the
// same are not touched; the others end their passes, and answer ErrStopped
// until the new ones take their places. When ctx ends before those passes do,
// they stay so. One Reload at a time is the caller's promise.
func (s *Set) Reload(ctx context.Context, cfg *config.Config) error {
	fresh := map[string]*config.Connector{}
	var gone []*Element
	s.mu.RLock()
	for name, c := range cfg.Connectors {
		if old := s.elements[name]; old == nil || old.isStopped() || !old.cfg.Equal(c) {
			fresh[name] = c
		}
	}
	for name, e := range s.elements {
		if c := cfg.Connectors[name]; c == nil || fresh[name] != nil {
			gone = append(gone, e)
		}
	}
	s.mu.RUnlock()
	made, err := s.build(ctx, fresh)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if err := s.retire(ctx, gone); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return fmt.Errorf("reload: %w", ErrStopped)
	}
	for _, e := range gone {
		if next := made[e.Name()]; next != nil {
			next.last = e.Report().Last // it came after next was made
		}
		delete(s.elements, e.Name())
	}
	for name, e := range made {
		s.elements[name] = e
		if s.running != nil {
			s.launch(e)
		}
	}
	return nil
}

// retire ends the schedules and the passes of elements, and waits for those. The
// elements stay in their places, so that Stop waits for them too.
func (s *Set) retire(ctx context.Context, gone []*Element) error {
	s.mu.Lock()
	for _, e := range gone {
		if cancel := s.runs[e.Name()]; cancel != nil {
			cancel()
			delete(s.runs, e.Name())
		}
	}
	s.mu.Unlock()
	var stopping sync.WaitGroup
	for _, e := range gone {
		stopping.Go(e.stop)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		stopping.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the passes of changed connectors: %w", context.Cause(ctx))
	}
}

// isStopped reports whether the element was stopped.
func (e *Element) isStopped() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopped
}

// ErrUnknown: there is no connector of that name.
var ErrUnknown = errors.New("no connector has this name")

// Get gives the element of that name, or ErrUnknown.
func (s *Set) Get(name string) (*Element, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.elements[name]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("connector %q: %w", name, ErrUnknown)
}

// All gives the elements in the order of their names.
func (s *Set) All() []*Element {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := slices.Collect(maps.Values(s.elements))
	slices.SortFunc(all, func(a, b *Element) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}

// Ready reports whether the schedules run.
func (s *Set) Ready() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.running != nil && s.running.Err() == nil
}
