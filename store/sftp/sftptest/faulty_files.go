package sftptest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"time"
)

// handle is an open file or directory.
type handle struct {
	id      string
	path    string
	file    *os.File // nil for an injected file and for directories
	content []byte   // of an injected file
	info    info     // of an injected file or directory
	dir     bool
	writing bool
	next    int64                 // the end of the last WRITE
	pull    func() (listed, bool) // the next name of a directory
	stop    func()
}

// listed is one name of a listing.
type listed struct {
	name string
	info info
}

// batch is how many names OpenSSH answers to one READDIR.
const batch = 100

// onHandle answers a request on a handle, and gives the number of bytes of
// file data in the answer.
func (s *session) onHandle(f *Faults, op Op, id uint32, in *fields) int {
	h := s.lookup(in.string())
	if h == nil || in.err != nil {
		s.status(id, StatusFailure)
		return 0
	}
	if f.Fail != nil {
		if st := f.Fail(op, h.path); st != StatusOK {
			if op == OpClose {
				s.close(h)
			}
			s.status(id, st)
			return 0
		}
	}
	switch op {
	case OpRead:
		return s.read(f, id, h, int64(in.uint64()), in.uint32())
	case OpWrite:
		s.status(id, s.write(f, h, int64(in.uint64()), in.bytes()))
	case OpClose:
		s.close(h)
		if h.writing && f.OnWritten != nil {
			f.OnWritten(h.path)
		}
		s.status(id, StatusOK)
	case OpFstat:
		i := h.info
		if h.file != nil {
			fi, err := h.file.Stat()
			if err != nil {
				s.statusOf(id, err)
				return 0
			}
			i = infoOf(fi)
		}
		s.attrs(id, f.said(op, h.path, i))
	case OpFsetstat:
		s.statusOf(id, setAttrs(h.path, in.attrs()))
	case OpReaddir:
		s.readdir(f, id, h)
	}
	return 0
}

func (s *session) write(f *Faults, h *handle, at int64, data []byte) Status {
	stored := s.srv.stored.Add(int64(len(data)))
	switch {
	case h.file == nil, !h.writing, f.MaxWrite > 0 && len(data) > f.MaxWrite, f.Room > 0 && stored > f.Room:
		return StatusFailure
	}
	if f.InSequence && at != h.next {
		return StatusFailure
	}
	h.next = at + int64(len(data))
	_, err := h.file.WriteAt(data, at)
	return statusOf(err)
}

func (s *session) attrs(id uint32, i info) {
	s.head(answerAttrs, id)
	s.answer = appendAttrs(s.answer, i)
}

func (s *session) read(f *Faults, id uint32, h *handle, at int64, length uint32) int {
	if f.OnRead != nil {
		f.OnRead(h.path, at)
	}
	if h.dir || at < 0 || f.RefuseReadOver > 0 && length > uint32(f.RefuseReadOver) {
		s.status(id, StatusFailure)
		return 0
	}
	n := min(int64(length), maxPacket-1024) // as OpenSSH: room for the head
	if f.MaxRead > 0 {
		n = min(n, int64(f.MaxRead))
	}
	if f.EOFAt > 0 {
		n = min(n, f.EOFAt-at)
	}
	if n <= 0 {
		s.status(id, StatusEOF)
		return 0
	}
	before := len(s.answer)
	s.head(answerData, id)
	s.answer = appendUint32(s.answer, 0)
	start := len(s.answer)
	s.answer = append(s.answer, make([]byte, n)...)
	got, err := h.readAt(s.answer[start:], at)
	if got == 0 && err != nil {
		s.answer = s.answer[:before]
		s.statusOf(id, err)
		return 0
	}
	copy(s.answer[start-4:], appendUint32(nil, uint32(got)))
	s.answer = s.answer[:start+got]
	return got
}

func (h *handle) readAt(p []byte, at int64) (int, error) {
	if h.file != nil {
		return h.file.ReadAt(p, at)
	}
	if at >= int64(len(h.content)) {
		return 0, io.EOF
	}
	return copy(p, h.content[at:]), nil
}

func (s *session) readdir(f *Faults, id uint32, h *handle) {
	if h.pull == nil {
		s.status(id, StatusFailure)
		return
	}
	var names []listed
	for size := 0; len(names) < batch && size < maxPacket/2; {
		l, ok := h.pull()
		if !ok {
			break
		}
		names = append(names, l)
		size += 2*len(l.name) + 100
	}
	if len(names) == 0 && f.EndOfListing != EndEmpty {
		s.status(id, map[EndOfListing]Status{EndEOF: StatusEOF, EndOK: StatusOK}[f.EndOfListing])
		return
	}
	s.head(answerName, id)
	s.answer = appendUint32(s.answer, uint32(len(names)))
	for _, l := range names {
		said := f.said(OpReaddir, path.Join(h.path, l.name), l.info)
		if f.FullPaths {
			l.name = h.path + "/" + l.name
		}
		s.name(l, said, !f.NoAttributes)
	}
}

