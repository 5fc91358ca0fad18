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
	dirty, doomed := s.dirty, s.doomed
	s.dirty, s.doomed = map[int64]*row{}, nil
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
			if _, changed := s.dirty[id]; !changed {
				s.dirty[id] = r
			}
		}
	}
	if err != nil || len(doomed) > 0 {
		s.doomed = append(doomed, s.doomed...)
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
	left := s.doomed[:0:0]
	for _, o := range s.doomed {
		if s.dirty[o.row] != nil { // the index does not say so yet
			left = append(left, o)
		} else {
			doomed = append(doomed, o)
		}
	}
	s.doomed = left
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
			s.dirty[o.row] = nil
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

// keep has an upload in the index, as it is when that is written. The caller holds s.mu.
func (s *Spool) keep(o *object) {
	if o.row == 0 {
		o.row = s.tree.nextRow()
	}
	s.dirty[o.row] = &row{object: o}
}

// keepDirectory does so for a directory. The caller holds s.mu.
func (s *Spool) keepDirectory(d *directory) {
	if d.id == 0 && d != s.tree.top {
		d.id = s.tree.nextRow()
	}
	if d == s.tree.top {
		s.dirty[topRow] = &row{directory: d}
		return
	}
	s.dirty[d.id] = &row{directory: d}
}

// topRow is the ID of the row of the top, which is the parent 0 of all others.
const topRow = -1

// changed notes that a client has changed what is in a directory. The caller holds s.mu.
func (s *Spool) changed(d *directory) {
	now := time.Now()
	d.changed, d.modTime = now, now.Truncate(time.Second)
	s.keepDirectory(d)
}

// discard takes an upload out of its file for good: its object goes when the index
// says so. The caller holds s.mu, and counts.
func (s *Spool) discard(o *object) {
	o.removed = true
	delete(s.tree.objects, o.id)
	if o.row != 0 {
		s.keep(o)
	}
	s.doomed = append(s.doomed, o)
}

// flush waits until all that was changed is in the index. The caller holds nothing.
func (s *Spool) flush() error { return s.commits.join() }

// eofIsNil is for readers that end well.
func eofIsNil(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
