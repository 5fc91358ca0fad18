package sshclient

import (
	"fmt"
	"strconv"
	"strings"
)

// disconnectError is SSH_MSG_DISCONNECT: the server ends the connection and says why.
type disconnectError struct {
	reason int // RFC 4253, section 11.1
	text   string
}

func (g *disconnectError) Error() string {
	if strings.TrimSpace(g.text) == "" {
		return fmt.Sprintf("the server ended the connection, reason %d", g.reason)
	}
	return fmt.Sprintf("the server ended the connection and says %q", Printable([]byte(g.text)))
}

// Hint is that of a server that says what is wrong.
func (g *disconnectError) Hint() string {
	return "The server ended the connection by itself: see what it says and, for the reason, its log; it may take no more connections for now, or have been idle for too long."
}

// disconnectOf finds the disconnectError in an error of x/crypto, whose type for it is not exported.
func disconnectOf(err error) (*disconnectError, bool) {
	if err == nil {
		return nil, false
	}
	_, rest, found := strings.Cut(err.Error(), "ssh: disconnect, reason ")
	number, quoted, ok := strings.Cut(rest, ": ")
	reason, nerr := strconv.Atoi(number)
	if !found || !ok || nerr != nil {
		return nil, false
	}
	text, qerr := strconv.Unquote(quoted)
	if qerr != nil {
		text = quoted
	}
	return &disconnectError{reason, text}, true
}