// name appends a name in its two forms, the second as by ls -l, and its attributes.
func (s *session) name(l listed, said info, attributes bool) {
	s.answer = appendString(s.answer, l.name)
	if !attributes {
		s.answer = appendUint32(appendString(s.answer, l.name), 0)
		return
	}
	s.answer = appendString(s.answer, fmt.Sprintf("%s 1 root root %d %s %s",
		l.info.mode, l.info.size, l.info.mtime.Format("Jan _2 2006"), l.name))
	s.answer = appendAttrs(s.answer, said)
}

// said is what an answer tells of a file.
func (f *Faults) said(op Op, path string, i info) info {
	if f.Attributes == nil {
		return i
	}
	a := Attributes{Size: i.size, ModTime: i.mtime, Dir: i.mode.IsDir()}
	f.Attributes(op, path, &a)
	i.size, i.mtime, i.untyped = a.Size, a.ModTime, a.NoType
	for flag, left := range map[uint32]bool{hasSize: a.NoSize, hasTimes: a.NoTime, hasPermissions: a.NoMode} {
		if left {
			i.without |= flag
		}
	}
	return i
}

// onPath answers a request that names a path.
func (s *session) onPath(f *Faults, op Op, id uint32, p string, in *fields) {
	switch op {
	case OpOpen:
		s.open(f, id, p, in.uint32())
	case OpOpendir:
		s.opendir(f, id, p)
	case OpStat, OpLstat:
		i, err := stat(f, op, p)
		if err != nil {
			s.statusOf(id, err)
			return
		}
		s.attrs(id, f.said(op, p, i))
	case OpRealpath:
		real, err := realpath(f, p)
		if err != nil {
			s.statusOf(id, err)
			return
		}
		s.oneName(id, real)
	case OpReadlink:
		target, err := os.Readlink(p)
		if err != nil {
			s.statusOf(id, err)
			return
		}
		s.oneName(id, target)
	case OpSetstat:
		s.statusOf(id, setAttrs(p, in.attrs()))
	case OpRemove:
		s.statusOf(id, remove(p, false))
	case OpRmdir:
		s.statusOf(id, remove(p, true))
	case OpMkdir:
		s.statusOf(id, os.Mkdir(p, 0o755))
	case OpRename:
		rename := renameNew
		if f.RenameReplaces {
			rename = os.Rename
		}
		s.statusOf(id, renamed(f, rename, p, s.abs(in.string())))
	case OpSymlink: // OpenSSH takes the target first, against the draft
		s.statusOf(id, os.Symlink(p, s.abs(in.string())))
	default:
		s.status(id, StatusOpUnsupported)
	}
}

func (s *session) oneName(id uint32, name string) {
	s.head(answerName, id)
	s.answer = appendUint32(s.answer, 1)
	s.name(listed{name: name}, info{}, false)
}

// The flags of OPEN.
const (
	openRead      = 1
	openWrite     = 2
	openAppend    = 4
	openCreate    = 8
	openTruncate  = 16
	openExclusive = 32

	// For Faults.FailOpen.
	OpenWrite     = openWrite
	OpenCreate    = openCreate
	OpenTruncate  = openTruncate
	OpenExclusive = openExclusive
)

func (s *session) open(f *Faults, id uint32, p string, flags uint32) {
	if flags&openRead != 0 && f.OnOpen != nil {
		f.OnOpen(p)
	}
	writing := flags&openWrite != 0
	if f.FailOpen != nil {
		if st := f.FailOpen(p, flags); st != StatusOK {
			s.status(id, st)
			return
		}
	}
	if f.NoReadWrite && writing && flags&openRead != 0 {
		s.status(id, StatusPermissionDenied)
		return
	}
	if f.OneWriter && writing && s.srv.writing(p, 0) > 0 {
		s.status(id, StatusFailure)
		return
	}
	if s.pastLimit(f, id, true) {
		return
	}
	n := s.openFiles.Load()
	h := &handle{path: p, writing: writing}
	if f.TruncatesAtOpen && writing {
		flags |= openTruncate
	}
	if f.OwnCopies && writing && flags&(openCreate|openTruncate) == 0 {
		h.path += "~" // what is written is never seen
		flags |= openCreate | openTruncate
	}
	if v, ok := f.virtual(p); ok && !v.Dir {
		h.content, h.info = v.Content, v.info()
	} else if err := h.openOnDisk(flags); err != nil {
		s.uncount(true)
		s.statusOf(id, err)
		return
	}
	if writing {
		s.srv.writing(h.path, 1)
	}
	s.srv.count(func(c *Counts) { c.PeakOpenFiles = max(c.PeakOpenFiles, int(n)) })
	s.head(answerHandle, id)
	s.answer = appendString(s.answer, s.newHandle(f, h))
}

