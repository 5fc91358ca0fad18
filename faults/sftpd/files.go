package sftpd

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Flags of OPEN.
const (
	openRead   = 1
	openWrite  = 2
	openAppend = 4
	openCreate = 8
	openTrunc  = 16
	openExcl   = 32
)

// errKind: a file is of another kind than the operation is for.
var errKind = errors.New("sftpd: not for a file of this kind")

// clean is a path of a client as an absolute one; relative ones begin at the top.
func clean(name string) string { return path.Clean("/" + name) }

// local is the path below the root.
func local(name string) string {
	if below := strings.TrimPrefix(clean(name), "/"); below != "" {
		return below
	}
	return "."
}

// open carries out OPEN and OPENDIR.
func (s *session) open(req request) (packet, error) {
	flags, how := uint32(openRead), 0
	var set attributes
	if req.op == Open {
		flags, set = req.more.uint32(), req.more.attributes()
	}
	if req.more.bad {
		return nil, errMalformed
	}
	switch {
	case flags&openRead != 0 && flags&(openWrite|openAppend) != 0:
		how = os.O_RDWR
	case flags&(openWrite|openAppend) != 0:
		how = os.O_WRONLY
	}
	for flag, its := range map[uint32]int{openAppend: os.O_APPEND, openCreate: os.O_CREATE, openTrunc: os.O_TRUNC, openExcl: os.O_EXCL} {
		if flags&flag != 0 {
			how |= its
		}
	}
	mode := fs.FileMode(0o666)
	if set.flags&hasMode != 0 {
		mode = fs.FileMode(set.mode) & fs.ModePerm
	}
	before, err := s.root.Stat(local(req.first))
	if err == nil && before.IsDir() != (req.op == Opendir) || err == nil && !before.IsDir() && !before.Mode().IsRegular() {
		return nil, errKind // a pipe would be waited for
	}
	file, err := s.root.OpenFile(local(req.first), how, mode)
	if err != nil {
		return nil, err
	}
	h := &handle{file: file, path: clean(req.first), append: flags&openAppend != 0, changed: before == nil || flags&openTrunc != 0}
	name := s.same
	if s.same = ""; name != "" {
		s.handles.addAs(name, h)
	} else if name, err = s.handles.add(h); err != nil {
		return nil, err
	}
	if h.changed {
		s.changed(Change{Op: Open, Path: h.path})
	}
	return answer(typeHandle, req.id).string(name), nil
}

func (s *session) close(req request) error {
	h, err := s.handles.get(req.first)
	if err != nil {
		return err
	}
	delete(s.handles.open, req.first)
	var change Change
	if info, err := h.file.Stat(); err == nil {
		change = Change{Op: Close, Path: h.path, Size: info.Size(), ModTime: info.ModTime()}
	}
	if err := h.file.Close(); err != nil {
		return err
	}
	if h.dropped != 0 {
		return statusError(h.dropped)
	}
	if h.changed {
		s.changed(change)
	}
	return nil
}

func (s *session) read(req request) (packet, error) {
	h, err := s.handles.get(req.first)
	if err != nil {
		return nil, err
	}
	offset, n := req.more.uint64(), min(req.more.uint32(), maxData)
	if req.more.bad || offset > 1<<62 {
		return nil, errMalformed
	}
	data := make([]byte, n)
	got, err := h.file.ReadAt(data, int64(offset))
	if got == 0 && err != nil {
		return nil, err
	}
	return answer(typeData, req.id).string(string(data[:got])), nil
}

func (s *session) writeFile(req request) error {
	h, err := s.handles.get(req.first)
	if err != nil {
		return err
	}
	offset, data := req.more.uint64(), req.more.bytes()
	if req.more.bad || offset > 1<<62 {
		return errMalformed
	}
	h.changed = true
	if h.append {
		_, err = h.file.Write(data)
	} else {
		_, err = h.file.WriteAt(data, int64(offset))
	}
	return err
}

// setstat carries out SETSTAT and FSETSTAT.
func (s *session) setstat(req request) error {
	name, set := clean(req.first), req.more.attributes()
	if req.more.bad {
		return errMalformed
	}
	if req.op == Fsetstat {
		h, err := s.handles.get(req.first)
		if err != nil {
			return err
		}
		if name = h.path; !s.stillThere(h) {
			return fs.ErrNotExist // replaced or renamed since
		}
	}
	var errs []error
	if set.flags&hasSize != 0 {
		errs = append(errs, s.truncate(name, int64(set.size)))
	}
	if set.flags&hasMode != 0 {
		errs = append(errs, s.root.Chmod(local(name), fs.FileMode(set.mode)&fs.ModePerm))
	}
	if set.flags&hasOwner != 0 {
		errs = append(errs, s.root.Chown(local(name), int(set.uid), int(set.gid)))
	}
	if set.flags&hasTimes != 0 {
		errs = append(errs, s.root.Chtimes(local(name), seconds(set.atime), seconds(set.mtime)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.changed(s.look(Change{Op: req.op, Path: name}))
	return nil
}

// stillThere says whether the path of a handle is still its file's.
func (s *session) stillThere(h *handle) bool {
	open, err := h.file.Stat()
	if err != nil {
		return false
	}
	there, err := s.root.Stat(local(h.path))
	return err == nil && os.SameFile(open, there)
}

func (s *session) truncate(name string, size int64) error {
	file, err := s.root.OpenFile(local(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Close())
}
