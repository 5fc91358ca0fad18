package spool

import (
	"errors"
	"io/fs"
	"time"
)

// What becomes of an upload when its client closes it, or is gone.

// accept has an upload be received: object and name durable, then the row, in the
// place of what was received before, or behind it. The writer is stopped.
func (s uploads) accept(w *writer) error {
	err := s.makeDurable(w)
	if cerr := w.file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return errors.Join(err, s.discardPart(w))
	}
	s.mu.Lock()
	f, o := w.f, w.o
	s.tree.setPart(f, nil)
	o.modTime = time.Now().Truncate(time.Second)
	if !w.modTime.IsZero() {
		o.modTime = w.modTime
	}
	s.receive(f, o)
	s.writerGone(f)
	s.mu.Unlock()
	if err := s.flush(); err != nil {
		return err
	}
	// Under this name it is no litter, should the ledger be lost.
	if err := s.objects.received(o.id); err != nil && !errors.Is(err, fs.ErrNotExist) { // imported already
		s.o.Log.Warn("spool: object not renamed", "object", o.id, "error", err)
	}
	return nil
}

// makeDurable has what was written of an upload be on the disk, with the object's name.
func (s uploads) makeDurable(w *writer) error {
	named := make(chan error, 1)
	if w.named.Load() {
		named <- nil
	} else {
		go func() { named <- s.objects.sync() }() // both at once cost hardly more than one
	}
	err := w.file.Sync()
	if nerr := <-named; err == nil {
		err = nerr
	}
	if err == nil {
		w.named.Store(true)
	}
	return err
}

// receive gives an upload that is complete to a file: behind those that wait there,
// if each is kept, or in their place. It has a new row, as rows are in the order of
// acceptance. The caller holds s.mu, and has taken it from where it was.
func (s uploads) receive(f *file, o *object) {
	if !s.queues(f) {
		for _, old := range f.received {
			s.tree.count(f, -1)
			f.without(old)
			s.tree.count(f, 1)
			s.tree.discard(old)
		}
	}
	if o.indexed() {
		s.tree.dirty[o.row] = nil
		o.row = 0
	}
	o.received, o.durable, o.file, o.accepted = true, o.size, f, time.Now()
	s.tree.count(f, -1)
	f.received = append(f.received, o)
	s.tree.count(f, 1)
	s.tree.objects[o.id] = o
	s.tree.keep(o)
	s.touch(f, o)
}

// leavePart gives an upload up that its client may go on with: of what was written it
// keeps what has no gap. The writer is stopped.
func (s uploads) leavePart(w *writer) error {
	if !w.owns() {
		return w.file.Close()
	}
	prefix := w.written()
	if w.untouched() {
		w.release()
		return w.file.Close()
	}
	if w.addsNothing(prefix) {
		return s.discardPart(w)
	}
	err := w.file.Truncate(prefix)
	if err == nil {
		err = s.makeDurable(w)
	}
	if cerr := w.file.Close(); err == nil {
		err = cerr
	}
	if err != nil { // what was acknowledged may be lost
		return errors.Join(err, s.discardPart(w))
	}
	s.mu.Lock()
	o := w.o
	s.tree.bytes += prefix - o.size
	o.size, o.durable, o.accepted = prefix, prefix, time.Now()
	w.f.partSince = time.Now()
	s.tree.keep(o)
	s.writerGone(w.f)
	s.mu.Unlock()
	return s.flush()
}

// discardPart removes what is left of an upload that failed. What was received of
// that name stays.
func (s uploads) discardPart(w *writer) error {
	w.file.Close()
	s.mu.Lock()
	indexed := w.o.indexed()
	s.tree.setPart(w.f, nil)
	s.tree.discard(w.o)
	s.writerGone(w.f)
	s.mu.Unlock()
	if !indexed { // nobody has to wait until it is gone
		s.tidying.start()
		return nil
	}
	return s.flush()
}
