package inbox

import (
	"errors"
	"io"
	"io/fs"

	"github.com/dustin/go-humanize"
	"github.com/pkg/sftp"
)

// refusal is an error that a client may see: a status code of SFTP and a text.
type refusal struct {
	code error
	text string
}

func refuse(code error, text string) error { return &refusal{code, text} }

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
	errMany      = refuse(sftp.ErrSSHFxFailure, "too many uploads of this name wait to be imported")
	errWaits     = refuse(sftp.ErrSSHFxFailure, "more than one upload of this name waits to be imported: it cannot be renamed before")
	errNames     = refuse(sftp.ErrSSHFxFailure, "the inbox of this Space is full: the names of its files are too long, all together, until files are imported")
	errPartial   = refuse(sftp.ErrSSHFxFailure, "the upload of this file is not complete: it cannot replace another one")
)

func errTooLarge(limit int64) error {
	return refuse(sftp.ErrSSHFxFailure, "the file is larger than the "+humanize.Bytes(uint64(limit))+" that this Space accepts")
}

func errQuota(limit int64) error {
	return refuse(sftp.ErrSSHFxFailure, "the inbox of this Space is full: it holds "+humanize.Bytes(uint64(limit))+" until files are imported")
}

func errEntries(limit int) error {
	return refuse(sftp.ErrSSHFxFailure, "the inbox of this Space is full: it holds "+humanize.Comma(int64(limit))+" files and directories until files are imported")
}

// answer turns an error into one that a client may see. What is the server's
// own trouble goes to the log: it has paths of the server in it.
func (b *Inbox) answer(op, name string, err error) error {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return errMissing
	case errors.Is(err, fs.ErrExist):
		return errExists
	}
	b.o.Log.Warn("inbox: operation failed", "operation", op, "name", name, "error", err)
	if noRoom(err) {
		return errFull
	}
	return errInternal
}

// refused counts an upload that cannot be taken, and says so in the log, but
// not as often as a client may try. A client whose upload another one has taken
// over, or the end of the program has cut, is told so; nothing is wrong.
func (b *Inbox) refused(name string, why error) {
	if why == errTaken || why == errClosed {
		return
	}
	b.refusals.Add(1)
	if why != errInternal && why != errFull { // these have a line already
		b.tellRefused.Do(func() { b.o.Log.Warn("upload refused", "name", name, "why", why) })
	}
}

// Refused is how many uploads have failed since Open, at a limit mostly.
func (b *Inbox) Refused() int64 { return b.refusals.Load() }
