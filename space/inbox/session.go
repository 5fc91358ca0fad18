package inbox

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
func (b *Inbox) Handlers() sftp.Handlers {
	s := session{b}
	return sftp.Handlers{FileGet: s, FilePut: s, FileCmd: s, FileList: s}
}

// session is one client.
type session struct{ b *Inbox }

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
	s.b.useAbove(name)
	f, err := s.b.openRead(name)
	if err != nil {
		return nil, s.b.answer("open", name, err)
	}
	return f, nil
}

// Filewrite implements sftp.FileWriter: OPEN for writing.
func (s session) Filewrite(r *sftp.Request) (io.WriterAt, error) { return s.OpenFile(r) }

// OpenFile implements sftp.OpenFileWriter: OPEN for both.
func (s session) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	name, err := clean(r.Filepath)
	if err != nil {
		s.b.refused(r.Filepath[:min(len(r.Filepath), maxName)], err)
		return nil, err
	}
	s.b.useAbove(name)
	f, err := s.b.openWrite(name, r.Pflags())
	if err != nil {
		return nil, s.b.answer("open for writing", name, err)
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
	s.b.useAbove(name)
	switch r.Method {
	case "Setstat":
		err = s.b.setAttributes(name, r.AttrFlags(), r.Attributes())
	case "Mkdir":
		err = s.b.mkdir(name)
	case "Rmdir":
		err = s.b.rmdir(name)
	case "Remove":
		err = s.b.remove(name)
	}
	return s.b.answer(r.Method, name, err)
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
	s.b.useAbove(from)
	s.b.use(to) // it may be a directory
	s.b.useAbove(to)
	return s.b.answer("rename", from, s.b.rename(from, to, replace))
}

// StatVFS implements sftp.StatVFSFileCmder.
func (s session) StatVFS(*sftp.Request) (*sftp.StatVFS, error) { return s.b.status() }

// Readlink implements sftp.ReadlinkFileLister.
func (s session) Readlink(string) (string, error) { return "", errDenied }

// Lstat implements sftp.LstatFileLister. Unlike STAT it has no answer of what was
// imported: clients ask it whether something stands in the way of an upload.
func (s session) Lstat(r *sftp.Request) (sftp.ListerAt, error) { return s.look(r, s.b.lstat) }

// Filelist implements sftp.FileLister: OPENDIR and STAT.
func (s session) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "Stat":
		return s.look(r, s.b.stat)
	case "List":
	default:
		return nil, errDenied
	}
	name, err := clean(r.Filepath)
	if err != nil {
		return nil, err
	}
	s.b.use(name)
	l, err := s.b.openLister(name)
	if err != nil {
		return nil, s.b.answer("list", name, err)
	}
	return l, nil
}

func (s session) look(r *sftp.Request, at func(name string) (fs.FileInfo, error)) (sftp.ListerAt, error) {
	name, err := clean(r.Filepath)
	if err != nil {
		return nil, err
	}
	s.b.useAbove(name)
	info, err := at(name)
	if err != nil {
		return nil, s.b.answer("stat", name, err)
	}
	if info.IsDir() {
		s.b.use(name)
	}
	return one{info}, nil
}

// lstat gives what a client sees under a name.
func (b *Inbox) lstat(name string) (fs.FileInfo, error) {
	p, err := b.place(name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	s, err := p.look()
	switch {
	case err != nil:
		return nil, err
	case s.part != nil:
		return b.shownPart(name, s.part), nil
	case s.whole != nil:
		return b.shownWhole(name, s.whole), nil
	}
	return nil, errMissing
}

// stat is lstat, and gives what a client saw until it was imported.
func (b *Inbox) stat(name string) (fs.FileInfo, error) {
	info, err := b.lstat(name)
	if err == nil || !errors.Is(err, errMissing) && !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.gone.find(name); g != nil {
		return shownAs{path.Base(name), g.size, 0o644, g.modTime}, nil
	}
	return nil, err
}

// one is the ListerAt of a single answer.
type one struct{ info fs.FileInfo }

func (o one) ListAt(to []os.FileInfo, _ int64) (int, error) {
	return copy(to, []os.FileInfo{o.info}), nil
}

// lister streams a directory to a client.
type lister struct {
	b     *Inbox
	name  string
	p     place
	names *nameStream
	bases []string // read from names, and not yet looked at
	end   error
}

func (b *Inbox) openLister(name string) (*lister, error) {
	p, err := b.directory(name)
	if err != nil {
		return nil, err
	}
	n, err := openNames(p.dir)
	if err != nil {
		p.close()
		return nil, err
	}
	return &lister{b: b, name: name, p: p, names: n}, nil
}

// ListAt implements sftp.ListerAt. pkg/sftp asks in order.
func (l *lister) ListAt(to []os.FileInfo, _ int64) (int, error) {
	n := 0
	for n < len(to) {
		if len(l.bases) == 0 {
			if l.end == nil {
				l.bases, l.end = l.names.next()
			}
			if len(l.bases) == 0 {
				return n, l.b.answer("list", l.name, l.end)
			}
		}
		base := l.bases[0]
		l.bases = l.bases[1:]
		if info := l.entry(base); info != nil {
			to[n] = info
			n++
		}
	}
	return n, nil
}

// entry gives what a client sees of a name on the disk; nil for nothing. A file
// with two names is shown under the reserved one.
func (l *lister) entry(base string) fs.FileInfo {
	plain, part := cutReserved(base)
	if !part && isReserved(base) {
		return nil
	}
	info, err := lstat(l.p.dir, base)
	if err != nil || info == nil || part && !info.Mode().IsRegular() {
		return nil
	}
	switch {
	case part:
		return l.b.shownPart(join(l.name, plain), info)
	case info.Mode().IsRegular() && l.b.hasPart(join(l.name, base)):
		return nil
	}
	return l.b.shownWhole(join(l.name, base), info)
}

func (b *Inbox) hasPart(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[key(name)]
	return f != nil && f.part != nil
}

// Close implements io.Closer.
func (l *lister) Close() error {
	err := l.names.close()
	l.p.close()
	return l.b.answer("close", l.name, err)
}

// shownAs is what a client sees of a file or directory.
type shownAs struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

// shown gives permissions that tell clients what they may do, not what the disk has.
func shown(name string, of fs.FileInfo) shownAs {
	if of.IsDir() {
		return shownAs{name, of.Size(), fs.ModeDir | 0o755, of.ModTime()}
	}
	return shownAs{name, of.Size(), 0o644, of.ModTime()}
}

// shownWhole is what a client sees where a directory or an uploaded file stands:
// the last one of its name.
func (b *Inbox) shownWhole(name string, of fs.FileInfo) shownAs {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l, ok := b.latest(name); ok && !of.IsDir() {
		return shownAs{path.Base(name), l.size, 0o644, l.modTime}
	}
	return shown(path.Base("/"+name), of)
}

// shownPart is a file that is being uploaded, or was cut. The time that it has on
// the disk says nothing to a client.
func (b *Inbox) shownPart(name string, of fs.FileInfo) shownAs {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := shownAs{path.Base(name), of.Size(), 0o644, time.Now()}
	if f := b.files[key(name)]; f != nil {
		i.modTime = f.partSince
	}
	return i
}

func (i shownAs) Name() string       { return i.name }
func (i shownAs) Size() int64        { return i.size }
func (i shownAs) Mode() fs.FileMode  { return i.mode }
func (i shownAs) ModTime() time.Time { return i.modTime }
func (i shownAs) IsDir() bool        { return i.mode.IsDir() }
func (i shownAs) Sys() any           { return nil }
