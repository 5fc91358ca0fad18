package smb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	smb2 "github.com/cloudsoda/go-smb2"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// NTSTATUS, [MS-ERREF] section 2.3.1.
const (
	ntStoppedOnSymlink   = 0x8000002D
	ntInvalidParameter   = 0xC000000D
	ntInvalidDevice      = 0xC0000010
	ntNameInvalid        = 0xC0000033
	ntSharingViolation   = 0xC0000043
	ntQuotaExceeded      = 0xC0000044
	ntDeletePending      = 0xC0000056
	ntNoLogonServers     = 0xC000005E
	ntNoSuchUser         = 0xC0000064
	ntWrongPassword      = 0xC000006A
	ntLogonFailure       = 0xC000006D
	ntAccountRestriction = 0xC000006E
	ntLogonHours         = 0xC000006F
	ntWorkstation        = 0xC0000070
	ntPasswordExpired    = 0xC0000071
	ntAccountDisabled    = 0xC0000072
	ntDiskFull           = 0xC000007F
	ntInsufficient       = 0xC000009A
	ntWriteProtected     = 0xC00000A2
	ntNotSupported       = 0xC00000BB
	ntNetworkNameDeleted = 0xC00000C9
	ntBadDeviceType      = 0xC00000CB
	ntBadNetworkName     = 0xC00000CC
	ntNotADirectory      = 0xC0000103
	ntNameTooLong        = 0xC0000106
	ntFileClosed         = 0xC0000128
	ntLogonType          = 0xC000015B
	ntIODevice           = 0xC0000185
	ntAccountExpired     = 0xC0000193
	ntSessionDeleted     = 0xC0000203
	ntServerResources    = 0xC0000205
	ntDisconnected       = 0xC000020C
	ntMustChange         = 0xC0000224
	ntLockedOut          = 0xC0000234
	ntPathNotCovered     = 0xC0000257
	ntSessionExpired     = 0xC000035C
	ntNTLMBlocked        = 0xC0000418
	ntDiskQuotaExceeded  = 0xC0000802
	ntDiskResources      = 0xC0000804
)

// winsockRefused is ECONNREFUSED of Windows, where package syscall has another.
const winsockRefused = syscall.Errno(10061)

const (
	hintLogin  = "Verify files.system_username and files.system_password, and that the account is not locked, disabled or expired."
	hintServer = "Check the server and the port in files.destination_directory_path, and that a firewall lets this machine reach it."
	hintShare  = "Check the share in files.destination_directory_path, and that this user may use it."
	hintRights = "Have the administrator of the file server give this user the right to create, change and delete files in the destination directory."
	hintRoom   = "Free space on the share, or have this user's quota raised."
	hintInUse  = "Close the program that has the file open, or try again later."
	hintDFS    = "Name the file server itself in files.destination_directory_path."
)

// cannotWrite is what Probe finds where no file can be made.
func cannotWrite(err error) *explainedError {
	return &explainedError{"the share, or the directory on it, cannot be written by this user", hintRights, err}
}

// explainedError is why a share cannot be used, in words, with what to do about it.
type explainedError struct {
	sentence, hint string
	err            error // what it is for programs; nil: nothing known
}

func (e *explainedError) Error() string { return e.sentence }
func (e *explainedError) Unwrap() error { return e.err }

// Hint is one sentence that says what to check next.
func (e *explainedError) Hint() string { return e.hint }

// code gives the NTSTATUS of an answer; 0 when err is none.
func code(err error) uint32 {
	if r, ok := errors.AsType[*smb2.ResponseError](err); ok {
		return r.Code
	}
	return 0
}

// explainLogin explains a login that did not work. One that the server refused
// is a status.ErrLoginRefused; that no domain controller answers is no refusal.
func explainLogin(err error) *explainedError {
	sentences := map[uint32]string{
		ntLogonFailure:       "wrong user or password",
		ntNoSuchUser:         "wrong user or password",
		ntWrongPassword:      "wrong user or password",
		ntLockedOut:          "the account is locked",
		ntAccountDisabled:    "the account is disabled",
		ntAccountExpired:     "the account has expired",
		ntPasswordExpired:    "the password has expired",
		ntMustChange:         "the password has to be changed first",
		ntLogonType:          "the account may not log in over the network",
		ntAccountRestriction: "the account may not log in over the network",
		ntLogonHours:         "the account may not log in at this hour",
		ntWorkstation:        "the account may not log in from this machine",
		ntNTLMBlocked:        "the server does not take NTLM logins, which are the only ones supported",
		ntNotSupported:       "the server does not take NTLM logins, which are the only ones supported",
	}
	refused := errors.Join(status.ErrLoginRefused, err)
	switch {
	case sentences[code(err)] != "":
		return &explainedError{sentences[code(err)], hintLogin, refused}
	case code(err) == ntNoLogonServers:
		return &explainedError{"the file server reaches no domain controller that knows the user", hintLogin, err}
	case errors.Is(err, fs.ErrPermission):
		return &explainedError{"the server refuses the login", hintLogin, refused}
	case errors.Is(err, smb2.ErrRequestNotAccepted):
		return &explainedError{"the server takes no more connections", hintServer, err}
	}
	return explainHandshake(err)
}

