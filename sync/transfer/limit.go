package transfer

import (
	"context"
	"io"
	"time"

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

// wait waits for its turn, or for the context's end. WaitN of the limiter would
// give up at once where the turn comes later than that, with an error that is
// not the context's.
func (l *limited) wait(n int) error {
	turn := l.limiter.ReserveN(time.Now(), n)
	timer := time.NewTimer(turn.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-l.ctx.Done():
		turn.Cancel()
		return context.Cause(l.ctx)
	}
}

func (l *limited) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n := min(len(p)-done, l.limiter.Burst())
		if err := l.wait(n); err != nil {
			return done, err
		}
		wrote, err := l.WriterAt.WriteAt(p[done:done+n], off+int64(done))
		if done += wrote; err != nil {
			return done, err
		}
	}
	return done, nil
}
