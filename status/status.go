// Package status holds the words of the Connection Status, the hint that goes
// with each, and the error type that carries one from the place where a
// connection or a pass failed up to the place that reports it.
//
// Every package but interapp may import it. It imports only interapp, for the type
// of a stage.
package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"sftpconnector/interapp"
)

// Word is a Connection Status as users see it on a page, in a table and in JSON.
type Word string

// The words of the Connection Status. The first three need no hint.
const (
	NotChecked                Word = "Not Checked"
	Checking                  Word = "Checking"
	ConnectionValid           Word = "Connection Valid"
	HostNotFound              Word = "Host Not Found"
	ConnectionRefused         Word = "Connection Refused"
	ConnectionTimedOut        Word = "Connection Timed Out"
	NotAnSSHServer            Word = "Not An SSH Server"
	NoCommonAlgorithm         Word = "No Common Algorithm"
	HostKeyUnknown            Word = "Host Key Unknown"
	HostKeyVerificationFailed Word = "Host Key Verification Failed"
	AuthenticationFailed      Word = "Authentication Failed"
	SFTPUnavailable           Word = "SFTP Unavailable"
	SourceDirectoryNotFound   Word = "Source Directory Not Found"
	PermissionDenied          Word = "Permission Denied"
	DestinationUnavailable    Word = "Destination Unavailable"
	ConnectionLost            Word = "Connection Lost"
	NothingDeliverable        Word = "Nothing Deliverable"
	LedgerUnavailable         Word = "Ledger Unavailable"
	Paused                    Word = "Paused" // by a person
)

// Words lists every word in the order of the stages that they belong to.
func Words() []Word {
	return []Word{
		NotChecked, Checking, ConnectionValid, HostNotFound, ConnectionRefused,
		ConnectionTimedOut, NotAnSSHServer, NoCommonAlgorithm, HostKeyUnknown,
		HostKeyVerificationFailed, AuthenticationFailed, SFTPUnavailable,
		SourceDirectoryNotFound, PermissionDenied, DestinationUnavailable, ConnectionLost,
		NothingDeliverable, LedgerUnavailable, Paused,
	}
}

// Hint is one sentence that says what to check next, or "" for a word that
// calls for nothing.
func (w Word) Hint() string {
	switch w {
	case HostNotFound:
		return "Check the spelling of sftp.host, and that this machine's DNS resolves it."
	case ConnectionRefused:
		return "Check your firewall settings and ensure that sftp.port (usually 22) is open, and that the SFTP server is running."
	case ConnectionTimedOut:
		return "Check that a firewall lets this machine reach sftp.host and sftp.port, and that the server is not overloaded."
	case NotAnSSHServer:
		return "Something else answers at sftp.host and sftp.port: SFTP runs over SSH, usually on port 22, and is not FTP or FTPS."
	case NoCommonAlgorithm:
		return "The server offers only algorithms that are off by default: have it updated, or set sftp.legacy_algorithms: true if you accept their weakness."
	case HostKeyUnknown:
		return "Run 'sftp-connector trust NAME' and compare the fingerprint with the one that the server's administrator gives you."
	case HostKeyVerificationFailed:
		return "The server's key is not the one that is trusted: ask its administrator whether it was changed, and only then confirm the host key with 'sftp-connector trust NAME' (or change sftp.host_key, if that is a fingerprint)."
	case AuthenticationFailed:
		return "Verify that your credentials (sftp.username and its password or key) are right and haven't expired, and refetch them if necessary; the server does not say which of them is wrong."
	case SFTPUnavailable:
		return "The login works but the server offers no SFTP to this user: have its administrator enable the sftp subsystem."
	case SourceDirectoryNotFound:
		return "Check files.source_directory_path: it is a directory on the server, as this user sees it after the login (in direction upload, one on this machine)."
	case PermissionDenied:
		return "Confirm you're using the correct credentials for this directory or Space; its administrator has to give this user read access (and write access, if files are uploaded, or deleted or moved after the copy)."
	case DestinationUnavailable:
		return "Check that the destination directory exists or its parent does, is writable, is mounted and has space left."
	case ConnectionLost:
		return "The connection broke while it was in use: check the network, and the server's log for the reason; the next pass tries again."
	case NothingDeliverable:
		return "The connection works and there are files, but pass after pass none of them can be delivered: 'sftp-connector ls NAME' tells the reason for each."
	case LedgerUnavailable:
		return "Nothing is copied while the ledger cannot be written: check that the disk of data_directory works and has room, that it is writable, and that no other program has ledger.db open."
	case Paused:
		return "Resume it with 'sftp-connector resume NAME' when the reason for the pause is gone: nothing is copied until then."
	default:
		return ""
	}
}

