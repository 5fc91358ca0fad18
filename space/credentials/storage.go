package credentials

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// keySize is the length of the HMAC key in bytes.
const keySize = 32

// Storage is where a Store keeps a small document, which other processes may change at
// the same time. It is used concurrently.
type Storage interface {
	fmt.Stringer // what messages call it
	// Version is a mark that no two versions share; fs.ErrNotExist where there is none.
	Version() (string, error)
	// Read gives the contents and their version. A version with an error is of contents
	// that will not do.
	Read() (data []byte, version string, err error)
	// Create makes the document, durably; fs.ErrExist where there is one.
	Create(data []byte) error
	// Edit replaces the contents by what change makes of them, all or nothing, durably.
	// old is nil where there are none. Edits wait for each other.
	Edit(ctx context.Context, change func(old []byte) ([]byte, error)) error
}

// refresh reads the records if they are not those that were read last. A mutex is held.
func (s *Store) refresh() error {
	version, err := s.o.Records.Version()
	switch {
	case errors.Is(err, fs.ErrNotExist): // the first start, or somebody took all credentials away
		s.take("", nil)
		return nil
	case err != nil:
		return err
	case s.seen == version:
		return s.broken
	}
	data, version, err := s.o.Records.Read()
	if version == "" {
		return err // it was not seen, so it may be read another time
	}
	var records []record
	if err == nil {
		records, err = s.parse(data)
	}
	s.take(version, records)
	s.broken = err
	return err
}

// take makes these records the known ones. A mutex is held.
func (s *Store) take(version string, records []record) {
	s.seen, s.broken, s.known = version, nil, map[string][]record{}
	unwritten := map[string]time.Time{}
	for _, r := range records {
		s.known[r.Space] = append(s.known[r.Space], r)
		if at := s.used[r.ID]; at.After(r.LastUsed) {
			unwritten[r.ID] = at
		}
	}
	s.used = unwritten
}

// parse gives the records of a document that was made with our key.
func (s *Store) parse(data []byte) ([]record, error) {
	d, err := parse(data)
	if err == nil && d.Key != s.keyMark() {
		err = fmt.Errorf("was made with another key than that of %s: put that key back, or remove both files, which revokes all credentials", s.o.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w", s.o.Records, err)
	}
	return d.Credentials, nil
}

// editWithin bounds a change.
const editWithin = 10 * time.Second

// edit replaces the records by what change makes of those that work.
func (s *Store) edit(ctx context.Context, change func([]record) ([]record, error)) error {
	ctx, cancel := context.WithTimeout(ctx, editWithin)
	defer cancel()
	select {
	case s.editing <- struct{}{}:
		defer func() { <-s.editing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.o.Records.Edit(ctx, func(old []byte) ([]byte, error) {
		var records []record
		if old != nil {
			var err error
			if records, err = s.parse(old); err != nil {
				return nil, err
			}
		}
		now := s.now()
		s.mu.Lock()
		records = s.withUses(records)
		s.mu.Unlock()
		records, err := change(slices.DeleteFunc(records, func(r record) bool { return !r.live(now) }))
		if err != nil || old == nil && len(records) == 0 {
			return nil, err
		}
		return document{version, s.keyMark(), append([]record{}, records...)}.encode()
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.refresh() // it is done; if it cannot be read now, the next call says so
	return nil
}

// loadKey reads the key, or makes it if there are no credentials yet.
func (s *Store) loadKey() error {
	err := s.readKey()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := s.o.Records.Version(); !errors.Is(err, fs.ErrNotExist) {
		if err := s.readKey(); !errors.Is(err, fs.ErrNotExist) {
			return err // another process was first
		}
		return fmt.Errorf("the key %s of the credentials in %s is missing: put it back, or remove that file too, which revokes all credentials", s.o.Key, s.o.Records)
	}
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	if err := s.o.Key.Create(key); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.readKey() // it may be another process's
}

func (s *Store) readKey() error {
	key, _, err := s.o.Key.Read()
	if err != nil {
		return err
	}
	if len(key) != keySize {
		return fmt.Errorf("%s is damaged: a key has %d bytes", s.o.Key, keySize)
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
