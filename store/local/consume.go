package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sftpconnector/durable"
	filesync "sftpconnector/sync"
)

// maxNames is how many names are tried for a file that is moved to where
// others of its name stand.
const maxNames = 1000

var errNoFile = errors.New("is not a regular file")

// RemoveIf implements sync.Consumer. Between the look and the removal another
// program may give the name to another file, which is then removed: no system
// call does both.
func (s *Source) RemoveIf(ctx context.Context, e filesync.Entry) error {
	d, err := s.still(e)
	if err != nil {
		return filesync.Untouched(s.failed("remove", e.Name, err))
	}
	defer s.dirs.release(d)
	if err := d.remove(last(e.Name)); err != nil {
		return filesync.Untouched(s.failed("remove", e.Name, err))
	}
	return nil
}

// MoveIf implements sync.Consumer. The file's path below the root is kept below
// dir, whose missing directories are made; a relative dir starts at the root. A
// file that stands there already is never overwritten: the one that is moved
// gets a number, "x (2).csv". A dir on another file system is an error.
func (s *Source) MoveIf(ctx context.Context, e filesync.Entry, dir string) error {
	from, err := s.still(e)
	if err != nil {
		return filesync.Untouched(s.failed("move", e.Name, err))
	}
	defer s.dirs.release(from)
	if err := s.move(from, e, dir); err != nil {
		err = fmt.Errorf("to %s: %w", dir, cause(err))
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New(err.Error()) // of where it should go, not of the original
		}
		return filesync.Untouched(s.failed("move", e.Name, err))
	}
	return nil
}

func (s *Source) move(from *directory, e filesync.Entry, dir string) error {
	archive, err := s.archive(s.absolute(dir))
	if err != nil {
		return err
	}
	to, err := archive.acquire(parent(e.Name), true)
	if err != nil {
		return err
	}
	defer archive.release(to)
	for n := 1; n <= maxNames; n++ {
		err := renameNew(from, last(e.Name), to, filesync.Numbered(last(e.Name), n))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("%d files of its name stand there", maxNames)
}

// archive opens a directory that originals are moved to, and makes it.
func (s *Source) archive(dir string) (*directories, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.archives[dir]; a != nil {
		return a, nil
	}
	if err := durable.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	a, err := newDirectories(root)
	if err != nil {
		root.Close()
		return nil, err
	}
	s.archives[dir] = a
	return a, nil
}

// still looks again whether the file is the version e, and gives its directory.
// An e that was looked at here has the whole time, which a file that was written
// to within the same second does not share; one of the ledger has the second only.
func (s *Source) still(e filesync.Entry) (*directory, error) {
	d, err := s.acquire(parent(e.Name))
	if err != nil {
		return nil, err
	}
	now, err := d.lstat(last(e.Name))
	switch {
	case err != nil:
	case now.Mode&fs.ModeSymlink != 0:
		err = filesync.ErrLink
	case !now.Mode.IsRegular():
		err = errNoFile
	case !now.SameVersion(e), e.ModTime.Nanosecond() != 0 && !now.ModTime.Equal(e.ModTime):
		err = filesync.ErrChanged
	}
	if err != nil {
		s.dirs.release(d)
		return nil, err
	}
	return d, nil
}
