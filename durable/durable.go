// Package durable makes names last: a file or a directory that was made is there
// after a power cut only if the directory that holds its name was synced.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// MkdirAll makes a directory and those above it, as os.MkdirAll does, and
// returns when their names are durable. One that stands already may have been made
// a moment before a kill, so that its name is made durable, too, where its parent
// may be read; those above it were durable before it was made.
func MkdirAll(path string, mode fs.FileMode) error {
	path = filepath.Clean(path)
	above := filepath.Dir(path)
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	case err == nil:
		return syncReadable(above)
	}
	if above != path {
		if err := MkdirAll(above, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncReadable(above)
}

// syncReadable leaves a directory alone that we may use and not read: it cannot
// be synced by us.
func syncReadable(path string) error {
	err := SyncDirectory(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// SyncDirectory makes the names in a directory durable. Windows cannot, and need
// not; file systems that have nothing to sync there say EINVAL.
func SyncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return nil
}