func (h *handle) openOnDisk(flags uint32) error {
	mode := os.O_RDONLY
	switch flags & (openRead | openWrite) {
	case openWrite:
		mode = os.O_WRONLY
	case openRead | openWrite:
		mode = os.O_RDWR
	}
	for flag, m := range map[uint32]int{openCreate: os.O_CREATE, openTruncate: os.O_TRUNC, openExclusive: os.O_EXCL} {
		if flags&flag != 0 {
			mode |= m
		}
	}
	// openAppend is left out: WriteAt refuses such a file, and each WRITE says
	// where it belongs.
	file, err := os.OpenFile(h.path, mode, 0o644)
	if err != nil {
		return err
	}
	if fi, err := file.Stat(); err != nil || fi.IsDir() {
		file.Close()
		return errors.Join(err, fs.ErrInvalid)
	}
	h.file = file
	return nil
}

func (s *session) opendir(f *Faults, id uint32, p string) {
	if s.pastLimit(f, id, false) {
		return
	}
	var dir *os.File
	clean := path.Clean(p)
	if v, ok := f.virtual(p); !ok || !v.Dir {
		var err error
		if dir, err = openDir(p); err != nil {
			s.uncount(false)
			s.statusOf(id, err)
			return
		}
	}
	h := &handle{path: p, dir: true, file: dir, info: info{mode: fs.ModeDir | 0o755}}
	h.pull, h.stop = iter.Pull(func(yield func(listed) bool) {
		here := info{mode: fs.ModeDir | 0o755, mtime: time.Unix(0, 0)}
		if !yield(listed{".", here}) || !yield(listed{"..", here}) {
			return
		}
		if dir != nil && !onDisk(dir, yield) {
			return
		}
		for c := range f.children(clean) {
			if !yield(listed{c.Name, c.info()}) {
				return
			}
		}
	})
	s.head(answerHandle, id)
	s.answer = appendString(s.answer, s.newHandle(f, h))
}

func openDir(p string) (*os.File, error) {
	dir, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	if fi, err := dir.Stat(); err != nil || !fi.IsDir() {
		dir.Close()
		return nil, errors.Join(err, fs.ErrNotExist) // OpenSSH's answer to ENOTDIR
	}
	return dir, nil
}

// onDisk yields a directory's names with the attributes of the links themselves.
func onDisk(dir *os.File, yield func(listed) bool) bool {
	for {
		entries, err := dir.ReadDir(batch)
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil {
				continue // removed meanwhile
			}
			if !yield(listed{e.Name(), infoOf(fi)}) {
				return false
			}
		}
		if err != nil {
			return true
		}
	}
}

func stat(f *Faults, op Op, p string) (info, error) {
	if v, ok := f.virtual(p); ok {
		return v.info(), nil
	}
	look := os.Lstat
	if op == OpStat {
		look = os.Stat
	}
	fi, err := look(p)
	if err != nil {
		return info{}, err
	}
	return infoOf(fi), nil
}

// realpath resolves links, as OpenSSH does; the last element need not exist.
func realpath(f *Faults, p string) (string, error) {
	if _, ok := f.virtual(p); ok || f.LexicalRealpath {
		return path.Clean(p), nil
	}
	real, err := filepath.EvalSymlinks(p)
	if errors.Is(err, fs.ErrNotExist) {
		real, err = filepath.EvalSymlinks(path.Dir(path.Clean(p)))
		real = path.Join(real, path.Base(p))
	}
	return real, err
}

func setAttrs(p string, a attrs) error {
	if a.flags&hasSize != 0 {
		if err := os.Truncate(p, int64(a.size)); err != nil {
			return err
		}
	}
	if a.flags&hasPermissions != 0 {
		if err := os.Chmod(p, fs.FileMode(a.permissions&0o777)); err != nil {
			return err
		}
	}
	if a.flags&hasTimes != 0 {
		return os.Chtimes(p, a.atime, a.mtime)
	}
	return nil
}

func remove(p string, dir bool) error {
	fi, err := os.Lstat(p)
	if err != nil {
		return err
	}
	if fi.IsDir() != dir {
		return fs.ErrInvalid
	}
	return os.Remove(p)
}

// renamed renames a file, one way or the other, and tells of it.
func renamed(f *Faults, rename func(from, to string) error, from, to string) error {
	err := rename(from, to)
	if err == nil && f.OnWritten != nil {
		f.OnWritten(to)
	}
	return err
}

// renameNew refuses to replace what stands there, as SFTP 3 has it.
func renameNew(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return fs.ErrExist
	}
	return os.Rename(from, to)
}
