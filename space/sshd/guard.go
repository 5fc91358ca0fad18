package sshd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
)

// What clients are told. The text goes out with SSH_FX_FAILURE.
var (
	errInternal = errors.New("internal error; the server's log has more")
	errTooMany  = errors.New("too many open files and directories: close some first")
	errStopping = errors.New("the server stops: try again later")
	errOffset   = errors.New("no file is that large")
)

// guard stands between pkg/sftp and the handlers of one SFTP session. It keeps their
// panics from ending the program, bounds the open files, refuses what pkg/sftp passes
// on unchecked, and counts.
//
// It has every optional method that pkg/sftp looks for, and does what pkg/sftp would do
// for handlers that lack it.
type guard struct {
	session  *session
	handler  sftp.Handlers
	onAppend func() // called before a file is opened for appending; may be nil
}

func newGuard(s *session, h sftp.Handlers) *guard { return &guard{session: s, handler: h} }

func (g *guard) handlers() sftp.Handlers {
	return sftp.Handlers{FileGet: g, FilePut: g, FileCmd: g, FileList: g}
}

// protect counts a call of a handler in. It gives a function to defer: that counts the
// call out, keeps its panic from ending the program, and sets the status of its error.
func (g *guard) protect(operation string, err *error) func() {
	g.session.running.Add(1)
	return func() {
		g.session.running.Add(-1)
		if p := recover(); p != nil {
			g.session.panicked(operation, p)
			*err = errInternal
		}
		*err = withStatus(*err)
	}
}

// withStatus gives a permission error of the file system the SFTP status "permission
// denied". pkg/sftp does so for errors of the kernel alone.
func withStatus(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (%w)", sftp.ErrSSHFxPermissionDenied, err)
	}
	return err
}

// acquire counts a file or directory in that is to be opened. If the opening fails,
// release follows; else Close calls it.
func (g *guard) acquire() error {
	if g.session.stopping.Load() {
		return errStopping
	}
	if !g.session.server.open.acquire(g.session) {
		return errTooMany
	}
	return nil
}

func (g *guard) release() { g.session.server.open.release(g.session) }

// Fileread is sftp.FileReader.
func (g *guard) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	return g.file(r, false, func(f *file) (err error) {
		f.reader, err = g.handler.FileGet.Fileread(r)
		f.inner = f.reader
		return err
	})
}

// Filewrite is sftp.FileWriter.
func (g *guard) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	return g.file(r, true, func(f *file) (err error) {
		f.writer, err = g.handler.FilePut.Filewrite(r)
		f.inner = f.writer
		return err
	})
}

// OpenFile is sftp.OpenFileWriter: for reading and writing. Handlers without it are
// asked for a file to write.
func (g *guard) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	return g.file(r, true, func(f *file) error {
		if opener, ok := g.handler.FilePut.(sftp.OpenFileWriter); ok {
			rw, err := opener.OpenFile(r)
			f.reader, f.writer, f.inner = rw, rw, rw
			return err
		}
		method := r.Method
		r.Method = "Put"
		defer func() { r.Method = method }()
		w, err := g.handler.FilePut.Filewrite(r)
		f.writer, f.inner = w, w
		return err
	})
}

// file opens a file. The result is a *file only if there is no error, as pkg/sftp
// requires.
func (g *guard) file(r *sftp.Request, writes bool, open func(*file) error) (_ *file, err error) {
	if err := checkInside(r.Filepath); err != nil {
		return nil, err
	}
	if err := g.acquire(); err != nil {
		return nil, err
	}
	f := &file{guard: g, writes: writes}
	if g.onAppend != nil && r.Pflags().Append {
		g.onAppend()
	}
	if writes {
		g.session.writers.Add(1)
	}
	opened := false
	defer func() {
		if !opened {
			f.release()
		}
	}()
	defer g.protect("open", &err)()
	if err := open(f); err != nil {
		return nil, err
	}
	opened = true
	return f, nil
}

// Filecmd is sftp.FileCmder.
func (g *guard) Filecmd(r *sftp.Request) error { return g.command(r, g.handler.FileCmd.Filecmd) }

// PosixRename is sftp.PosixRenameFileCmder.
func (g *guard) PosixRename(r *sftp.Request) error {
	if renamer, ok := g.handler.FileCmd.(sftp.PosixRenameFileCmder); ok {
		return g.command(r, renamer.PosixRename)
	}
	r.Method = "Rename"
	return g.command(r, g.handler.FileCmd.Filecmd)
}

func (g *guard) command(r *sftp.Request, do func(*sftp.Request) error) (err error) {
	if err := checkInside(r.Filepath, r.Target); err != nil {
		return err
	}
	defer g.protect(r.Method, &err)()
	return do(r)
}

// StatVFS is sftp.StatVFSFileCmder.
func (g *guard) StatVFS(r *sftp.Request) (st *sftp.StatVFS, err error) {
	if err := checkInside(r.Filepath); err != nil {
		return nil, err
	}
	defer g.protect("statvfs", &err)()
	if teller, ok := g.handler.FileCmd.(sftp.StatVFSFileCmder); ok {
		return teller.StatVFS(r)
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// Filelist is sftp.FileLister. Only the listing of a directory stays open.
func (g *guard) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	return g.list(r, r.Method == "List", g.handler.FileList.Filelist)
}

// Lstat is sftp.LstatFileLister.
func (g *guard) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	if lister, ok := g.handler.FileList.(sftp.LstatFileLister); ok {
		return g.list(r, false, lister.Lstat)
	}
	r.Method = "Stat"
	return g.list(r, false, g.handler.FileList.Filelist)
}

