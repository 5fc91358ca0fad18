package sftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sftpconnector/sshclient"
)

// The stream of a channel begins with the VERSION packet of SFTP, or with text that a
// login shell prints.

// startError means that a subsystem does not begin as SFTP does.
type startError struct {
	text string
	hint string
}

func (e *startError) Error() string { return e.text }

// Hint is what to check next.
func (e *startError) Hint() string { return e.hint }

const (
	// versionPacket is the length of a VERSION packet without extensions.
	versionPacket = 9
	// longestVersion bounds a VERSION packet, in bytes. Four letters, read as a length,
	// are more.
	longestVersion = 1 << 20
	// maxShellText is how many bytes of text are read in its place, and shellPause for
	// how long.
	maxShellText = 512
	shellPause   = time.Second
	// endGrace is how long the reason may take to come after the end.
	endGrace = 5 * time.Second
)

// subsystem is a channel on which a program of the server runs.
type subsystem interface {
	io.ReadWriteCloser
	// Exit tells how the program ended and what it wrote to standard error, once the
	// stream has ended. It waits no longer than limit.
	Exit(limit time.Duration) (status, stderr string)
}

// startChecker is a channel that checks how its stream begins.
type startChecker struct {
	subsystem
	once     sync.Once
	buffered []byte // read ahead
	err      error
}

// Read gives the stream, or the reason why it is not SFTP.
func (c *startChecker) Read(p []byte) (int, error) {
	c.once.Do(func() { c.buffered, c.err = c.readStart() })
	if c.err != nil {
		return 0, c.err
	}
	if len(c.buffered) > 0 {
		n := copy(p, c.buffered)
		c.buffered = c.buffered[n:]
		return n, nil
	}
	return c.subsystem.Read(p)
}

// Write gives the reason if the server ended before it was asked anything.
func (c *startChecker) Write(p []byte) (int, error) {
	n, err := c.subsystem.Write(p)
	if err != nil {
		if why := c.startFailure(); why != nil {
			err = why
		}
	}
	return n, err
}

// startFailure is why the stream of a channel that has ended is not SFTP, or nil.
func (c *startChecker) startFailure() error {
	c.once.Do(func() { c.buffered, c.err = c.readStart() })
	if e, ok := errors.AsType[*startError](c.err); ok {
		return e
	}
	return nil
}

// readStart reads the beginning.
func (c *startChecker) readStart() ([]byte, error) {
	buf := make([]byte, maxShellText)
	n := 0
	for n < versionPacket {
		m, err := c.subsystem.Read(buf[n:])
		n += m
		switch {
		case n >= 4 && isText(buf[:4]):
			return nil, c.shellError(buf, n)
		case err != nil && n == 0 && errors.Is(err, io.EOF):
			return nil, c.endedError()
		case err != nil && n > 0:
			return nil, c.shellError(buf, n)
		case err != nil:
			return nil, err
		}
	}
	return buf[:n], nil
}

// isText reports whether four bytes are text and not the length of a packet.
func isText(b []byte) bool { return binary.BigEndian.Uint32(b) > longestVersion }

// shellError reads on in the text of a shell, up to the packet that may follow it.
func (c *startChecker) shellError(buf []byte, n int) error {
	pause := time.AfterFunc(shellPause, func() { _ = c.Close() })
	defer pause.Stop()
	for n < len(buf) && !bytes.Contains(buf[:n], []byte{0}) {
		m, err := c.subsystem.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	text, _, _ := bytes.Cut(buf[:n], []byte{0})
	return &startError{
		text: fmt.Sprintf("the server sends text instead of SFTP: %q", sshclient.Printable([]byte(strings.Join(strings.Fields(string(text)), " ")))),
		hint: "The user's login shell prints something, such as from .bashrc, or refuses the login: have the server's administrator " +
			"make it silent where there is no terminal, or use OpenSSH's internal-sftp.",
	}
}

// endedError is the error of a subsystem that sent nothing and ended.
func (c *startChecker) endedError() error {
	status, words := c.Exit(endGrace)
	e := &startError{text: "the server's SFTP subsystem ended at once" + status}
	if words != "" {
		e.text += fmt.Sprintf(": %q", words)
	}
	if status != "" || words != "" {
		e.hint = "The login works but the server's SFTP program does not start for this user: have its administrator look at the sftp subsystem and the user's shell."
	}
	return e
}
