package smb

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wire is the TCP connection below the protocol. It knows when the server was
// last heard of, and why the connection ended.
type wire struct {
	net.Conn
	in    *bufio.Reader
	first int // bytes of the first answer that were looked at
	said  [16]byte

	held  []byte // the length of the next message, sent together with it
	heard atomic.Int64

	once sync.Once
	over chan struct{} // closed at the end
	why  error
}

const headerSize = 4 // [MS-SMB2] 2.1: zero, and 24 bits of length

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c, in: bufio.NewReaderSize(c, 64<<10), over: make(chan struct{})}
	w.heard.Store(time.Now().UnixNano())
	return w
}

// end closes the connection; the first reason counts.
func (w *wire) end(why error) {
	w.once.Do(func() {
		w.why = why
		close(w.over)
		w.Conn.Close()
	})
}

// Close implements net.Conn.
func (w *wire) Close() error {
	w.end(net.ErrClosed)
	return nil
}

// reason tells why the connection ended; nil while it has not.
func (w *wire) reason() error {
	select {
	case <-w.over:
		return w.why
	default:
		return nil
	}
}

// silent is how long nothing was heard.
func (w *wire) silent() time.Duration { return time.Since(time.Unix(0, w.heard.Load())) }

// Read implements io.Reader. It is called from one goroutine.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.in.Read(p)
	if n > 0 {
		w.heard.Store(time.Now().UnixNano())
		if w.first < 2*headerSize {
			err = w.sniff(p[:n])
		}
	}
	if err != nil {
		w.end(err)
	}
	return n, err
}

// sniff looks whether the first answer is one of SMB 2 or 3, which the library
// would wait for for ever.
func (w *wire) sniff(b []byte) error {
	w.first += copy(w.said[w.first:], b)
	wanted := [2 * headerSize]byte{0, 0, 0, 0, 0xfe, 'S', 'M', 'B'}
	for i, c := range w.said[:min(w.first, len(wanted))] {
		if c != wanted[i] && (i == 0 || i >= headerSize) {
			// What came with it tells more about what speaks there.
			more, _ := w.in.Peek(min(w.in.Buffered(), len(w.said)-w.first))
			w.first += copy(w.said[w.first:], more)
			return &foreignError{w.said[:w.first]}
		}
	}
	return nil
}

// Write implements io.Writer. The library writes the length of a message and
// then the message, from one goroutine; they leave together.
func (w *wire) Write(p []byte) (int, error) {
	if len(p) == headerSize && w.held == nil {
		w.held = append(make([]byte, 0, headerSize), p...)
		return len(p), nil
	}
	parts := net.Buffers{w.held, p}
	w.held = nil
	if _, err := parts.WriteTo(w.Conn); err != nil {
		w.end(err)
		return 0, err
	}
	return len(p), nil
}

var _ io.ReadWriteCloser = (*wire)(nil)
