package spool

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/pkg/sftp"
	"golang.org/x/time/rate"
)

// refusal is an error that a client may see: a status code of SFTP and a text.
type refusal struct {
	code error
	text string
	full bool // there is no room for another upload or directory
}

func refuse(code error, text string) error { return &refusal{code: code, text: text} }

func refuseFull(text string) error { return &refusal{sftp.ErrSSHFxFailure, text, true} }

// isFull reports whether there is no room for another upload or directory.
func isFull(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.full
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.code }

// What clients are told.
var (
	errDenied    = refuse(sftp.ErrSSHFxPermissionDenied, "Permission denied") // OpenSSH shows it as it is
	errMissing   = refuse(sftp.ErrSSHFxNoSuchFile, "no such file")
	errExists    = refuse(sftp.ErrSSHFxFailure, "a file or directory of that name exists")
	errDirectory = refuse(sftp.ErrSSHFxFailure, "is a directory")
	errNoDir     = refuse(sftp.ErrSSHFxFailure, "is not a directory")
	errNotEmpty  = refuse(sftp.ErrSSHFxFailure, "the directory is not empty")
	errBusy      = refuse(sftp.ErrSSHFxFailure, "another connection is uploading this file")
	errImporting = refuse(sftp.ErrSSHFxFailure, "the file is being imported, under its present name")
	errBusyBelow = refuse(sftp.ErrSSHFxFailure, "a file below is being uploaded")
	errTaken     = refuse(sftp.ErrSSHFxFailure, "another connection has taken over the upload of this file")
	errClosed    = refuse(sftp.ErrSSHFxFailure, "the handle is closed")
	errFull      = refuse(sftp.ErrSSHFxFailure, "the disk of this server is full")
	errInternal  = refuse(sftp.ErrSSHFxFailure, "the server could not do it; its log says why")
	errOffset    = refuse(sftp.ErrSSHFxFailure, "the offset is out of range")
	errOrder     = refuse(sftp.ErrSSHFxFailure, "this write leaves a gap before it that is too large: a file has to be written from its beginning")
	errGap       = refuse(sftp.ErrSSHFxFailure, "a part of the file was never written: upload all of it again")
	errNoStart   = refuse(sftp.ErrSSHFxFailure, "there is no beginning of the file here to append to: upload all of it")
	errUploaded  = refuse(sftp.ErrSSHFxPermissionDenied, "Permission denied: the file is uploaded; open it for writing to change its size")
	errWaits     = refuse(sftp.ErrSSHFxFailure, "more than one upload of this name waits to be imported: it cannot be renamed before")
	errNames     = refuseFull("the inbox of this Space is full: the names of its files are too long, all together, until files are imported")
	errDeep      = refuse(sftp.ErrSSHFxFailure, "a path in the directory would be too long or too deep")
	errPartial   = refuse(sftp.ErrSSHFxFailure, "the upload of this file is not complete: it cannot replace another one")
)

func errTooLarge(limit int64) error {
	return refuse(sftp.ErrSSHFxFailure, "the file is larger than the "+humanize.Bytes(uint64(limit))+" that this Space accepts")
}

func errQuota(limit int64) error {
	return refuse(sftp.ErrSSHFxFailure, "the inbox of this Space is full: it holds "+humanize.Bytes(uint64(limit))+" until files are imported")
}

func errEntries(limit int) error {
	return refuseFull("the inbox of this Space is full: it holds " + humanize.Comma(int64(limit)) + " files and directories until files are imported")
}

// refusals are the errors that clients see. Methods may be called concurrently.
type refusals struct {
	log   *slog.Logger
	count atomic.Int64   // of uploads that have failed
	tell  rate.Sometimes // in the log
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, tell: rate.Sometimes{First: 10, Interval: time.Second}}
}

// answer turns an error into one that a client may see. What is the server's
// own failure goes to the log: it has paths of the server in it.
func (r *refusals) answer(op, name string, err error) error {
	if known, ok := errors.AsType[*refusal](err); ok {
		return known
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.Is(err, fs.ErrNotExist):
		return errMissing
	case errors.Is(err, fs.ErrExist):
		return errExists
	}
	r.log.Warn("spool: operation failed", "operation", op, "name", name, "error", err)
	if noRoom(err) {
		return errFull
	}
	return errInternal
}

// note counts an upload that cannot be taken, and says so in the log, but
// not as often as a client may try. A client whose upload another one has taken
// over, or the end of the program has cut, is told so; nothing is wrong.
func (r *refusals) note(name string, why error) {
	if errors.Is(why, errTaken) || errors.Is(why, errClosed) {
		return
	}
	r.count.Add(1)
	if !errors.Is(why, errInternal) && !errors.Is(why, errFull) { // these have a line already
		r.tell.Do(func() { r.log.Warn("upload refused", "name", name, "why", why) })
	}
}

// Refused is how many uploads have failed since Open, at a limit mostly.
func (s *Spool) Refused() int64 { return s.refusals.count.Load() }
