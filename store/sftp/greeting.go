package sftp

import (
	"errors"
	"fmt"
	"strings"
)

// greeting follows the lines that a server sends up to its version.
type greeting struct {
	done  bool
	line  []byte
	first string // the first line that is not a version
	got   bool   // any byte at all
}

// maxGreetingLine is what RFC 4253, section 4.2, allows a version line.
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
