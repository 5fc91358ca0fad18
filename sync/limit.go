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
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(bytesPerSecond, maxBurst)))
}

func (l *limited) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n := min(len(p)-done, l.limiter.Burst())
		if err := l.limiter.WaitN(l.ctx, n); err != nil {
			return done, err
		}
		wrote, err := l.WriterAt.WriteAt(p[done:done+n], off+int64(done))
		if done += wrote; err != nil {
			return done, err
		}
	}
	return done, nil
}
