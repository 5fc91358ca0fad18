package transfer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// Those who come while it is done for others are the next group, each with an
// answer of its own; an error is that of one group.
func TestGrouped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 100
		var groups []int
		goOn := make(chan struct{})
		odd := errors.New("of the second group")
		g := newGrouped(func(_ context.Context, all []int) ([]int, error) {
			groups = append(groups, len(all))
			switch len(groups) {
			case 1:
				<-goOn
			case 2:
				return nil, odd
			}
			answers := slices.Clone(all)
			for i := range answers {
				answers[i] *= 2
			}
			return answers, nil
		})
		var all sync.WaitGroup
		ask := func(ctx context.Context, n int, want error) {
			all.Go(func() {
				if got, err := g.ask(ctx, n); !errors.Is(err, want) || err == nil && got != 2*n {
					t.Errorf("%d is answered with %d, %v", n, got, err)
				}
			})
		}
		ask(t.Context(), 1000, nil)
		synctest.Wait()
		// Those who do not wait for the turn any more are nobody's group.
		ctx, cancel := context.WithCancel(t.Context())
		for n := range callers {
			ask(ctx, n, context.Canceled)
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		for n := range callers {
			ask(t.Context(), n, odd)
		}
		synctest.Wait()
		close(goOn)
		all.Wait()
		ask(t.Context(), 1001, nil)
		all.Wait()
		if !slices.Equal(groups, []int{1, callers, 1}) {
			t.Errorf("groups of %v", groups)
		}
	})
}
