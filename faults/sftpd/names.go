package sftpd

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

const (
	namesEach = 100 // names of one answer to READDIR
	maxLinks  = 40  // links on the way to one file
)

func seconds(t uint32) time.Time { return time.Unix(int64(t), 0) }

func (s *session) stat(req request) (packet, error) {
	name := clean(req.first)
	var info fs.FileInfo
	var err error
	switch req.op {
	case Stat:
		info, err = s.root.Stat(local(name))
	case Lstat:
		info, err = s.root.Lstat(local(name))
	default:
		var h *handle
		if h, err = s.handles.get(req.first); err == nil {
			name = h.path
			info, err = h.file.Stat()
		}
	}
	if err != nil {
		return nil, err
	}
	return answer(typeAttrs, req.id).attributes(s.told(req.op, name, info)), nil
}

// readdir tells the next names of a directory, first of all "." and "..".
func (s *session) readdir(req request) (packet, error) {
	h, err := s.handles.get(req.first)
	if err != nil {
		return nil, err
	}
	var names []string
	if !h.listed {
		h.listed = true
		names = []string{".", ".."}
	} else if names, err = h.file.Readdirnames(namesEach); err != nil {
		return nil, err
	}
	count, entries := uint32(0), packet{}
	for _, name := range names {
		full := path.Join(h.path, name)
		info, err := s.root.Lstat(local(full))
		if err != nil {
			continue // gone since
		}
		a := s.told(Readdir, full, info)
		entries = entries.string(name).string(longName(name, a)).attributes(a)
		count++
	}
	return append(answer(typeName, req.id).uint32(count), entries...), nil
}

func (s *session) mkdir(req request) error {
	mode, set := fs.FileMode(0o777), req.more.attributes()
	if req.more.bad {
		return errMalformed
	}
	if set.flags&hasMode != 0 {
		mode = fs.FileMode(set.mode) & fs.ModePerm
	}
	if err := s.root.Mkdir(local(req.first), mode); err != nil {
		return err
	}
	s.changed(Change{Op: Mkdir, Path: clean(req.first)})
	return nil
}

// remove carries out REMOVE and RMDIR.
func (s *session) remove(req request) error {
	info, err := s.root.Lstat(local(req.first))
	if err != nil {
		return err
	}
	if info.IsDir() != (req.op == Rmdir) || local(req.first) == "." {
		return errKind
	}
	if err := s.root.Remove(local(req.first)); err != nil {
		return err
	}
	s.changed(Change{Op: req.op, Path: clean(req.first), Size: info.Size(), ModTime: info.ModTime()})
	return nil
}

// rename carries out RENAME, which replaces nothing, and posix-rename, which does.
func (s *session) rename(req request) error {
	from, to := clean(req.first), clean(req.more.string())
	if req.more.bad {
		return errMalformed
	}
	info, err := s.root.Lstat(local(from))
	if err != nil {
		return err
	}
	if req.name == PosixRename || info.IsDir() {
		if _, err := s.root.Lstat(local(to)); err == nil && req.name != PosixRename {
			return fs.ErrExist
		}
		err = s.root.Rename(local(from), local(to))
	} else if err = s.root.Link(local(from), local(to)); err == nil {
		err = s.root.Remove(local(from))
	}
	if err != nil {
		return err
	}
	s.changed(Change{Op: Rename, Path: from, To: to, Size: info.Size(), ModTime: info.ModTime()})
	return nil
}

// resolve carries out REALPATH and READLINK.
func (s *session) resolve(req request) (packet, error) {
	var found string
	var err error
	if req.op == Readlink {
		found, err = s.root.Readlink(local(req.first))
	} else {
		found, err = s.realpath(clean(req.first))
	}
	if err != nil {
		return nil, err
	}
	return answer(typeName, req.id).uint32(1).string(found).string(found).attributes(attributes{}), nil
}

// realpath is the path without links. Its last part need not be there.
func (s *session) realpath(name string) (string, error) {
	found, rest := "/", strings.TrimPrefix(name, "/")
	for links := 0; rest != ""; {
		part, after, _ := strings.Cut(rest, "/")
		next := path.Join(found, part)
		info, err := s.root.Lstat(local(next))
		switch {
		case errors.Is(err, fs.ErrNotExist) && after == "":
			return next, nil
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink == 0:
			found, rest = next, after
			continue
		}
		if links++; links > maxLinks {
			return "", errKind
		}
		target, err := s.root.Readlink(local(next))
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			return "", fs.ErrPermission // leads out of what is served
		}
		// ".." in a target is of the directory that is found so far.
		rest = path.Join(target, after)
		if up := path.Join(found, rest); strings.HasPrefix(rest, "..") {
			found, rest = "/", strings.TrimPrefix(up, "/")
		}
	}
	return found, nil
}

// extended carries out what is not SFTP version 3 itself.
func (s *session) extended(req request) (packet, error) {
	if !s.server.offers(req.name) {
		return nil, errors.ErrUnsupported
	}
	switch req.name {
	case Fsync:
		h, err := s.handles.get(req.first)
		if err != nil {
			return nil, err
		}
		return nil, h.file.Sync()
	case Limits:
		return answer(typeReply, req.id).uint64(maxPacket).uint64(maxData).uint64(maxData).uint64(uint64(s.handles.limit)), nil
	case StatVFS:
		return s.statVFS(req)
	}
	return nil, errors.ErrUnsupported
}
