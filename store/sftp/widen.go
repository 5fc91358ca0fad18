package sftp

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// largeFile is the size from which on one file may use more than one channel.
	largeFile = 8 << 20
	// rateInterval is how long the rate of a large copy is measured before channels are
	// added.
	rateInterval = 120 * time.Millisecond
	// measurements is how often: machines and networks stutter.
	measurements = 3
	// worthwhile is the gain in rate by which added channels pay.
	worthwhile = 1.15
)

// copies counts the large files that are being copied.
type copies struct{ n atomic.Int32 }

// widen multiplies the channels of a copy while the rate grows with them. Where a round
// trip takes longer than a window, it adds the first ones without measuring. to adds
// channels up to a number, and gives how many it added.
func (s *session) widen(ctx context.Context, b *blocks, to func(channels int) (joined int)) {
	channels, best := 1, 0.0
	most := func() int { return maxChannels / int(max(1, s.copies.n.Load())) } // large files share the channels
	if s.limits.far() {
		channels += to(min(int(b.left()/(4*window)), most()))
		if _, ok := measure(ctx, b); !ok { // until the new channels are in use
			return
		}
	}
	for {
		rate, ok := measure(ctx, b)
		for again := 1; ok && rate < best*worthwhile && again < measurements; again++ {
			rate, ok = measure(ctx, b)
		}
		if !ok || rate < best*worthwhile {
			return
		}
		best = rate
		joined := to(min(4*channels, most()))
		if joined == 0 {
			return
		}
		channels += joined
		if _, ok := measure(ctx, b); !ok {
			return
		}
	}
}

// widenTo adds channels to a set, up to n, opens them side by side, and passes each new
// one to use. It gives how many were added.
func (s *session) widenTo(ctx context.Context, n int, set *channelSet, b *blocks, use func(*dataChannel)) int {
	missing := n - len(set.channels)
	if missing <= 0 || b.left() == 0 {
		return 0
	}
	var joined atomic.Int32
	var all sync.WaitGroup
	for range missing {
		all.Go(func() {
			if ch := s.pool.acquireMore(ctx, set); ch != nil {
				joined.Add(1)
				use(ch)
			}
		})
	}
	all.Wait()
	return int(joined.Load())
}

// measure gives the rate of a copy in bytes a second; ok is false when ctx ended.
func measure(ctx context.Context, b *blocks) (rate float64, ok bool) {
	start, had := time.Now(), b.done.Load()
	timer := time.NewTimer(rateInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
		return float64(b.done.Load()-had) / time.Since(start).Seconds(), true
	case <-ctx.Done():
		return 0, false
	}
}