// Error is a failure that is one of the words. Op says what was being done and
// Target to what (an address, a path); Err is the cause, which may be nil.
type Error struct {
	Word   Word
	Op     string
	Target string
	Err    error
	// Hint is what to check next where the word's own hint is beside the point.
	Hint string
}

// ErrLoginRefused marks a login that a server refused where the word does not
// say so: that of a share, which is Destination Unavailable. Trying on gets
// accounts locked.
var ErrLoginRefused = errors.New("the login was refused")

// Advice is what to check next: the error's own hint, that of its cause if this
// has a method Hint() string, or that of its word.
func (e *Error) Advice() string {
	if e.Hint != "" {
		return e.Hint
	}
	if cause, ok := errors.AsType[interface {
		error
		Hint() string
	}](e.Err); ok && cause.Hint() != "" {
		return cause.Hint()
	}
	return e.Word.Hint()
}

// HintOf gives what to check next for an error: "" for nil.
func HintOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Advice()
	}
	return Of(err).Hint()
}

// Error gives "op target: cause", in the manner of fs.PathError.
func (e *Error) Error() string {
	s := e.Op
	if e.Target != "" {
		s += " " + e.Target
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", s, e.Err)
	}
	return fmt.Sprintf("%s: %s", s, e.Word)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of gives the word that an error stands for: ConnectionValid for nil, the word
// of the outermost *Error in its chain, ConnectionTimedOut for an expired
// deadline, and otherwise ConnectionLost.
func Of(err error) Word {
	if err == nil {
		return ConnectionValid
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Word
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ConnectionTimedOut
	}
	return ConnectionLost
}

// SameCause reports whether the texts of two errors differ in their numbers at most,
// which tell of how much room there is and how often something was tried.
func SameCause(a, b string) bool {
	plain := func(s string) string {
		return strings.Map(func(c rune) rune {
			if unicode.IsDigit(c) {
				return -1
			}
			return c
		}, s)
	}
	return a == b || plain(a) == plain(b)
}

// Is reports whether err carries the word w.
func Is(err error, w Word) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Word == w
}

// The stages of a check, in their order.
const (
	StageCredentials  = "credentials" // of connectors with sftp.credentials_api
	StageResolve      = "resolve"
	StageConnect      = "connect"
	StageHandshake    = "handshake"
	StageHostKey      = "host-key"
	StageAuthenticate = "authenticate"
	StageSFTP         = "sftp"
	StageList         = "list"
	StageDestination  = "destination"
)

// Stages lists the stages in their order. One begins when the one before it has ended.
func Stages() []string {
	return []string{
		StageCredentials, StageResolve, StageConnect, StageHandshake, StageHostKey,
		StageAuthenticate, StageSFTP, StageList, StageDestination,
	}
}

// StageAfter is the stage that follows one that went well; "" after the last.
func StageAfter(stage string) string {
	all := Stages()
	if i := slices.Index(all, stage); i >= 0 && i+1 < len(all) {
		return all[i+1]
	}
	return ""
}

// Stage is one finished step of a check.
type Stage = interapp.Stage

// Observer is told of each stage as it ends. It is called from one goroutine
// at a time and must not block. A nil Observer hears nothing.
type Observer func(Stage)

// Report tells the observer of a stage; on a nil one it does nothing.
func (o Observer) Report(s Stage) {
	if o != nil {
		o(s)
	}
}

// OrNotChecked gives the word, or NotChecked for the empty one.
func (w Word) OrNotChecked() Word {
	if w == "" {
		return NotChecked
	}
	return w
}
