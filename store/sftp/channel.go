package sftp

import (
	"context"
	"io"
	"io/fs"
	"time"

	"sftpconnector/store/sftp/wire"
)

// channel is one SFTP channel, on which directories are listed and files are read. Its
// methods may be called concurrently. Their errors are those of package wire, of the
// context or of a writer.
type channel interface {
	// list gives the entries of a directory in batches, until got returns false. The
	// name of an entry is the path as given, "/" and what the server sent. A batch is
	// valid until got returns.
	list(ctx context.Context, dir string, got func([]item) bool) error
	// stat asks for the attributes of paths and reports each once, in any order. It
	// follows links if follow is set.
	stat(ctx context.Context, paths []string, follow bool, got func(i int, a attrs, err error)) error
	// open opens a file for reading.
	open(ctx context.Context, path string) (file, error)
	// unanswered is the request whose answer is due next; ok is false when there is
	// none.
	unanswered() (u wire.Unanswered, ok bool)
}

// file is an open file of a channel.
type file interface {
	// copy reads what blocks hands out into w, until nothing is left. Several files may
	// share one blocks.
	copy(ctx context.Context, b *blocks, w io.WriterAt) error
	// stat asks the open handle.
	stat(ctx context.Context) (attrs, error)
	// readAndClose reads n bytes at off, asks the open handle for its attributes and
	// closes it, all at once. The error is one of the connection, the context or w.
	readAndClose(ctx context.Context, off int64, n int, w io.WriterAt, then func()) (a handleAttrs, state readState, err error)
	// checkEnd reads at the end that was listed, where nothing may come. It asks the
	// open handle for its attributes beside that, if ask is set.
	checkEnd(ctx context.Context, end int64, ask bool) (handleAttrs, error)
	// close closes the handle and does not wait. then is called when the server has
	// closed it, or never will.
	close(then func())
}

// readState is how far readAndClose came.
type readState int

const (
	readNotTried   readState = iota // the server cannot be relied on for it: the handle is still open
	readIncomplete                  // not all the bytes came, and the handle is closed
	readDone                        // all the bytes came, and the handle is closed
)

// handleAttrs is what an open handle said, or why it did not.
type handleAttrs struct {
	attrs
	err error
}

// attrs is what a server says of a file.
type attrs struct {
	size    int64     // -1: it did not say
	modTime time.Time // zero: it did not say
	mode    fs.FileMode
	typed   bool // mode has the type; else it did not say
}

// complete reports whether the server told all that a pass needs.
func (a attrs) complete() bool {
	return a.typed && (a.size >= 0 && !a.modTime.IsZero() || a.mode.IsDir())
}

// fillFrom takes from b what is missing.
func (a attrs) fillFrom(b attrs) attrs {
	if a.size < 0 {
		a.size = b.size
	}
	if a.modTime.IsZero() {
		a.modTime = b.modTime
	}
	if !a.typed {
		a.mode, a.typed = b.mode, b.typed
	}
	return a
}

// item is one entry of a directory.
type item struct {
	path   string
	letter byte // the first of its line as of "ls -l", or 0
	attrs
}

// isDot reports whether a name is the directory's own or its parent's. A listing may
// hold both.
func isDot(name string) bool { return name == "." || name == ".." }
