package edit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"sftpconnector/durable"
)

// ErrConflict: the file is another one than the change was made for.
var ErrConflict = errors.New("the file was changed meanwhile")

// Unwritable says why the file cannot be replaced here.
type Unwritable struct{ Why string }

// Error says that the file cannot be written, and why.
func (e *Unwritable) Error() string { return "the configuration file cannot be written: " + e.Why }

// File is a configuration file that is replaced as a whole. Its methods may be called
// concurrently; programs beside this one are told apart by the version.
type File struct {
	Path string
	mu   sync.Mutex
}

// backups is how many versions of the file are kept beside it.
const backups = 10

// maxFile bounds the file, in bytes.
const maxFile = 64 << 20

// VersionOf is the mark of a text: other bytes have another one.
func VersionOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Read gives the text and its version.
func (f *File) Read() (text []byte, version string, err error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, "", fmt.Errorf("reading the configuration: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, "", fmt.Errorf("reading the configuration: %w", err)
	}
	if len(text) > maxFile {
		return nil, "", fmt.Errorf("reading the configuration: %s is larger than %d MiB", f.Path, maxFile>>20)
	}
	return text, VersionOf(text), nil
}

// ReadOnly says why the file cannot be replaced, as far as that is seen without doing
// it; "" when it can.
func (f *File) ReadOnly() string {
	path, err := f.real()
	if err != nil {
		return reason(err)
	}
	return readOnly(path)
}

// real is the file that a link leads to.
func (f *File) real() (string, error) {
	absolute, err := filepath.Abs(f.Path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(absolute)
}

// Replace puts a text in the place of the version, durably: whenever the power goes, the
// file is the old or the new one. It keeps mode and owner, and leaves the old text in a
// backup beside it. A file of another version is left alone: ErrConflict. What keeps it
// from being written is an *Unwritable.
func (f *File) Replace(version string, text []byte) (backup string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, err := f.real()
	if err != nil {
		return "", &Unwritable{reason(err)}
	}
	if why := readOnly(path); why != "" {
		return "", &Unwritable{why}
	}
	old, now, err := f.Read()
	if err != nil {
		return "", err
	}
	if now != version {
		return "", ErrConflict
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", &Unwritable{reason(err)}
	}
	backup = path + ".backup-" + time.Now().UTC().Format("20060102T150405.000Z")
	if err := writeLike(backup, old, info); err != nil {
		return "", &Unwritable{reason(err)}
	}
	fresh := path + ".new" // the same each time, so that crashes leave one at most
	err = writeLike(fresh, text, info)
	if err == nil {
		err = f.swap(fresh, path, version)
	}
	if err != nil {
		_ = os.Remove(fresh)
		_ = os.Remove(backup)
		if errors.Is(err, ErrConflict) {
			return "", err
		}
		return "", &Unwritable{reason(err)}
	}
	prune(path)
	return backup, durable.SyncDirectory(filepath.Dir(path))
}

// swap renames, if the file is still of the version.
func (f *File) swap(fresh, path, version string) error {
	_, now, err := f.Read()
	if err != nil {
		return err
	}
	if now != version {
		return ErrConflict
	}
	return os.Rename(fresh, path)
}

// writeLike writes a file durably, with the mode and the owner of another one. It is
// never readable for more than that one was.
func writeLike(path string, text []byte, like fs.FileInfo) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	mode, owned := keepOwner(file, like)
	err = errors.Join(err, owned, file.Chmod(mode), file.Sync(), file.Close())
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// prune removes the oldest backups.
func prune(path string) {
	all, err := filepath.Glob(escapeGlob(path) + ".backup-*Z")
	if err != nil {
		return
	}
	slices.Sort(all) // by their time
	for len(all) > backups {
		_ = os.Remove(all[0]) // one more is no harm
		all = all[1:]
	}
}

// escapeGlob makes a path match itself alone.
func escapeGlob(path string) string {
	var out []rune
	for _, r := range path {
		switch r {
		case '*', '?', '[':
			out = append(out, '[', r, ']')
		default:
			out = append(out, r)
		}
	}
	return string(out)
}

// reason gives the cause of an error without the operation.
func reason(err error) string {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.Is(err, syscall.EROFS):
		return "its file system is read-only"
	case errors.Is(err, syscall.EBUSY):
		return mounted
	case errors.Is(err, fs.ErrPermission):
		return "this program's user may not write its directory"
	case errors.As(err, &path):
		return path.Op + " " + filepath.Base(path.Path) + ": " + path.Err.Error()
	case errors.As(err, &link):
		return link.Op + ": " + link.Err.Error()
	}
	return err.Error()
}

// mounted is said of a file that is a mount point, which nothing can be renamed to.
const mounted = "it is mounted by itself, as containers do with single files: mount its directory instead"
