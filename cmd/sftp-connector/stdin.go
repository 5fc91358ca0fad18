package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// standardInput is where standard input is kept while it is uploaded, in files of the
// data directory that only this user may read. What a killed program left there
// goes when the next one opens it, once nobody else has it open.
type standardInput struct {
	dir   string
	alive *flock.Flock // shared by all who have it open; its name is none of a connector
	files []string
}

// keptPrefix begins the names of its files.
const keptPrefix = "standard-input-"

func openStandardInput(ctx context.Context, dir string) (*standardInput, error) {
	locks := filepath.Join(dir, "locks")
	if err := os.MkdirAll(locks, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	s := &standardInput{dir: dir, alive: flock.New(filepath.Join(locks, "standard input.lock"))}
	alone, err := s.alive.TryLock()
	if err == nil && alone {
		err = errors.Join(s.removeLeft(), s.alive.Unlock())
	}
	if err == nil {
		_, err = s.alive.TryRLockContext(ctx, lockPoll)
	}
	if err != nil {
		return nil, fmt.Errorf("keep standard input: %w", err)
	}
	return s, nil
}

// removeLeft removes what killed programs left.
func (s *standardInput) removeLeft() error {
	entries, err := os.ReadDir(s.dir)
	errs := []error{err}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), keptPrefix) {
			errs = append(errs, os.Remove(filepath.Join(s.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// keep keeps what comes until its end, and gives the file's path.
func (s *standardInput) keep(ctx context.Context, input io.Reader) (path string, err error) {
	f, err := os.CreateTemp(s.dir, keptPrefix+"*")
	if err != nil {
		return "", fmt.Errorf("keep standard input: %w", err)
	}
	s.files = append(s.files, f.Name())
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(f, input)
		copied <- err
	}()
	select {
	case err = <-copied:
	case <-ctx.Done():
		// Nothing wakes who reads from a pipe that is idle. The reader is left
		// behind, as the program is about to exit.
		err = context.Cause(ctx)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("keep standard input: %w", err)
	}
	return f.Name(), nil
}

// close removes what was kept.
func (s *standardInput) close() {
	for _, path := range s.files {
		_ = os.Remove(path)
	}
	_ = s.alive.Close()
}
