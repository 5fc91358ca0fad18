package spool

import (
	"io"
	"os"
	"time"

	"github.com/pkg/sftp"
)

// staleAfter is how long an upload must have been silent until another
// connection may take it over: the first one may be dead without the server
// knowing, and its client be back already.
const staleAfter = 30 * time.Second

// openRead opens a file for a client: what it sees of it.
func (s views) openRead(name string) (*reader, error) {
	s.mu.Lock()
	o, err := s.visible(name)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	f, err := s.objects.open(o.id, os.O_RDONLY)
	if err != nil { // ErrNotExist: it was just imported
		return nil, err
	}
	return &reader{s.Spool, name, f}, nil
}

// visible gives the upload that clients see under a name. The caller holds s.mu.
func (s views) visible(name string) (*object, error) {
	if s.closed {
		return nil, errClosed
	}
	if name == "" {
		return nil, errDirectory
	}
	_, _, c, err := s.tree.find(name)
	switch {
	case err != nil:
		return nil, err
	case c == nil || c.file != nil && !c.file.seen():
		return nil, errMissing
	case c.directory != nil:
		return nil, errDirectory
	case c.file.part != nil:
		return c.file.part, nil
	}
	return c.file.last(), nil
}

// reader is a handle for reading.
type reader struct {
	s    *Spool
	name string
	file *os.File
}

var _ io.ReaderAt = (*reader)(nil)

func (r *reader) ReadAt(to []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	n, err := r.file.ReadAt(to, off)
	return n, r.s.refusals.answer("read", r.name, err)
}

func (r *reader) Close() error { return r.s.refusals.answer("close", r.name, r.file.Close()) }

// uploads is what writers do to the spool.
type uploads struct{ *Spool }

// openWrite opens a file for a client that uploads. What was received of that name
// stays until the upload is complete, be it a replacement or one that goes on with it.
func (s uploads) openWrite(name string, flags sftp.FileOpenFlags) (*writer, error) {
	if name == "" {
		return nil, errDirectory
	}
	w := &writer{s: s, name: name, appends: flags.Append, last: time.Now()}
	for {
		stale, open, err := s.beginWrite(w, flags)
		if stale != nil {
			stale.stop(errTaken)
			err = s.leavePart(stale)
			if err == nil {
				continue
			}
		}
		if err != nil {
			if isFull(err) {
				s.refusals.note(name, err)
			}
			return nil, err
		}
		if err := open(); err != nil {
			s.giveUp(w)
			return nil, err
		}
		w.start = w.prefix
		return w, nil
	}
}

// beginWrite has a file be w's. stale is a writer that was silent for so long that it
// loses the file first. What open does needs the disk.
func (s uploads) beginWrite(w *writer, flags sftp.FileOpenFlags) (stale *writer, open func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed
	}
	in, base, c, err := s.tree.find(w.name)
	if err != nil {
		return nil, nil, err
	}
	var f *file
	switch exists := c != nil && (c.directory != nil || c.file.seen()); {
	case c != nil && c.directory != nil:
		return nil, nil, errDirectory
	case !exists && !flags.Creat:
		return nil, nil, errMissing
	case exists && flags.Creat && flags.Excl:
		return nil, nil, errExists
	case c != nil:
		f = c.file
	}
	if f != nil && f.writer != nil {
		if f.writer.idle() < staleAfter {
			return nil, nil, errBusy
		}
		return f.writer, nil, nil
	}
	if f == nil || s.queues(f) {
		if err := s.room(); err != nil {
			return nil, nil, err
		}
	}
	if f == nil {
		f = s.tree.file(in, base, s.o.IsTemporary)
		s.tree.changed(in)
		s.gone.hide(w.name)
	}
	f.writer, w.f = w, f
	switch {
	case flags.Trunc || !f.seen():
		return nil, s.startPart(w), nil
	case f.part == nil:
		return nil, s.goOn(w), nil
	}
	f.partSince = time.Now()
	return nil, func() error { return s.resumePart(w) }, nil
}

// queues reports whether another upload of a file waits behind what was received of
// it. Temporary names are never imported: nothing waits for them. The caller holds s.mu.
func (s uploads) queues(f *file) bool {
	n := len(f.received)
	return n > 1 || n == 1 && s.limits.KeepEach && !f.temporary
}

