package durable

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Document is a small file that is read and replaced as a whole, by several
// processes at the same time. Its methods may be called concurrently.
type Document struct {
	Path string
	// Mode is that of each version; 0: that of the version before, and 0600 of the first.
	Mode fs.FileMode
	// Limit is how long it may be, in bytes; 0: 16 MiB.
	Limit int64
}

// lockWithin bounds the wait for another process that changes the file.
const lockWithin = 10 * time.Second

// String gives the path.
func (d Document) String() string { return d.Path }

// Version is a mark of the present version: no two versions that Edit has made have the
// same. It is fs.ErrNotExist where there is no file.
func (d Document) Version() (string, error) {
	info, err := os.Stat(d.Path)
	if err != nil {
		return "", err
	}
	return versionOf(info), nil
}

func versionOf(info fs.FileInfo) string {
	return fmt.Sprintf("%d %d", info.ModTime().UnixNano(), info.Size())
}

// Read gives the contents and their version. It is fs.ErrNotExist where there is no file.
func (d Document) Read() (data []byte, version string, err error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	limit := cmp.Or(d.Limit, 16<<20)
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, "", err
	}
	if int64(len(data)) > limit {
		return nil, versionOf(info), fmt.Errorf("%s is larger than %d bytes", d.Path, limit)
	}
	return data, versionOf(info), nil
}

// Create makes the file, durably. It is fs.ErrExist where there is one. Without hard
// links, the last of two that create it at the same moment wins.
func (d Document) Create(data []byte) error {
	dir := filepath.Dir(d.Path)
	if err := MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if d.Mode != 0 {
		err = errors.Join(err, f.Chmod(d.Mode))
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), d.Path); errors.Is(err, fs.ErrExist) {
		return err
	} else if err != nil {
		if _, err := os.Lstat(d.Path); err == nil {
			return &fs.PathError{Op: "create", Path: d.Path, Err: fs.ErrExist}
		}
		if err := os.Rename(f.Name(), d.Path); err != nil {
			return err
		}
	}
	return SyncDirectory(dir)
}

// Edit replaces the contents by what change makes of them, all or nothing, durably. old is
// nil where there is no file. What is unchanged is not written. Edits wait for each other,
// those of other processes too, for 10 s at most, or until ctx ends. The file that a link
// leads to is replaced, not the link.
func (d Document) Edit(ctx context.Context, change func(old []byte) ([]byte, error)) error {
	if real, err := filepath.EvalSymlinks(d.Path); err == nil {
		d.Path = real
	}
	if err := MkdirAll(filepath.Dir(d.Path), 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWithin)
	defer cancel()
	// A lock on the file itself would be lost with its replacement.
	lock := flock.New(d.Path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return fmt.Errorf("lock %s.lock: %w", d.Path, err)
	}
	defer lock.Close()

	old, _, err := d.Read()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := change(old)
	if err != nil || bytes.Equal(data, old) {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.replace(data)
}

// replace gives the file new contents, and a modification time after that of the older
// version: two changes within one tick of the file system's clock would look the same to
// who has seen the first. Only the holder of the lock calls it.
func (d Document) replace(data []byte) error {
	mode, at := cmp.Or(d.Mode, 0o600), time.Now()
	if older, err := os.Stat(d.Path); err == nil {
		mode = cmp.Or(d.Mode, older.Mode().Perm())
		if !at.After(older.ModTime()) {
			at = older.ModTime().Add(time.Millisecond)
		}
	}
	name := d.Path + ".new" // the same each time, so that crashes leave one at most
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), os.Chtimes(name, at, at), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(name, d.Path)
	}
	if err != nil {
		os.Remove(name)
		return err
	}
	return SyncDirectory(filepath.Dir(d.Path))
}
