package transfer

import (
	"context"
	"sync"
)

// grouped does for many callers at once what each asks for by itself: those who
// come while it is being done for others are the next group. A write to the
// ledger costs the same for one as for hundreds.
type grouped[In, Out any] struct {
	do   func(ctx context.Context, all []In) ([]Out, error)
	turn chan struct{} // of the group that is done

	mu   sync.Mutex
	next *group[In, Out] // those who wait for the turn; nil: nobody
}

type group[In, Out any] struct {
	asked []In
	done  chan struct{} // closed when what follows is set
	got   []Out
	err   error
}

// newGrouped takes what is done for a group: do answers with one Out for each
// In, in their order.
func newGrouped[In, Out any](do func(ctx context.Context, all []In) ([]Out, error)) *grouped[In, Out] {
	return &grouped[In, Out]{do: do, turn: make(chan struct{}, 1)}
}

// ask does it for one, with others. The first of a group does it for all: their
// contexts must end together, as those of a pass's copiers do.
func (g *grouped[In, Out]) ask(ctx context.Context, in In) (out Out, err error) {
	g.mu.Lock()
	first := g.next == nil
	if first {
		g.next = &group[In, Out]{done: make(chan struct{})}
	}
	mine := g.next
	at := len(mine.asked)
	mine.asked = append(mine.asked, in)
	g.mu.Unlock()
	if first {
		g.lead(ctx, mine)
	}
	<-mine.done
	if mine.err != nil {
		return out, mine.err
	}
	return mine.got[at], nil
}

// lead waits for the turn, closes the group to others, and does it.
func (g *grouped[In, Out]) lead(ctx context.Context, mine *group[In, Out]) {
	defer close(mine.done)
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		mine.err = context.Cause(ctx)
	}
	g.mu.Lock()
	g.next = nil
	g.mu.Unlock()
	if mine.err == nil {
		mine.got, mine.err = g.do(ctx, mine.asked)
	}
}