// startPart begins a new upload. Where clients saw another one of that name, the index
// has the new one before its client hears that it may write: after a kill it would go
// on with the other one. The caller holds s.mu.
func (s uploads) startPart(w *writer) (open func() error) {
	old := w.f.part
	other := w.f.seen()
	w.o = &object{id: newID(), file: w.f}
	s.tree.setPart(w.f, w.o)
	if old != nil {
		s.tree.discard(old)
	}
	return func() (err error) {
		if w.file, err = s.objects.create(w.o.id); err != nil || !other {
			return err
		}
		return s.announce(w)
	}
}

// announce has the index know of an upload of which nothing is durable yet.
func (s uploads) announce(w *writer) error {
	if err := s.objects.sync(); err != nil {
		return err
	}
	w.named.Store(true)
	s.mu.Lock()
	s.tree.keep(w.f.part)
	s.mu.Unlock()
	return s.flush()
}

// resumePart goes on with an upload that was cut. What its object has behind the
// durable prefix may have gaps.
func (s uploads) resumePart(w *writer) (err error) {
	if w.file, err = s.objects.open(w.f.part.id, os.O_RDWR); err != nil {
		return err
	}
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	w.named.Store(true)
	s.mu.Lock()
	w.o = w.f.part
	w.prefix = min(w.o.size, info.Size())
	w.noted = min(w.o.durable, w.prefix)
	s.tree.bytes += w.prefix - w.o.size
	w.o.size = w.prefix
	s.mu.Unlock()
	return w.file.Truncate(w.prefix)
}

// goOn opens a received file to be written on. Until something is written there is
// nothing but that file: see writer.begin. The caller holds s.mu.
func (s uploads) goOn(w *writer) (open func() error) {
	last := w.f.last()
	w.prefix, w.unchanged, w.before = last.size, true, true
	return func() (err error) {
		if w.file, err = s.objects.open(last.id, os.O_RDONLY); err == nil && isLinked(w.file) {
			err = errImporting // who has it at the destination may write to it
		}
		return err
	}
}

// giveUp is the end of a writer that was never answered.
func (s uploads) giveUp(w *writer) {
	if w.file != nil {
		w.file.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.o != nil && w.prefix == 0 { // a new one
		s.tree.setPart(w.f, nil)
		s.tree.discard(w.o)
		s.tidying.start()
	}
	s.writerGone(w.f)
}

// indexed reports whether an upload has a row.
func (o *object) indexed() bool { return o.row != 0 }

// begin makes the upload that goes on with a received file, as a copy of that: the
// file was acknowledged to its client, and stays until the copy is complete. It takes
// no time again. The caller holds w.fileMu.
func (w *writer) begin() error {
	w.mu.Lock()
	needed, failed := w.unchanged && !w.closed, w.err
	w.mu.Unlock()
	if !needed || failed != nil {
		return failed
	}
	s, o := w.s, &object{id: newID(), file: w.f}
	s.mu.Lock()
	if w.f.writer != w {
		s.mu.Unlock()
		return errTaken
	}
	s.gone.hide(w.name)
	s.tree.setPart(w.f, o)
	err := s.reserve(o, w.start)
	s.mu.Unlock()
	var copied *os.File
	if err == nil {
		copied, err = s.objects.create(o.id)
	}
	if err == nil {
		if _, err = io.CopyN(copied, w.file, w.start); err == nil {
			err = s.announce(w)
		}
		if err != nil {
			copied.Close()
		}
	}
	if err != nil {
		s.mu.Lock()
		s.tree.setPart(w.f, nil)
		s.tree.discard(o)
		s.mu.Unlock()
		s.tidying.start()
		return err
	}
	w.file.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file, w.o, w.unchanged = copied, o, false
	return nil
}

// reserve takes room for an upload that is to have so many bytes. The caller holds s.mu.
func (s uploads) reserve(o *object, size int64) error {
	if limit := s.limits.MaximumFileSize; limit > 0 && size > limit {
		return errTooLarge(limit)
	}
	more := size - o.size
	if more <= 0 {
		return nil
	}
	if limit := s.limits.Quota; limit > 0 && more > limit-s.tree.bytes {
		return errQuota(limit)
	}
	s.tree.bytes += more
	o.size = size
	return nil
}
