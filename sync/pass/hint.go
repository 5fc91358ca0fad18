package pass

import (
	"errors"
	"io/fs"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// hint says what to do about one file's failure.
func hint(err error) string {
	own, advised := errors.AsType[interface {
		error
		Hint() string
	}](err)
	switch {
	case advised && own.Hint() != "":
		return own.Hint()
	case errors.Is(err, fs.ErrPermission):
		return "Have the server's administrator let this user read it (in direction upload: write it), and see that this machine lets the program do its part."
	case errors.Is(err, fs.ErrNotExist):
		return "The file went away while the pass ran; nothing needs to be done."
	case errors.Is(err, filesync.ErrConflict):
		return "Remove or rename the file at the destination, or set files.on_conflict: overwrite."
	case filesync.IsUnsafe(err):
		return plan.HintName
	case errors.Is(err, filesync.ErrOutside):
		return "Only links inside the source directory are followed; move the file there, or set files.symlinks: skip."
	case errors.Is(err, filesync.ErrLimit):
		return "Split the directory, or exclude it."
	case errors.Is(err, errNoSize):
		return "Without a size nobody can tell whether a copy is whole, so none is made: have the server's administrator see why it tells none."
	case errors.Is(err, filesync.ErrChanged):
		return "It is copied once it stands still."
	}
	if w, ok := errors.AsType[*status.Error](err); ok {
		return w.Advice()
	}
	return "See the error; it is tried again on its own."
}
