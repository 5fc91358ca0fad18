package sftpd

import (
	"errors"
	"io"
	"io/fs"
)

// Status codes of SFTP version 3, for Fault.Status.
const (
	StatusOK               = 0
	StatusEOF              = 1
	StatusNoSuchFile       = 2
	StatusPermissionDenied = 3
	StatusFailure          = 4
	StatusBadMessage       = 5
	StatusNoConnection     = 6
	StatusConnectionLost   = 7
	StatusUnsupported      = 8
)

// statusError is a status that a client is told.
type statusError uint32

func (e statusError) Error() string { return statusText(uint32(e)) }

// statusText are the words of OpenSSH's server.
func statusText(code uint32) string {
	texts := []string{"Success", "End of file", "No such file", "Permission denied", "Failure",
		"Bad message", "No connection", "Connection lost", "Operation unsupported"}
	if int(code) < len(texts) {
		return texts[code]
	}
	return "Unknown error"
}

// status is the answer with a status; an empty text is the usual one.
func status(id, code uint32, text string) packet {
	if text == "" {
		text = statusText(code)
	}
	return answer(typeStatus, id).uint32(code).string(text).string("")
}

// result is the answer that tells how an operation ended.
func result(id uint32, err error) packet { return status(id, statusOf(err), "") }

func statusOf(err error) uint32 {
	var told statusError
	switch {
	case errors.As(err, &told):
		return uint32(told)
	case err == nil:
		return StatusOK
	case errors.Is(err, io.EOF):
		return StatusEOF
	case errors.Is(err, fs.ErrNotExist):
		return StatusNoSuchFile
	case errors.Is(err, fs.ErrPermission):
		return StatusPermissionDenied
	case errors.Is(err, errMalformed):
		return StatusBadMessage
	case errors.Is(err, errors.ErrUnsupported):
		return StatusUnsupported
	}
	return StatusFailure
}