// explainHandshake explains a server that does not answer as one.
func explainHandshake(err error) *explainedError {
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		return &explainedError{foreign.Error(), hintServer, err}
	}
	switch {
	case isTimeout(err):
		return &explainedError{"the server takes the connection and does not answer", hintServer, err}
	case isClosed(err):
		return &explainedError{"the server closed the connection instead of answering: it may speak only SMB 1, which is not supported", hintServer, err}
	}
	return &explainedError{"the server does not keep to the protocol: " + err.Error(), hintServer, err}
}

// explainMount explains a share that cannot be had.
func explainMount(share string, err error) *explainedError {
	switch {
	case code(err) == ntBadNetworkName, errors.Is(err, fs.ErrNotExist):
		return &explainedError{"no such share on the server: " + share, hintShare, err}
	case code(err) == ntBadDeviceType:
		return &explainedError{share + " is not a share for files", hintShare, err}
	case errors.Is(err, fs.ErrPermission):
		return &explainedError{"this user has no permission to use the share " + share, hintShare, err}
	}
	return explainAccess(err)
}

// explainConnect explains a server that cannot be reached.
func explainConnect(err error) *explainedError {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return &explainedError{"server not found", hintServer, err}
		}
		return &explainedError{"server not found: the name server does not answer", hintServer, err}
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, winsockRefused):
		return &explainedError{"connection refused: no file server listens there", hintServer, err}
	case isTimeout(err):
		return &explainedError{"connection timed out: no answer from there", hintServer, err}
	}
	return &explainedError{"no connection: " + bare(err).Error(), hintServer, err}
}

// explainAccess explains a failure of any other call.
func explainAccess(err error) *explainedError {
	switch code(err) {
	case ntDiskFull, ntDiskResources:
		return &explainedError{filesync.ErrFull.Error(), hintRoom, errors.Join(filesync.ErrFull, err)}
	case ntQuotaExceeded, ntDiskQuotaExceeded:
		return &explainedError{filesync.ErrFull.Error() + ": the quota is used up", hintRoom, errors.Join(filesync.ErrFull, err)}
	case ntSharingViolation:
		return &explainedError{"another program has the file open and lets nobody change it meanwhile", hintInUse, err}
	case ntDeletePending:
		return &explainedError{"the file was removed, but a program has it open still", hintInUse, errors.Join(fs.ErrPermission, err)}
	case ntWriteProtected:
		return cannotWrite(errors.Join(fs.ErrPermission, err))
	case ntPathNotCovered:
		return &explainedError{"the path leads on to another server (DFS), which is not followed", hintDFS, err}
	case ntNameInvalid, ntNameTooLong:
		return &explainedError{"the server does not take this name", "", errors.Join(fs.ErrInvalid, err)}
	case ntStoppedOnSymlink:
		return &explainedError{"the path leads through a link, which is not followed", "", err}
	case ntNotADirectory:
		return &explainedError{"a file stands where a directory is needed", "", err}
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &explainedError{"this user has no permission to do that on the share", hintRights, err}
	case errors.Is(err, fs.ErrNotExist):
		return &explainedError{fs.ErrNotExist.Error(), "", err}
	case errors.Is(err, fs.ErrExist):
		return &explainedError{fs.ErrExist.Error(), "", err}
	}
	return &explainedError{bare(err).Error(), "", err}
}

// isWhole reports whether an answer concerns the whole share.
func isWhole(err error) bool {
	switch code(err) {
	case ntDiskFull, ntDiskResources, ntQuotaExceeded, ntDiskQuotaExceeded, ntWriteProtected, ntIODevice, ntInsufficient, ntServerResources, ntPathNotCovered:
		return true
	}
	return false
}

// isUnsupported reports whether an answer says that the server does not do such a thing.
func isUnsupported(err error) bool {
	switch code(err) {
	case ntInvalidParameter, ntInvalidDevice, ntNotSupported:
		return true
	}
	return false
}

// isOver reports whether an answer says that the server has dropped the
// session, or one that the protocol cannot be followed any more.
func isOver(err error) bool {
	switch code(err) {
	case ntNetworkNameDeleted, ntSessionDeleted, ntSessionExpired, ntDisconnected, ntFileClosed:
		return true
	}
	var transport *smb2.TransportError
	var invalid *smb2.InvalidResponseError
	return errors.As(err, &transport) || errors.As(err, &invalid)
}

// unavailable is an error of the whole destination.
func unavailable(op, target string, err error) *status.Error {
	return &status.Error{Word: status.DestinationUnavailable, Op: op, Target: target, Err: err}
}

// bare strips the operation and path that an os error repeats.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	if o, ok := errors.AsType[*net.OpError](err); ok {
		return o.Err
	}
	return err
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET)
}

// foreignError is a server that is none of SMB 2 or 3.
type foreignError struct{ said []byte }

func (e *foreignError) Error() string {
	if len(e.said) >= 8 && string(e.said[4:8]) == "\xffSMB" {
		return "the server speaks only SMB 1, which is not supported because it is not safe"
	}
	return fmt.Sprintf("no file server (SMB 2 or 3) listens there: what answers begins with %q", e.said)
}
