package sftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// transport is the byte stream under an SSH connection. It knows when it last
// heard from the peer, ends a write that the peer does not take, and looks at
// the first line, so that a server of another protocol is recognised at once.
// Deadlines are timers that cut the stream: a stream through a jump host has
// none of its own.
type transport struct {
	net.Conn
	cut       func() error // closes the socket at the bottom; never blocks
	addr      string       // the socket's far end, for people
	heard     atomic.Int64 // monotonic time of the last byte read, since start
	start     time.Time
	patience  time.Duration
	writing   *time.Timer
	greeting  greeting
	closeOnce sync.Once
	mu        sync.Mutex
	cause     error
}

// newTransport wraps a stream. A write that takes longer than patience cuts it.
func newTransport(conn net.Conn, addr string, cut func() error, patience time.Duration) *transport {
	t := &transport{Conn: conn, cut: cut, addr: addr, start: time.Now(), patience: patience}
	t.writing = time.AfterFunc(time.Hour, func() {
		t.abort(&silence{patience, "the peer takes no data"})
	})
	t.writing.Stop()
	return t
}

// Read notes that the peer is alive.
func (t *transport) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		t.heard.Store(int64(time.Since(t.start)))
		if !t.greeting.done {
			if foreign := t.greeting.add(p[:n]); foreign != nil {
				t.abort(foreign)
				return 0, foreign
			}
		}
	}
	return n, err
}

// Write ends after the transport's patience. x/crypto never writes twice at a time.
func (t *transport) Write(p []byte) (int, error) {
	t.writing.Reset(t.patience)
	n, err := t.Conn.Write(p)
	t.writing.Stop()
	return n, err
}

// Close cuts the stream at the bottom, so that nothing has to be sent for it.
func (t *transport) Close() error {
	t.abort(net.ErrClosed)
	return nil
}

// abort cuts the stream; the first cause stays.
func (t *transport) abort(cause error) {
	t.closeOnce.Do(func() {
		t.mu.Lock()
		t.cause = cause
		t.mu.Unlock()
		t.writing.Stop()
		t.cut()
	})
}

// abortCause is why the stream was cut from our side, or nil.
func (t *transport) abortCause() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}

// lastHeard is when the last byte came.
func (t *transport) lastHeard() time.Time {
	return t.start.Add(time.Duration(t.heard.Load()))
}

// silence is a peer that did not answer in time.
type silence struct {
	for_ time.Duration
	what string
}

func (s *silence) Error() string { return fmt.Sprintf("%s for %v", s.what, s.for_) }

// Timeout makes it a timeout, as those of package net are.
func (s *silence) Timeout() bool { return true }

// Is lets errors.Is find the expired deadline that it stands for.
func (s *silence) Is(target error) bool { return target == context.DeadlineExceeded }

// greeting follows the lines that a server sends up to its version.
type greeting struct {
	done  bool
	line  []byte
	first string // the first line that is not a version
	got   bool   // any byte at all
}

// Limits of what is looked at: RFC 4253 allows 255 bytes in a version line.
const maxGreetingLine = 255

// errForeign is a server that speaks something else.
type errForeign struct{ line string }

func (e *errForeign) Error() string {
	if e.line == "" {
		return "it closed the connection without a word: it is no SSH server, or it refuses this address for now " +
			"(hosts.deny, MaxStartups, a penalty after failed logins)"
	}
	return fmt.Sprintf("it answers %q instead of an SSH version", e.line)
}

// errRefusing is an SSH server that says that it takes no connection now.
var errRefusing = errors.New("the server takes no connection from this address for now: too many at once, or a penalty after failed logins")

// add takes what was read; an error ends the connection.
func (g *greeting) add(p []byte) error {
	g.got = true
	for _, b := range p {
		if b != '\n' && len(g.line) < maxGreetingLine {
			g.line = append(g.line, b)
			if len(g.line) == 2 && g.first == "" && g.line[0] < 0x20 {
				return &errForeign{printable(g.line)} // TLS and other binary protocols
			}
			continue
		}
		if err := g.endLine(); err != nil || g.done {
			return err
		}
	}
	return nil
}

// endLine judges a whole line.
func (g *greeting) endLine() error {
	line := strings.TrimRight(string(g.line), "\r")
	g.line = g.line[:0]
	if strings.HasPrefix(line, "SSH-") {
		g.done = true
		if !strings.HasPrefix(line, "SSH-2.0-") && !strings.HasPrefix(line, "SSH-1.99-") {
			return &errForeign{printable([]byte(line))}
		}
		g.first = line
		return nil
	}
	if g.first == "" {
		g.first = line
	}
	// OpenSSH's sshd.c sends these two lines in place of a version and closes.
	if strings.HasPrefix(line, "Exceeded MaxStartups") || strings.HasPrefix(line, "Not allowed at this time") {
		return fmt.Errorf("%w (%q)", errRefusing, printable([]byte(line)))
	}
	// RFC 4253 lets a server say other things before its version; these are
	// the greetings of FTP, SMTP, POP, IMAP, VNC and HTTP, which then wait for us.
	for _, p := range []string{"220", "421", "530", "554", "+OK", "* OK", "RFB ", "HTTP/", "<"} {
		if strings.HasPrefix(line, p) {
			return &errForeign{printable([]byte(line))}
		}
	}
	return nil
}

// said is the first line, or the part of it that came.
func (g *greeting) said() string {
	if g.first == "" {
		return printable(g.line)
	}
	return printable([]byte(g.first))
}

// printable makes what a server sent fit for an error: bounded, no control characters.
func printable(b []byte) string {
	const limit = 200
	s := strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '\uFFFD' {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(string(b[:min(len(b), limit)]), "."))
	if len(b) > limit {
		s += "…"
	}
	return s
}
