package sftp

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// meter is a channel that knows when it last heard from the server.
type meter struct {
	Channel
	heard atomic.Int64 // nanoseconds after start
	start time.Time
}

func newMeter(c Channel) *meter { return &meter{Channel: c, start: time.Now()} }

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Channel.Read(p)
	if n > 0 {
		m.heard.Store(int64(time.Since(m.start)))
	}
	return n, notEOF(err)
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.Channel.Write(p)
	return n, notEOF(err)
}

// notEOF keeps the end of a channel from passing for the end of a file, which
// pkg/sftp would make of it: x/crypto answers io.EOF to a Write on a dead one too.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// slowest is how many times the time for an answer a single one may take while
// others come: a READ may stand behind a window full of data on a slow line.
const slowest = 10

// stalled reports whether a channel with an answer outstanding since oldest
// is silent for longer than limit, or has left that one question out.
func (m *meter) stalled(oldest time.Time, limit time.Duration) bool {
	waited := time.Since(oldest)
	silent := time.Since(m.start.Add(time.Duration(m.heard.Load())))
	return min(waited, silent) > limit || waited > slowest*limit
}
