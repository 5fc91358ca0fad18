package spool

import (
	"context"
	"errors"
	"io"
	"time"

	"sftpconnector/sync/ledger"
)

// commitTime is how long the ledger may take to write.
const commitTime = time.Minute

// commit writes all that has changed into the index, in one transaction. What it
// could not write is written with what comes next: memory is never behind the index.
func (s *Spool) commit() error {
	s.mu.Lock()
	dirty, doomed := s.tree.dirty, s.tree.doomed
	s.tree.dirty, s.tree.doomed = map[int64]*row{}, nil
	var put []ledger.SpoolRow
	var drop []int64
	for id, r := range dirty {
		if r == nil {
			drop = append(drop, id)
		} else {
			put = append(put, r.index())
		}
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), commitTime)
	defer cancel()
	err := s.o.Index.Change(ctx, put, drop)
	s.mu.Lock()
	if err != nil {
		for id, r := range dirty {
			if _, changed := s.tree.dirty[id]; !changed {
				s.tree.dirty[id] = r
			}
		}
	}
	if err != nil || len(doomed) > 0 {
		s.tree.doomed = append(doomed, s.tree.doomed...)
	}
	s.mu.Unlock()
	if err == nil && len(doomed) > 0 {
		s.tidying.start()
	}
	return err
}

// tidy removes the objects that the index has as removed, and then their rows: an
// object of which the removal does not last through a power cut has its row still.
func (s *Spool) tidy() error {
	s.mu.Lock()
	var doomed []*object
	left := s.tree.doomed[:0:0]
	for _, o := range s.tree.doomed {
		if s.tree.dirty[o.row] != nil { // the index does not say so yet
			left = append(left, o)
		} else {
			doomed = append(doomed, o)
		}
	}
	s.tree.doomed = left
	s.mu.Unlock()
	if len(doomed) == 0 {
		return nil
	}
	var errs []error
	var removed []*object
	for _, o := range doomed {
		if err := s.objects.remove(o.id); err != nil { // on Windows, somebody reads it
			errs = append(errs, err)
			continue
		}
		removed = append(removed, o)
	}
	if err := s.objects.sync(); err != nil {
		errs, removed = append(errs, err), nil
	}
	s.mu.Lock()
	for _, o := range removed {
		if o.row != 0 {
			s.tree.dirty[o.row] = nil
		}
	}
	s.mu.Unlock()
	err := errors.Join(errs...)
	if err != nil { // the next start removes them
		s.o.Log.Warn("spool: objects not removed", "count", len(doomed)-len(removed), "error", err)
	}
	s.commits.start()
	return nil
}

// flush waits until all that was changed is in the index. The caller holds nothing.
func (s *Spool) flush() error { return s.commits.join() }

// eofIsNil is for readers that end well.
func eofIsNil(err error) error {
	if err == io.EOF { //nolint:errorlint // io.Reader gives it as it is
		return nil
	}
	return err
}
