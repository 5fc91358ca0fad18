package connector

import (
	"context"
	"sync"
)

// shared is something that passes side by side use together, a connection or a
// destination: opened by the first that needs it, closed by the last.
type shared[T comparable] struct {
	open  func(context.Context) (T, error)
	close func(T)

	turn chan struct{} // has room for one: who opens

	mu    sync.Mutex
	now   T // for whoever comes next; zero: none
	users map[T]int
}

func newShared[T comparable](open func(context.Context) (T, error), close func(T)) *shared[T] {
	return &shared[T]{open: open, close: close, turn: make(chan struct{}, 1), users: map[T]int{}}
}

// acquire gives what is open, or opens it. It has to be released.
func (s *shared[T]) acquire(ctx context.Context) (T, error) {
	var none T
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	if t, ok := s.join(); ok {
		return t, nil
	}
	t, err := s.open(ctx)
	if err != nil {
		return none, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.users[t] = t, 1
	return t, nil
}

// join gives what is open.
func (s *shared[T]) join() (t T, ok bool) {
	var none T
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == none {
		return none, false
	}
	s.users[s.now]++
	return s.now, true
}

// release takes it back. What is spent is given to nobody else.
func (s *shared[T]) release(t T, spent bool) {
	var none T
	s.mu.Lock()
	s.users[t]--
	last := s.users[t] == 0
	if last {
		delete(s.users, t)
	}
	if (last || spent) && s.now == t {
		s.now = none
	}
	s.mu.Unlock()
	if last {
		s.close(t)
	}
}
