package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"
)

// Handlers gives the file side of one SFTP session, for sftp.NewRequestServer
// with "/" as its start directory.
func (s *Spool) Handlers() sftp.Handlers {
	one := session{s}
	return sftp.Handlers{FileGet: one, FilePut: one, FileCmd: one, FileList: one}
}

// session is one client.
type session struct{ spool *Spool }

var (
	_ sftp.FileReader           = session{}
	_ sftp.OpenFileWriter       = session{}
	_ sftp.PosixRenameFileCmder = session{}
	_ sftp.StatVFSFileCmder     = session{}
	_ sftp.LstatFileLister      = session{}
	_ sftp.ReadlinkFileLister   = session{}
)

// Fileread implements sftp.FileReader: OPEN for reading.
func (s session) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	name, err := clean(r.Filepath)
	if err != nil {
		return nil, err
	}
	views{s.spool}.use(name)
	f, err := views{s.spool}.openRead(name)
	if err != nil {
		return nil, s.spool.refusals.answer("open", name, err)
	}
	return f, nil
}

// Filewrite implements sftp.FileWriter: OPEN for writing.
func (s session) Filewrite(r *sftp.Request) (io.WriterAt, error) { return s.OpenFile(r) }

// OpenFile implements sftp.OpenFileWriter: OPEN for both.
func (s session) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	name, err := clean(r.Filepath)
	if err != nil {
		s.spool.refusals.note(r.Filepath[:min(len(r.Filepath), maxName)], err)
		return nil, err
	}
	views{s.spool}.use(name)
	f, err := uploads{s.spool}.openWrite(name, r.Pflags())
	if err != nil {
		return nil, s.spool.refusals.answer("open for writing", name, err)
	}
	return f, nil
}

// Filecmd implements sftp.FileCmder. Links of any kind, and what is unknown, are refused.
func (s session) Filecmd(r *sftp.Request) error {
	switch r.Method {
	case "Rename":
		return s.rename(r, false)
	case "Setstat", "Mkdir", "Rmdir", "Remove":
	default:
		return errDenied
	}
	name, err := clean(r.Filepath)
	if err != nil {
		return err
	}
	views{s.spool}.use(name)
	switch r.Method {
	case "Setstat":
		err = commands{s.spool}.setAttributes(name, r.AttrFlags(), r.Attributes())
	case "Mkdir":
		err = commands{s.spool}.mkdir(name)
	case "Rmdir":
		err = commands{s.spool}.rmdir(name)
	case "Remove":
		err = commands{s.spool}.remove(name)
	}
	return s.spool.refusals.answer(r.Method, name, err)
}

// PosixRename implements sftp.PosixRenameFileCmder.
func (s session) PosixRename(r *sftp.Request) error { return s.rename(r, true) }

func (s session) rename(r *sftp.Request, replace bool) error {
	from, err := clean(r.Filepath)
	if err != nil {
		return err
	}
	to, err := clean(r.Target)
	if err != nil {
		return err
	}
	views{s.spool}.use(from)
	views{s.spool}.use(to)
	return s.spool.refusals.answer("rename", from, commands{s.spool}.rename(from, to, replace))
}

// StatVFS implements sftp.StatVFSFileCmder.
func (s session) StatVFS(*sftp.Request) (*sftp.StatVFS, error) { return commands{s.spool}.status() }

// Readlink implements sftp.ReadlinkFileLister.
func (s session) Readlink(string) (string, error) { return "", errDenied }

// Lstat implements sftp.LstatFileLister. Unlike STAT it has no answer of what was
// imported: clients ask it whether something stands in the way of an upload.
func (s session) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	return s.statOne(r, views{s.spool}.lstat)
}

// Filelist implements sftp.FileLister: OPENDIR and STAT.
func (s session) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "Stat":
		return s.statOne(r, views{s.spool}.stat)
	case "List":
	default:
		return nil, errDenied
	}
	name, err := clean(r.Filepath)
	if err != nil {
		return nil, err
	}
	views{s.spool}.use(name)
	l, err := views{s.spool}.openLister(name)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (s session) statOne(r *sftp.Request, at func(name string) (fs.FileInfo, error)) (sftp.ListerAt, error) {
	name, err := clean(r.Filepath)
	if err != nil {
		return nil, err
	}
	views{s.spool}.use(name)
	info, err := at(name)
	if err != nil {
		return nil, err
	}
	return one{info}, nil
}

// views is what clients see of the spool.
type views struct{ *Spool }

// use notes that a client asks for what has a name, or for what is above it.
func (s views) use(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree.use(name, time.Now())
}

// lstat gives what a client sees under a name.
func (s views) lstat(name string) (fs.FileInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lstatLocked(name)
}

// lstatLocked is lstat. The caller holds s.mu.
func (s views) lstatLocked(name string) (fs.FileInfo, error) {
	if s.closed {
		return nil, errClosed
	}
	if name == "" {
		return s.tree.top.shown("/"), nil
	}
	_, base, c, err := s.tree.find(name)
	switch {
	case err != nil:
		return nil, err
	case c == nil:
		return nil, errMissing
	case c.directory != nil:
		return c.directory.shown(base), nil
	case !c.file.seen():
		return nil, errMissing
	}
	return c.file.shown(), nil
}

// stat is lstat, and gives what a client saw until it was imported.
func (s views) stat(name string) (fs.FileInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := s.lstatLocked(name)
	if errors.Is(err, errMissing) {
		if g := s.gone.find(name); g != nil {
			return entry{path.Base(name), g.size, 0o644, g.modTime}, nil
		}
	}
	return info, err
}

// one is the ListerAt of a single answer.
type one struct{ info fs.FileInfo }

func (o one) ListAt(to []os.FileInfo, _ int64) (int, error) {
	return copy(to, []os.FileInfo{o.info}), nil
}

// lister lists a directory to a client, some entries at a time: what comes or goes
// meanwhile may be in the answers or not, what stays is there once.
type lister struct {
	s  *Spool
	d  *directory
	at int64 // the order of the last child
}

func (s views) openLister(name string) (*lister, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	d, err := s.tree.directory(name)
	if err != nil {
		return nil, err
	}
	return &lister{s: s.Spool, d: d}, nil
}

// ListAt implements sftp.ListerAt. pkg/sftp asks in order.
func (l *lister) ListAt(to []os.FileInfo, _ int64) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	n := 0
	for n < len(to) {
		next := l.d.after(l.at, len(to)-n)
		if len(next) == 0 {
			return n, io.EOF
		}
		for _, c := range next {
			l.at = c.order
			switch {
			case c.directory != nil:
				to[n] = c.directory.shown(c.name)
			case c.file.seen():
				to[n] = c.file.shown()
			default:
				continue
			}
			n++
		}
	}
	return n, nil
}

// entry is what a client sees of a file or directory. Its permissions tell clients
// what they may do.
type entry struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

func (d *directory) shown(name string) entry { return entry{name, 4096, fs.ModeDir | 0o755, d.modTime} }

// shown is the upload that is under way or was cut, or else the last that was received.
func (f *file) shown() entry {
	if f.part != nil {
		return entry{f.name, f.part.size, 0o644, f.partSince}
	}
	o := f.last()
	return entry{f.name, o.size, 0o644, o.modTime}
}

func (i entry) Name() string       { return i.name }
func (i entry) Size() int64        { return i.size }
func (i entry) Mode() fs.FileMode  { return i.mode }
func (i entry) ModTime() time.Time { return i.modTime }
func (i entry) IsDir() bool        { return i.mode.IsDir() }
func (i entry) Sys() any           { return nil }
