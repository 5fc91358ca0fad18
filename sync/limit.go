package sync

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// limited slows the writes of a pass down to a rate.
type limited struct {
	io.WriterAt
	ctx     context.Context // of the Fetch that writes
	limiter *rate.Limiter
}

// maxBurst is the largest write that passes the limiter in one piece.
const maxBurst = 256 << 10

// newLimiter makes a limiter of so many bytes a second; nil for 0.
func newLimiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), maxBurst)
}

func (l *limited) WriteAt(p []byte, off int64) (int, error) {
	for n := len(p); n > 0; n -= maxBurst {
		if err := l.limiter.WaitN(l.ctx, min(n, maxBurst)); err != nil {
			return 0, err
		}
	}
	return l.WriterAt.WriteAt(p, off)
}
