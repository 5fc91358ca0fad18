package sftp

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"sftpconnector/store/sftp/wire"
)

// stream is a channel to the server's SFTP subsystem. Close does not wait for the
// server.
type stream interface {
	io.Reader
	io.WriteCloser
}

// meter is a channel that notes when the server last sent something.
type meter struct {
	stream
	heard atomic.Int64 // nanoseconds after start
	start time.Time
}

func newMeter(c stream) *meter { return &meter{stream: c, start: time.Now()} }

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.stream.Read(p)
	if n > 0 {
		m.heard.Store(int64(time.Since(m.start)))
	}
	return n, notEOF(err)
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.stream.Write(p)
	return n, notEOF(err)
}

// notEOF keeps the end of a channel from being taken for the end of a file. x/crypto
// answers io.EOF to a Write on a closed channel, too.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// stalled reports whether the answer that is due was not sent for longer than limit,
// nor a part of it. Answers to later requests do not count.
func (m *meter) stalled(u wire.Unanswered, limit time.Duration) bool {
	waited := time.Since(u.Since)
	if u.Coming {
		waited = min(waited, time.Since(m.start.Add(time.Duration(m.heard.Load()))))
	}
	return waited > limit
}
