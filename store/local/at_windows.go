package local

import (
	"os"
	"path/filepath"
	"time"

	filesync "sftpconnector/sync"
)

// The operations on one component of a name below an open directory, by os.Root.

func (d *directory) lstat(name string) (filesync.Entry, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return filesync.Entry{}, err
	}
	return filesync.Entry{Name: name, Size: info.Size(), ModTime: info.ModTime(), Mode: info.Mode()}, nil
}

func (d *directory) chtimes(name string, t time.Time) error { return d.root.Chtimes(name, t, t) }

func (d *directory) remove(name string) error { return d.root.Remove(name) }

// rename gives the file from of d the name to in another directory, or in d itself.
func (d *directory) rename(from string, dir *directory, to string) error {
	if dir == d {
		return d.root.Rename(from, to)
	}
	return os.Rename(filepath.Join(d.root.Name(), from), filepath.Join(dir.root.Name(), to))
}

// create makes a file for writing that must not be there yet.
func (d *directory) create(name string) (*file, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// reopen opens a file that is there for writing.
func (d *directory) reopen(name string) (*file, error) { return d.open(name, os.O_RDWR) }

// read opens a file that is there for reading.
func (d *directory) read(name string) (*file, error) { return d.open(name, os.O_RDONLY) }

func (d *directory) open(name string, flags int) (*file, error) {
	f, err := d.root.OpenFile(name, flags, 0o666)
	if err != nil {
		return nil, err
	}
	return &file{f}, nil
}

// file is an open regular file.
type file struct{ *os.File }

func (f *file) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// entry says what the file is, without its name.
func (f *file) entry() (filesync.Entry, error) {
	info, err := f.Stat()
	if err != nil {
		return filesync.Entry{}, err
	}
	return filesync.Entry{Size: info.Size(), ModTime: info.ModTime(), Mode: info.Mode()}, nil
}

func (f *file) truncate(n int64) error { return f.Truncate(n) }

func (f *file) sync() error { return f.Sync() }
