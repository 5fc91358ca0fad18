package sftp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// This file looks at how the stream of a channel begins: with the VERSION packet
// of SFTP, or with what a login shell prints.

// startError is a subsystem that does not begin as SFTP does.
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
	// longestVersion bounds a VERSION packet, in bytes: four letters are more.
	longestVersion = 1 << 20
	// maxShellText is how much text is read in place of it, in bytes, and
	// shellPause how long for.
	maxShellText = 512
	shellPause   = time.Second
	// endGrace is how long the reason may take to come after the end.
	endGrace = 5 * time.Second
	// noCommand is the exit status of a shell that does not find its command.
	noCommand = 127
)

// opening is the beginning of a channel's stream.
type opening struct {
	ch    ssh.Channel
	aside *aside
	once  sync.Once
	ahead []byte // read, and not yet given on
	err   error
}

// Read gives the stream, or why it is none of SFTP.
func (o *opening) Read(p []byte) (int, error) {
	o.once.Do(func() { o.ahead, o.err = o.begin() })
	if o.err != nil {
		return 0, o.err
	}
	if len(o.ahead) > 0 {
		n := copy(p, o.ahead)
		o.ahead = o.ahead[n:]
		return n, nil
	}
	return o.ch.Read(p)
}

// failure is why the stream of a channel that has ended is none of SFTP, or nil.
func (o *opening) failure() error {
	o.once.Do(func() { o.ahead, o.err = o.begin() })
	if e, ok := errors.AsType[*startError](o.err); ok {
		return e
	}
	return nil
}

// begin reads the beginning.
func (o *opening) begin() ([]byte, error) {
	buf := make([]byte, maxShellText)
	n := 0
	for n < versionPacket {
		m, err := o.ch.Read(buf[n:])
		n += m
		switch {
		case n >= 4 && isText(buf[:4]):
			return nil, o.shell(buf, n)
		case err != nil && n == 0 && errors.Is(err, io.EOF):
			return nil, o.ended()
		case err != nil && n > 0:
			return nil, o.shell(buf, n)
		case err != nil:
			return nil, err
		}
	}
	return buf[:n], nil
}

// isText reports whether four bytes are text and not the length of a packet.
func isText(b []byte) bool { return binary.BigEndian.Uint32(b) > longestVersion }

// shell reads on in the text of a shell, up to the packet that may follow it.
func (o *opening) shell(buf []byte, n int) error {
	pause := time.AfterFunc(shellPause, func() { _ = o.ch.Close() })
	defer pause.Stop()
	for n < len(buf) && !bytes.Contains(buf[:n], []byte{0}) {
		m, err := o.ch.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	text, _, _ := bytes.Cut(buf[:n], []byte{0})
	return &startError{
		text: fmt.Sprintf("the server sends text instead of SFTP: %q", printable(oneLine(text))),
		hint: "The user's login shell prints something, such as from .bashrc, or refuses the login: have the server's administrator " +
			"make it silent where there is no terminal, or use OpenSSH's internal-sftp.",
	}
}

// ended is a subsystem that said nothing and ended.
func (o *opening) ended() error {
	status, words := o.aside.wait(endGrace)
	e := &startError{text: "the server's SFTP subsystem ended at once" + status}
	if words != "" {
		e.text += fmt.Sprintf(": %q", words)
	}
	if status != "" || words != "" {
		e.hint = "The login works but the server's SFTP program does not start for this user: have its administrator look at the sftp subsystem and the user's shell."
	}
	return e
}

// oneLine puts lines behind each other.
func oneLine(text []byte) []byte { return []byte(strings.Join(strings.Fields(string(text)), " ")) }

// aside is what a server says beside the stream of a channel.
type aside struct {
	mu     sync.Mutex
	words  []byte // the beginning of what it wrote to standard error
	status string // how the subsystem ended
	said   chan struct{}
	over   chan struct{}
}

// listen takes what comes beside the stream until the channel ends. What is
// written there would fill the channel's window.
func listen(ch ssh.Channel, requests <-chan *ssh.Request) *aside {
	a := &aside{said: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(a.said)
		_, _ = io.Copy(a, ch.Stderr())
	}()
	go func() {
		defer close(a.over)
		for r := range requests {
			a.request(r)
		}
	}()
	return a
}

// Write keeps the beginning of standard error.
func (a *aside) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.words = append(a.words, p[:min(len(p), maxShellText-len(a.words))]...)
	return len(p), nil
}

// request notes how the subsystem ended (RFC 4254, section 6.10).
func (a *aside) request(r *ssh.Request) {
	var exit struct{ Status uint32 }
	var signal struct {
		Name string
		Rest []byte `ssh:"rest"`
	}
	a.mu.Lock()
	switch {
	case r.Type == "exit-status" && ssh.Unmarshal(r.Payload, &exit) == nil:
		a.status = fmt.Sprintf(" with status %d", exit.Status)
		if exit.Status == noCommand {
			a.status += " (no such command)"
		}
	case r.Type == "exit-signal" && ssh.Unmarshal(r.Payload, &signal) == nil:
		a.status = fmt.Sprintf(" by signal %s", printable([]byte(signal.Name)))
	}
	a.mu.Unlock()
	if r.WantReply {
		_ = r.Reply(false, nil)
	}
}

// wait gives what was said once the channel has ended, or after some time.
func (a *aside) wait(limit time.Duration) (status, words string) {
	late, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, c := range []chan struct{}{a.said, a.over} {
		select {
		case <-c:
		case <-late.Done():
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status, printable(oneLine(a.words))
}
