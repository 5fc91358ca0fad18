package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// maxNames is how many names are tried for a file that is moved to where
// others of its name stand.
const maxNumberedNames = 1000

var (
	errNoFile = errors.New("is not a regular file")
)

// RemoveIf removes the file if it is still the version e: ErrChanged if it is
// another, fs.ErrNotExist if there is none. Links and directories are left.
func (s *Source) RemoveIf(ctx context.Context, e filesync.Entry) error {
	if err := s.checkVersion(ctx, e); err != nil {
		return filesync.Untouched(s.consumeError("remove", e.Name, err))
	}
	err := s.control.remove(ctx, s.path(e.Name))
	return s.consumeError("remove", e.Name, err)
}

// MoveIf moves the file to the directory dir if it is still the version e. Its
// path below the root is kept below dir, whose missing directories are made; a
// relative dir starts at the root. What stands there is never overwritten: the
// file gets a number, "x (2).csv". It relies on the server for the moment
// between the look and the RENAME: OpenSSH and the draft refuse to overwrite.
func (s *Source) MoveIf(ctx context.Context, e filesync.Entry, dir string) error {
	to := strings.TrimRight(s.absolute(dir), "/") + "/" + e.Name
	if err := s.checkVersion(ctx, e); err != nil {
		return filesync.Untouched(s.consumeError("move", e.Name, err))
	}
	if err := s.makeDirs(ctx, path.Dir(to)); err != nil {
		// What does not exist here is not the original.
		err = hideNotExist(fmt.Errorf("make the directory %s: %w", shown(path.Dir(to)), err))
		return filesync.Untouched(s.consumeError("move", e.Name, err))
	}
	err := s.move(ctx, e, to)
	if errors.Is(err, fs.ErrNotExist) {
		// Of the file, or of where it should go?
		if _, gone := s.control.lstat(ctx, s.path(e.Name)); !errors.Is(gone, fs.ErrNotExist) {
			err = hideNotExist(err)
		}
	}
	return s.consumeError("move", e.Name, err)
}

// absolute gives a directory's path on the server; a relative one starts at the root.
func (s *Source) absolute(dir string) string {
	if path.IsAbs(dir) {
		return dir
	}
	return s.prefix + dir
}

// hideMissing keeps an error's text, and that it is one of the connection, but
// not that something does not exist.
func hideNotExist(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.New(err.Error())
}

func (s *Source) move(ctx context.Context, e filesync.Entry, to string) error {
	var refused error
	for n := 1; n <= maxNumberedNames; n++ {
		name := filesync.Numbered(to, n)
		_, err := s.control.lstat(ctx, name)
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		err = s.control.rename(ctx, s.path(e.Name), name)
		if err == nil || !isFailure(err) {
			return err
		}
		// Another may have taken the name meanwhile; else that was not the reason.
		refused = err
		if _, err := s.control.lstat(ctx, name); err != nil {
			return refused
		}
	}
	return errors.Join(refused, fmt.Errorf("%d files of its name stand in %s", maxNumberedNames, shown(path.Dir(to))))
}

// still looks again whether the file is the version e. ProFTPD's LSTAT follows
// links, and its REMOVE and RENAME too in part: READLINK tells, asked beside it.
// Where LSTAT is refused, or tells of files otherwise than listings do, a listing tells.
func (s *Source) checkVersion(ctx context.Context, e filesync.Entry) error {
	link := make(chan error, 1)
	go func() {
		_, err := s.control.readLink(ctx, s.path(e.Name))
		link <- err
	}()
	a, err := s.control.lstat(ctx, s.path(e.Name))
	isLink := <-link == nil
	switch {
	case isLink:
		return filesync.ErrLink
	case err != nil && (!isAnswer(err) || errors.Is(err, fs.ErrNotExist)):
		return err
	case err == nil && a.mode&fs.ModeSymlink != 0:
		return filesync.ErrLink
	case err == nil && a.typed && !a.mode.IsRegular():
		return errNoFile
	case err == nil && compareVersion(e, a) == same:
		return nil
	case err == nil && compareVersion(e, a) == different:
		return filesync.ErrChanged
	}
	found, lerr := s.relisting.find(ctx, s.session, parentOf(e.Name), []string{e.Name})
	listed, ok := found[e.Name]
	switch {
	case lerr != nil && !isListingError(lerr):
		return lerr
	case lerr != nil && err != nil:
		return err
	case lerr != nil || ok && !listed.SameVersion(e):
		return filesync.ErrChanged
	case !ok:
		return &wire.StatusError{Code: wire.CodeNoSuchFile}
	case listed.Mode&fs.ModeSymlink != 0:
		return filesync.ErrLink
	case !listed.Mode.IsRegular():
		return errNoFile
	}
	return nil
}

// makeDirs makes a directory and those above it, where they are missing.
func (s *Source) makeDirs(ctx context.Context, dir string) error {
	a, err := s.control.statPath(ctx, dir)
	if err == nil && a.typed && !a.mode.IsDir() {
		return errors.New("a file stands there")
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == "/" || dir == "." {
		return err
	}
	if err := s.makeDirs(ctx, path.Dir(dir)); err != nil {
		return err
	}
	err = s.control.mkdir(ctx, dir)
	if err != nil {
		// Another move may have made it.
		if a, again := s.control.statPath(ctx, dir); again == nil && a.mode.IsDir() {
			return nil
		}
	}
	return err
}

// consumed gives an error its operation and path.
func (s *Source) consumeError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if named := s.failure(op, name, err); named != err || isContext(err) {
		return named
	}
	return fmt.Errorf("%s %s: %w", op, shown(name), err)
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
