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

// maxNumberedNames is how many numbered names are tried for a file that is moved.
const maxNumberedNames = 1000

var (
	errNoFile = errors.New("is not a regular file")
)

// RemoveIf removes the file if it is still the version e. The error is ErrChanged if it
// is another version, and fs.ErrNotExist if there is no file. Links and directories are
// left.
func (s *Source) RemoveIf(ctx context.Context, e filesync.Entry) error {
	if err := s.checkVersion(ctx, e); err != nil {
		return filesync.Untouched(s.consumeError("remove", e.Name, err))
	}
	err := s.control.remove(ctx, s.path(e.Name))
	return s.consumeError("remove", e.Name, err)
}

// MoveIf moves the file to the directory dir if it is still the version e. The file
// keeps its path below the root, now below dir. Missing directories are made. A
// relative dir starts at the root. Nothing is overwritten: the file gets a number where
// its name is taken, "x (2).csv". Between the LSTAT and the RENAME this relies on the
// server; OpenSSH and the draft refuse to overwrite.
func (s *Source) MoveIf(ctx context.Context, e filesync.Entry, dir string) error {
	to := strings.TrimRight(s.absolute(dir), "/") + "/" + e.Name
	if err := s.checkVersion(ctx, e); err != nil {
		return filesync.Untouched(s.consumeError("move", e.Name, err))
	}
	if err := s.makeDirs(ctx, path.Dir(to)); err != nil {
		// The missing file is not the original.
		err = hideNotExist(fmt.Errorf("make the directory %s: %w", shown(path.Dir(to)), err))
		return filesync.Untouched(s.consumeError("move", e.Name, err))
	}
	err := s.move(ctx, e, to)
	if errors.Is(err, fs.ErrNotExist) {
		// The file may be missing, or the directory that it should go to.
		if _, gone := s.control.lstat(ctx, s.path(e.Name)); !errors.Is(gone, fs.ErrNotExist) {
			err = hideNotExist(err)
		}
	}
	return s.consumeError("move", e.Name, err)
}

// absolute gives the path of a directory on the server. A relative one starts at the
// root.
func (s *Source) absolute(dir string) string {
	if path.IsAbs(dir) {
		return dir
	}
	return s.prefix + dir
}

// hideNotExist keeps the text of an error that is fs.ErrNotExist, and not that it is
// one.
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
		// Another file may have taken the name meanwhile. If none has, the reason is
		// another one.
		refused = err
		if _, err := s.control.lstat(ctx, name); err != nil {
			return refused
		}
	}
	return errors.Join(refused, fmt.Errorf("%d files of its name stand in %s", maxNumberedNames, shown(path.Dir(to))))
}

// checkVersion asks whether the file is still the version e. ProFTPD's LSTAT follows
// links, and its REMOVE and RENAME do so in part, so that READLINK is sent as well. A
// listing decides where LSTAT is refused, or differs from listings.
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
	if named := s.failure(op, name, err); named != err || isContext(err) { //nolint:errorlint // whether it is the same one
		return named
	}
	return fmt.Errorf("%s %s: %w", op, shown(name), err)
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
