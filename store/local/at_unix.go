//go:build !windows

package local

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	filesync "sftpconnector/sync"
)

// The operations on one component of a name below an open directory, by the
// *at calls of POSIX. A component has no slash and links are not followed, so
// that nothing leads out of the directory. os.Root, which brought us to the
// directory, would do the same with three times the system calls.

// fd is the directory's descriptor. It stays open as long as the directory has users.
func (d *directory) fd() int { return d.at }

func (d *directory) lstat(name string) (filesync.Entry, error) {
	var s unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Fstatat(d.fd(), name, &s, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return filesync.Entry{}, err
	}
	return entryOf(name, &s), nil
}

// entryOf is what a stat(2) says of a name.
func entryOf(name string, s *unix.Stat_t) filesync.Entry {
	mode := fs.FileMode(s.Mode & 0o777)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	return filesync.Entry{Name: name, Size: s.Size, ModTime: time.Unix(s.Mtim.Unix()), Mode: mode}
}

func (d *directory) chtimes(name string, t time.Time) error {
	ts := []unix.Timespec{unix.NsecToTimespec(t.UnixNano()), unix.NsecToTimespec(t.UnixNano())}
	return ignoringEINTR(func() error { return unix.UtimesNanoAt(d.fd(), name, ts, unix.AT_SYMLINK_NOFOLLOW) })
}

func (d *directory) remove(name string) error {
	return ignoringEINTR(func() error { return unix.Unlinkat(d.fd(), name, 0) })
}

// rename gives the file from of d the name to in another directory, or in d itself.
func (d *directory) rename(from string, dir *directory, to string) error {
	return ignoringEINTR(func() error { return unix.Renameat(d.fd(), from, dir.fd(), to) })
}

// create makes a file for writing that must not be there yet.
func (d *directory) create(name string) (*file, error) {
	return d.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

// reopen opens a file that is there for writing.
func (d *directory) reopen(name string) (*file, error) { return d.open(name, unix.O_RDWR) }

// read opens a file that is there for reading. It answers at once for what is
// no regular file, too.
func (d *directory) read(name string) (*file, error) {
	return d.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
}

func (d *directory) open(name string, flags int) (*file, error) {
	f := &file{}
	err := ignoringEINTR(func() (err error) {
		f.fd, err = unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o666)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// file is an open regular file. os.File would ask the poller about it first,
// which costs more than a small file's write.
type file struct{ fd int }

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Pwrite(f.fd, b[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Pread(f.fd, b[done:], off+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return done, err
		case n == 0:
			return done, io.ErrUnexpectedEOF
		}
		done += n
	}
	return done, nil
}

func (f *file) size() (int64, error) {
	var s unix.Stat_t
	err := ignoringEINTR(func() error { return unix.Fstat(f.fd, &s) })
	return s.Size, err
}

// entry says what the file is, without its name.
func (f *file) entry() (filesync.Entry, error) {
	var s unix.Stat_t
	err := ignoringEINTR(func() error { return unix.Fstat(f.fd, &s) })
	return entryOf("", &s), err
}

func (f *file) truncate(n int64) error {
	return ignoringEINTR(func() error { return unix.Ftruncate(f.fd, n) })
}

// sync is os.File's, which knows what each system needs for a flush to the disk.
func (f *file) sync() error {
	copied, err := unix.Dup(f.fd)
	if err != nil {
		return err
	}
	o := os.NewFile(uintptr(copied), "")
	defer o.Close()
	return o.Sync()
}

// Close implements io.Closer. Linux closes the descriptor whatever close says.
func (f *file) Close() error {
	if err := unix.Close(f.fd); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}

// ignoringEINTR calls again what a signal interrupted, as package os does.
func ignoringEINTR(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
