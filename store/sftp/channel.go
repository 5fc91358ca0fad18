package sftp

import (
	"context"
	"io"
	"io/fs"
	"time"

	"sftpconnector/store/sftp/wire"
)

// port is one channel on which directories are listed and files are read. Its
// methods may be called concurrently. Errors are those of package
// wire, or the context's, or what a writer answered.
type channel interface {
	// list gives the entries of a directory in batches, until got says no.
	// Names are paths as given plus "/" and what the server sent. A batch is
	// valid until got returns.
	list(ctx context.Context, dir string, got func([]item) bool) error
	// stat looks at paths and tells of each once, in any order; links are
	// followed if follow is set.
	stat(ctx context.Context, paths []string, follow bool, got func(i int, a attrs, err error)) error
	// open opens a file for reading.
	open(ctx context.Context, path string) (file, error)
	// unanswered is the request whose turn it is to be answered; ok is false when there
	// is none.
	unanswered() (u wire.Unanswered, ok bool)
}

// file is an open file of a port.
type file interface {
	// copy reads what blocks hands out into w, until there is no more. Several
	// files may share one blocks.
	copy(ctx context.Context, b *blocks, w io.WriterAt) error
	// stat asks the open handle.
	stat(ctx context.Context) (attrs, error)
	// last reads n bytes at off, asks the open handle for its attributes and
	// closes it, all at once. The error is one of the connection, the context or w.
	readAndClose(ctx context.Context, off int64, n int, w io.WriterAt, then func()) (a handleAttrs, state readState, err error)
	// tail reads at the end that was listed, where nothing may come, and asks the open
	// handle beside that, if ask is set.
	checkEnd(ctx context.Context, end int64, ask bool) (handleAttrs, error)
	// close gives the handle back and waits for nothing. then is called when
	// the server has done so, or never will.
	close(then func())
}

// lastState is how far file.last came.
type readState int

const (
	readNotTried   readState = iota // it cannot be relied on here: the handle is still open
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

// complete reports whether nothing is missing that a pass needs.
func (a attrs) complete() bool {
	return a.typed && (a.size >= 0 && !a.modTime.IsZero() || a.mode.IsDir())
}

// or fills in what is missing from b.
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

// dots reports whether a name is the directory's own or its parent's, which
// every listing may hold.
func isDot(name string) bool { return name == "." || name == ".." }
