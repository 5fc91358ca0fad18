package credentials

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"sftpconnector/durable"
)

// keySize is the length of the HMAC key in bytes.
const keySize = 32

// lockPatience bounds the wait for another process that changes the file.
const lockPatience = 10 * time.Second

// refresh reads the file if it is not the one that was read last. A mutex is held.
func (s *Store) refresh() error {
	info, err := os.Stat(s.o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // the first start, or somebody took all credentials away
		s.take(nil, nil)
		return nil
	case err != nil:
		return err
	case s.seen != nil && sameVersion(s.seen, info):
		return s.broken
	}
	records, _, info, err := s.read()
	if info == nil {
		return err // it was not seen, so it may be read another time
	}
	s.take(info, records)
	s.broken = err
	return err
}

// take makes these records the known ones. A mutex is held.
func (s *Store) take(info fs.FileInfo, records []record) {
	s.seen, s.broken, s.known = info, nil, map[string][]record{}
	unwritten := map[string]time.Time{}
	for _, r := range records {
		s.known[r.Space] = append(s.known[r.Space], r)
		if at := s.used[r.ID]; at.After(r.LastUsed) {
			unwritten[r.ID] = at
		}
	}
	s.used = unwritten
}

// sameVersion relies on replaceFile, which gives every version a later time.
func sameVersion(a, b fs.FileInfo) bool {
	return a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && os.SameFile(a, b)
}

// read gives the file's records, its bytes, and what it is: nil if it could not
// be read, which may pass.
func (s *Store) read() ([]record, []byte, fs.FileInfo, error) {
	f, err := os.Open(s.o.Path)
	if err != nil {
		return nil, nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, nil, err
	}
	d, err := parse(data)
	if err == nil && d.Key != s.keyMark() {
		err = fmt.Errorf("was made with another key than that of %s: put that key back, or remove both files, which revokes all credentials", s.o.KeyPath)
	}
	if err != nil {
		return nil, nil, info, fmt.Errorf("%s %w", s.o.Path, err)
	}
	return d.Credentials, data, info, nil
}

// edit replaces the file's records by what change makes of those that work.
// The lock makes it wait for other processes, at most for lockPatience.
func (s *Store) edit(ctx context.Context, change func([]record) ([]record, error)) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	select {
	case s.editing <- struct{}{}:
		defer func() { <-s.editing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.locked(ctx, func() error {
		records, old, info, err := s.read()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		now := s.now()
		s.mu.Lock()
		records = s.withUses(records)
		s.mu.Unlock()
		records, err = change(slices.DeleteFunc(records, func(r record) bool { return !r.live(now) }))
		if err != nil {
			return err
		}
		data, err := document{version, s.keyMark(), append([]record{}, records...)}.encode()
		if err != nil || info == nil && len(records) == 0 || bytes.Equal(data, old) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := replaceFile(s.o.Path, data, info); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = s.refresh() // it is done; if it cannot be read now, the next call says so
		return nil
	})
}

// locked does what no two processes may do at once. The lock is beside the
// file: one on the file itself would be lost with its replacement.
func (s *Store) locked(ctx context.Context, do func() error) error {
	if err := durable.MkdirAll(filepath.Dir(s.o.Path), 0o700); err != nil {
		return err
	}
	lock := flock.New(s.o.Path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return fmt.Errorf("lock %s.lock: %w", s.o.Path, err)
	}
	defer lock.Close()
	return do()
}

// replaceFile gives path new contents, all or nothing, durably, and a
// modification time after that of the older version: two changes within one
// tick of the file system's clock would look the same to who has seen the first.
// Only the holder of the lock calls it.
func replaceFile(path string, data []byte, older fs.FileInfo) error {
	at := time.Now()
	if older != nil && !at.After(older.ModTime()) {
		at = older.ModTime().Add(time.Millisecond)
	}
	name := path + ".new" // the same each time, so that crashes leave one at most
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o600), os.Chtimes(name, at, at), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		os.Remove(name)
		return err
	}
	return durable.SyncDirectory(filepath.Dir(path))
}

// loadKey reads the key, or makes it if there are no credentials yet.
func (s *Store) loadKey() error {
	err := s.readKey()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	return s.locked(ctx, func() error {
		if err := s.readKey(); !errors.Is(err, fs.ErrNotExist) {
			return err // another process was first
		}
		if _, err := os.Lstat(s.o.Path); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the key %s of the credentials in %s is missing: put it back, or remove that file too, which revokes all credentials", s.o.KeyPath, s.o.Path)
		}
		if err := durable.MkdirAll(filepath.Dir(s.o.KeyPath), 0o700); err != nil {
			return err
		}
		key := make([]byte, keySize)
		rand.Read(key) // never fails
		if err := replaceFile(s.o.KeyPath, key, nil); err != nil {
			return err
		}
		s.key = [keySize]byte(key)
		return nil
	})
}

func (s *Store) readKey() error {
	f, err := os.Open(s.o.KeyPath)
	if err != nil {
		return err
	}
	defer f.Close()
	key, err := io.ReadAll(io.LimitReader(f, keySize+1))
	if err != nil {
		return err
	}
	if len(key) != keySize {
		return fmt.Errorf("%s is damaged: a key has %d bytes", s.o.KeyPath, keySize)
	}
	s.key = [keySize]byte(key)
	return nil
}

// keyMark tells keys apart without showing anything of them. It is the digest
// of a Space that cannot be.
func (s *Store) keyMark() string {
	mark := s.digest("", []byte("mark of the key"))
	return hex.EncodeToString(mark[:8])
}
