package sshclient

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// greeting follows the lines that a server sends up to its version. It bears
// what OpenSSH's client bears: RFC 4253, section 4.2, lets a server say other
// things first.
type greeting struct {
	done    bool
	version string // the line that ends it, without its line end
	line    []byte
	text    []byte // the beginning of what came before the version
	lines   int
	got     bool // any byte at all
	suspect bool // a line came that is the greeting of another protocol
}

const (
	// Bounds of OpenSSH's client, for lines before the version.
	maxGreetingLine  = 8192
	maxGreetingLines = 1024
	// maxVersion is what x/crypto takes of a version line. RFC 4253 allows 255
	// bytes with the line end.
	maxVersion = 254
	// maxGreetingText is how much of what came is kept, for people.
	maxGreetingText = 256
	// otherProtocol is how long a server may take to go on after a line that
	// looks like another protocol, whose servers then wait for the client.
	otherProtocol = 2 * time.Second
)

// notSSHError is a server that speaks something else.
type notSSHError struct{ line string }

func (e *notSSHError) Error() string {
	if e.line == "" {
		return "it closed the connection without a word: it is no SSH server, or it refuses this address for now " +
			"(hosts.deny, MaxStartups, a penalty after failed logins)"
	}
	return fmt.Sprintf("it answers %q instead of an SSH version", e.line)
}

// Hint is what to check next, where it is not that something else answers.
func (e *notSSHError) Hint() string {
	switch {
	case e.line == "":
		return "Check that sftp.port is the port of SSH, and that the server does not refuse this machine's address (hosts.deny, a firewall, a penalty after failed logins)."
	case strings.HasPrefix(e.line, "SSH-1"):
		return "The server speaks version 1 of SSH, which is insecure and not supported: have it updated."
	}
	return ""
}

// refusingError is an SSH server that says that it takes no connection now.
type refusingError struct{ line string }

func (e *refusingError) Error() string {
	return fmt.Sprintf("the server takes no connection from this address for now: too many at once, or a penalty after failed logins (%q)", e.line)
}

// Hint is what to do about it.
func (e *refusingError) Hint() string {
	return "The server is there: wait a while, and have its administrator look at MaxStartups and PerSourcePenalties if it happens again."
}

// add takes what was read and gives what follows the version. An error ends
// the connection.
func (g *greeting) add(p []byte) (rest []byte, err error) {
	g.got = g.got || len(p) > 0
	for i, b := range p {
		if b == '\n' {
			if err := g.endLine(); err != nil || g.done {
				return p[i+1:], err
			}
			continue
		}
		g.line = append(g.line, b)
		if len(g.text) < maxGreetingText {
			g.text = append(g.text, b)
		}
		tls := len(g.line) == 2 && g.lines == 0 && g.line[0] < 0x20 && g.line[1] == 3
		if b == 0 || tls || len(g.line) > maxGreetingLine {
			return nil, &notSSHError{g.said()}
		}
	}
	return nil, nil
}

// endLine judges a whole line.
func (g *greeting) endLine() error {
	line := strings.TrimRight(string(g.line), "\r")
	g.line = g.line[:0]
	if strings.HasPrefix(line, "SSH-") {
		return g.end(line)
	}
	if g.lines++; g.lines > maxGreetingLines {
		return &notSSHError{g.said()}
	}
	if len(g.text) < maxGreetingText {
		g.text = append(g.text, ' ')
	}
	// OpenSSH's sshd.c sends these two lines in place of a version and closes.
	if strings.HasPrefix(line, "Exceeded MaxStartups") || strings.HasPrefix(line, "Not allowed at this time") {
		return &refusingError{Printable([]byte(line))}
	}
	// The greetings of FTP, SMTP, POP, IMAP, VNC and HTTP.
	for _, p := range []string{"220", "421", "530", "554", "+OK", "* OK", "RFB ", "HTTP/", "<"} {
		g.suspect = g.suspect || strings.HasPrefix(line, p)
	}
	return nil
}

// end takes the version.
func (g *greeting) end(line string) error {
	g.done, g.version = true, line
	switch {
	case !strings.HasPrefix(line, "SSH-2.") && !strings.HasPrefix(line, "SSH-1.99-"):
		return &notSSHError{Printable([]byte(line))}
	case len(line) > maxVersion:
		return fmt.Errorf("its version line is %d bytes long, and SSH allows 255: %q", len(line), Printable([]byte(line)))
	}
	return nil
}

// said is the version, or the beginning of what came instead.
func (g *greeting) said() string {
	if g.done {
		return Printable([]byte(g.version))
	}
	return Printable(bytes.TrimSpace(g.text))
}

// Printable makes what a server sent fit for an error, a log and a terminal: bounded,
// and nothing in it that is not seen, such as a control character or one that turns
// the direction of writing around.
func Printable(b []byte) string {
	const limit = 200
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == '\uFFFD' {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(string(b[:min(len(b), limit)]), "."))
	if len(b) > limit {
		s += "…"
	}
	return s
}
