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
	CodeInvalidHandle = 9
	CodeNoSuchPath    = 10
	CodeExists        = 11
	CodeWriteProtect  = 12
	CodeNoSpace       = 14
	CodeQuota         = 15
)

// statusNames are the names of the codes, the later ones from
// draft-ietf-secsh-filexfer-13, section 9.1.
var statusNames = [...]string{
	"OK instead of an answer", "end of file", "no such file", "permission denied", "failure",
	"bad message", "no connection", "connection lost", "operation unsupported",
	"invalid handle", "no such path", "file already exists", "write protected", "no media",
	"no space on the file system", "quota exceeded", "unknown principal", "lock conflict",
	"directory not empty", "not a directory", "invalid file name", "link loop",
	"cannot delete", "invalid parameter", "is a directory", "byte range lock conflict",
	"byte range lock refused", "delete pending", "file corrupt", "invalid owner",
	"invalid group", "no matching byte range lock",
}

// maxMessage bounds what is kept of a server's message, in bytes.
const maxMessage = 200

var errTooLong = errors.New("the path is too long for SFTP")

// StatusError is a server's answer that something could not be done. It
// matches fs.ErrNotExist and fs.ErrPermission where that is the reason.
type StatusError struct {
	Code    uint32
	Message string // the server's, printable and at most 200 bytes
}

func (e *StatusError) Error() string {
	name := fmt.Sprintf("SFTP status %d", e.Code)
	if int(e.Code) < len(statusNames) {
		name = statusNames[e.Code]
	}
	message := e.Message
	if strings.EqualFold(message, name) || e.Code == CodeNoSuchFile && strings.EqualFold(message, "no such file or directory") {
		message = ""
	}
	// These two say enough by themselves.
	if e.Code != CodeNoSuchFile && e.Code != CodePermissionDenied {
		name = "the server answered: " + name
	}
	if message == "" {
		return name
	}
	return name + ": " + message
}

// Is makes a StatusError match the errors of package fs.
func (e *StatusError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Code == CodeNoSuchFile || e.Code == CodeNoSuchPath
	case fs.ErrPermission:
		return e.Code == CodePermissionDenied || e.Code == CodeWriteProtect
	}
	return false
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
