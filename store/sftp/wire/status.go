package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
)

// The codes of a STATUS (section 7).
const (
	statusOK  = 0
	statusEOF = 1

	CodeNoSuchFile       = 2
	CodePermissionDenied = 3
	CodeFailure          = 4
	CodeBadMessage       = 5
	CodeNoConnection     = 6
	CodeConnectionLost   = 7
	CodeUnsupported      = 8

	// Of later drafts; some servers send them whatever version is spoken.
	CodeExists  = 11
	CodeNoSpace = 14
	CodeQuota   = 15
)

// maxMessage bounds what is kept of a server's message, in bytes.
const maxMessage = 200

var errTooLong = errors.New("the path is too long for SFTP")

// StatusError is a server's answer that something could not be done. It
// matches fs.ErrNotExist and fs.ErrPermission where that is the reason.
type StatusError struct {
	Code    uint32
	Message string // the server's, printable and at most 200 bytes
}

// NewStatusError makes one of a message that comes from a server.
func NewStatusError(code uint32, message string) *StatusError {
	return &StatusError{Code: code, Message: printable([]byte(message))}
}

func (e *StatusError) Error() string {
	name := ""
	switch e.Code {
	case CodeNoSuchFile:
		return "no such file"
	case CodePermissionDenied:
		return "permission denied"
	case CodeFailure:
		name = "failure"
	case CodeBadMessage:
		name = "bad message"
	case CodeNoConnection:
		name = "no connection"
	case CodeConnectionLost:
		name = "connection lost"
	case CodeUnsupported:
		name = "operation unsupported"
	default:
		name = fmt.Sprintf("SFTP status %d", e.Code)
	}
	if e.Message == "" || strings.EqualFold(e.Message, name) {
		return "the server answered: " + name
	}
	return "the server answered: " + name + ": " + e.Message
}

// Is makes a StatusError match the errors of package fs.
func (e *StatusError) Is(target error) bool {
	return target == fs.ErrNotExist && e.Code == CodeNoSuchFile ||
		target == fs.ErrPermission && e.Code == CodePermissionDenied
}

// printable makes a server's text safe for a terminal and a log.
func printable(b []byte) string {
	if len(b) > maxMessage {
		b = b[:maxMessage]
	}
	s := strings.ToValidUTF8(string(b), "?")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