func (g *guard) list(r *sftp.Request, stays bool, open func(*sftp.Request) (sftp.ListerAt, error)) (_ sftp.ListerAt, err error) {
	if err := checkInside(r.Filepath); err != nil {
		return nil, err
	}
	if stays {
		if err := g.acquire(); err != nil {
			return nil, err
		}
	}
	opened := false
	defer func() {
		if stays && !opened {
			g.release()
		}
	}()
	defer g.protect(r.Method, &err)()
	inner, err := open(r)
	if err != nil {
		return nil, err
	}
	opened = true
	return &listing{guard: g, inner: inner, counted: stays}, nil
}

// RealPath is sftp.RealPathFileLister.
func (g *guard) RealPath(p string) (_ string, err error) {
	if err := checkInside(p); err != nil {
		return "", err
	}
	defer g.protect("realpath", &err)()
	if resolver, ok := g.handler.FileList.(sftp.RealPathFileLister); ok {
		return resolver.RealPath(p)
	}
	return path.Join("/", filepath.ToSlash(filepath.Clean(p))), nil
}

// Readlink is sftp.ReadlinkFileLister.
func (g *guard) Readlink(p string) (_ string, err error) {
	if err := checkInside(p); err != nil {
		return "", err
	}
	defer g.protect("readlink", &err)()
	if reader, ok := g.handler.FileList.(sftp.ReadlinkFileLister); ok {
		return reader.Readlink(p)
	}
	lister, err := g.handler.FileList.Filelist(sftp.NewRequest("Readlink", p))
	if err != nil {
		return "", err
	}
	target := make([]os.FileInfo, 1)
	n, err := lister.ListAt(target, 0)
	if n == 1 {
		return target[0].Name(), nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = os.ErrNotExist
	}
	return "", err
}

// file is an open file. Reads and writes come concurrently. pkg/sftp lets requests that
// a client sends behind its CLOSE run beside the CLOSE; here they fail.
type file struct {
	guard  *guard
	inner  any // reader or writer, for its other methods
	reader io.ReaderAt
	writer io.WriterAt
	writes bool
	failed atomic.Bool

	mu     sync.RWMutex // read-locked by reads and writes, locked by Close
	closed bool
}

// release counts the file out.
func (f *file) release() {
	if f.writes {
		f.guard.session.writers.Add(-1)
	}
	f.guard.release()
	f.guard.session.changed()
}

func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	if f.reader == nil {
		return 0, os.ErrPermission
	}
	n, err = f.at(p, off, f.reader.ReadAt)
	f.guard.session.sent.Add(int64(n))
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	n, err = f.at(p, off, f.writer.WriteAt)
	f.guard.session.received.Add(int64(n))
	return n, err
}

// at calls do, for an offset that a file can have. The offset comes from the client,
// with 64 bits.
func (f *file) at(p []byte, off int64, do func([]byte, int64) (int, error)) (n int, err error) {
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return 0, errOffset
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return 0, os.ErrClosed
	}
	defer f.guard.protect("read or write", &err)()
	k, err := do(p, off)
	if k < 0 || k > len(p) {
		panic("a handler says that it has read or written what cannot be")
	}
	return k, err
}

// TransferError is sftp.TransferError: the session ends with the file open.
func (f *file) TransferError(cause error) {
	f.failed.Store(true)
	var none error
	defer f.guard.protect("transfer error", &none)()
	if inner, ok := f.inner.(sftp.TransferError); ok {
		inner.TransferError(cause)
	}
}

func (f *file) Close() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return os.ErrClosed
	}
	f.closed = true
	defer f.release()
	defer f.guard.protect("close", &err)()
	if inner, ok := f.inner.(io.Closer); ok {
		err = inner.Close()
	}
	switch {
	case err != nil || f.failed.Load():
	case f.writes:
		f.guard.session.stored.Add(1)
	default:
		f.guard.session.fetched.Add(1)
	}
	return err
}

// listing is an open directory, or the answer to a STAT.
type listing struct {
	guard   *guard
	inner   sftp.ListerAt
	counted bool
}

func (l *listing) ListAt(to []os.FileInfo, off int64) (n int, err error) {
	defer l.guard.protect("list", &err)()
	k, err := l.inner.ListAt(to, off)
	for i, fi := range to[:k] {
		to[i] = entry{fi.Name(), fi.Size(), fi.Mode(), fi.ModTime(), fi.Sys()}
	}
	return k, err
}

func (l *listing) Close() (err error) {
	if l.counted {
		defer l.guard.release()
	}
	defer l.guard.protect("close", &err)()
	if inner, ok := l.inner.(io.Closer); ok {
		return inner.Close()
	}
	return nil
}

// entry copies what a handler tells of a file. The copy is made where a panic does no
// harm.
type entry struct {
	name    string
	size    int64
	mode    os.FileMode
	modTime time.Time
	sys     any
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return e.size }
func (e entry) Mode() os.FileMode  { return e.mode }
func (e entry) ModTime() time.Time { return e.modTime }
func (e entry) IsDir() bool        { return e.mode.IsDir() }
func (e entry) Sys() any           { return e.sys }
