package inbox

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/pkg/sftp"
)

// staleAfter is how long an upload must have been silent until another
// connection may take it over: the first one may be dead without the server
// knowing, and its client be back already.
const staleAfter = 30 * time.Second

// openRead opens a file for a client: the one that it sees.
func (b *Inbox) openRead(name string) (*reader, error) {
	p, err := b.place(name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	f, err := b.openShown(name, p)
	if errors.Is(err, fs.ErrNotExist) { // it was just closed, and has another name
		f, err = b.openShown(name, p)
	}
	if err != nil {
		return nil, err
	}
	return &reader{b, name, f}, nil
}

// openShown opens what a client sees under a name.
func (b *Inbox) openShown(name string, p place) (*os.File, error) {
	s, err := p.look()
	switch {
	case err != nil:
		return nil, err
	case s.nothing():
		return nil, errMissing
	case s.part != nil:
		return p.dir.Open(p.part())
	case s.isDirectory():
		return nil, errDirectory
	}
	return p.dir.Open(b.newest(name, p))
}

// reader is a handle for reading.
type reader struct {
	b    *Inbox
	name string
	file *os.File
}

func (r *reader) ReadAt(to []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	n, err := r.file.ReadAt(to, off)
	return n, r.b.answer("read", r.name, err)
}

func (r *reader) Close() error { return r.b.answer("close", r.name, r.file.Close()) }

// openWrite opens a file for a client that uploads. What stands under the plain
// name stays until the upload is complete, be it a replacement or one
// that goes on with it.
func (b *Inbox) openWrite(name string, flags sftp.FileOpenFlags) (*writer, error) {
	if name == "" {
		return nil, errDirectory
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	s, err := p.look()
	if err != nil {
		return nil, err
	}
	f := b.observe(name, s)
	switch {
	case s.isDirectory():
		return nil, errDirectory
	case f == nil && !flags.Creat:
		return nil, errMissing
	case f != nil && flags.Creat && flags.Excl:
		return nil, errExists
	}
	if err := b.evict(f); err != nil {
		return nil, err
	}
	if err := b.roomBehind(f); err != nil {
		b.refused(name, err)
		return nil, err
	}
	w := &writer{b: b, name: name, appends: flags.Append, last: time.Now()}
	switch {
	case f == nil, f.part == nil && flags.Trunc:
		err = b.startPart(w, p)
	case f.part == nil:
		err = b.goOn(w, p)
	default:
		err = b.resumePart(w, f, p, flags.Trunc)
	}
	if err != nil {
		if w.file != nil {
			w.file.Close()
		}
		return nil, err
	}
	w.start = w.prefix
	return w, nil
}

// roomBehind says whether one more upload may wait behind others of its name, if
// it has to. f may be nil.
func (b *Inbox) roomBehind(f *file) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waits(f) {
		return b.room()
	}
	return nil
}

// evict makes sure that nobody writes the file: a writer that was silent for
// long loses it. f may be nil. The caller has claimed the name.
func (b *Inbox) evict(f *file) error {
	b.mu.Lock()
	var w *writer
	if f != nil {
		w = f.writer
	}
	b.mu.Unlock()
	if w == nil {
		return nil
	}
	if w.idle() < staleAfter {
		return errBusy
	}
	w.stop(errTaken)
	return b.leavePart(w)
}

// evictAndLook is evict, and says what stands there then: a writer that has added
// nothing takes its part along.
func (b *Inbox) evictAndLook(f *file, p place) (sight, error) {
	if err := b.evict(f); err != nil {
		return sight{}, err
	}
	return p.look()
}

// startPart begins a new upload.
func (b *Inbox) startPart(w *writer, p place) error {
	b.mu.Lock()
	var err error
	shown := b.files[key(w.name)] != nil // the client sees a file of that name already
	if !shown {
		err = b.room()
	}
	b.mu.Unlock()
	if err != nil {
		b.refused(w.name, err)
		return err
	}
	if shown {
		w.file, err = createQuietly(p)
	} else {
		w.file, err = create(p)
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.record(w.name)
	b.setPart(f, &version{})
	b.gone.hide(w.name)
	b.own(f, w)
	return nil
}

// create makes a part.
func create(p place) (*os.File, error) {
	return p.dir.OpenFile(p.part(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// createQuietly makes the part of a file that clients see already.
func createQuietly(p place) (f *os.File, err error) {
	err = quietly(p.dir, func() error {
		f, err = create(p)
		return err
	})
	return f, err
}

// own notes who writes a part. The caller holds b.mu.
func (b *Inbox) own(f *file, w *writer) {
	f.writer, f.partSince = w, time.Now()
	w.f = f
}

// resumePart goes on with an upload that was cut, or starts it again.
func (b *Inbox) resumePart(w *writer, f *file, p place, anew bool) (err error) {
	if w.file, err = p.dir.OpenFile(p.part(), os.O_RDWR, 0); err != nil {
		return err
	}
	if !anew {
		b.mu.Lock()
		w.prefix = f.part.size
		b.mu.Unlock()
	}
	if w.noted, err = reopen(p.dir, p.part(), w.file, w.prefix, w.last); err != nil {
		return err
	}
	// What there is more on the disk could not be cut off, and may have gaps before it.
	if err := w.file.Truncate(w.prefix); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setPart(f, &version{size: w.prefix})
	b.own(f, w)
	return nil
}

// goOn opens an uploaded file to be written on. Until something is written there
// is nothing but that file: see writer.begin.
func (b *Inbox) goOn(w *writer, p place) (err error) {
	if w.file, err = p.dir.Open(b.newest(w.name, p)); err != nil {
		return err
	}
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	w.prefix = info.Size()
	w.unchanged, w.before = true, true
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own(b.record(w.name), w)
	return nil
}

// begin makes the upload that goes on with a complete file, as a copy of that:
// the file was acknowledged to its client, and stays until the copy is complete.
// It takes no time again. The caller has claimed the name.
func (w *writer) begin() (err error) {
	w.mu.Lock()
	needed, failed := w.unchanged && !w.closed, w.err
	w.mu.Unlock()
	if !needed || failed != nil || !w.owns() {
		return failed
	}
	p, err := w.b.place(w.name)
	if err != nil {
		return err
	}
	defer p.close()
	w.b.mu.Lock()
	if f := w.b.files[key(w.name)]; f != nil && f != w.f {
		w.b.mu.Unlock()
		return errTaken
	}
	w.b.enlist(w.f) // the import may have taken what it had
	w.b.gone.hide(w.name)
	w.f.part = &version{}
	err = w.b.reserve(w.f, w.start)
	w.b.mu.Unlock()
	var part *os.File
	if err == nil {
		part, err = createQuietly(p)
	}
	if err == nil {
		_, err = io.CopyN(part, w.file, w.start)
		if err != nil {
			err = errors.Join(err, part.Close(), p.dir.Remove(p.part()))
		}
	}
	if err != nil {
		w.b.mu.Lock()
		defer w.b.mu.Unlock()
		w.b.setPart(w.f, nil)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file.Close()
	w.file, w.unchanged = part, false
	return nil
}

// leavePart gives an upload up that its client may go on with: of what was
// written it keeps what has no gap. The caller has claimed the name, and the
// writer is stopped.
func (b *Inbox) leavePart(w *writer) error {
	switch {
	case !w.owns():
		return w.file.Close()
	case w.untouched():
		w.release()
		return w.file.Close()
	}
	prefix := w.written()
	p, err := b.place(w.name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errMissing): // an operator has removed the directory
		w.lose()
		return w.file.Close()
	case err != nil: // nobody knows what the disk has of it
		w.lose()
		return errors.Join(err, w.file.Close())
	}
	defer p.close()
	if w.addsNothing(prefix) {
		return b.discardPart(w, p)
	}
	if err := settle(p.dir, p.part(), w.file, prefix); err != nil { // what was acknowledged may be lost
		return errors.Join(err, b.discardPart(w, p))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setPart(w.f, &version{size: prefix})
	w.f.partSince = time.Now()
	b.letGo(w.f)
	return nil
}

// discardPart removes what is left of an upload that failed. A complete file of
// that name stays.
func (b *Inbox) discardPart(w *writer, p place) error {
	w.file.Close()
	err := quietly(p.dir, func() error { return p.dir.Remove(p.part()) })
	w.lose()
	return err
}

// publish makes an upload an uploaded file: contents and time durable, then the
// plain name, or one behind others that wait for it, then that durable. The caller
// has claimed the name, and the writer is stopped.
func (b *Inbox) publish(w *writer, p place) error {
	defer w.file.Close()
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	v := *versionOf(info)
	if !w.modTime.IsZero() {
		v.modTime = w.modTime
	}
	n, v, waits, err := b.behind(w.f, p, v)
	if err != nil {
		return err
	}
	b.mu.Lock()
	v = b.distinct(w.name, 0, v)
	b.mu.Unlock()
	if !v.modTime.Equal(info.ModTime()) {
		if err := p.dir.Chtimes(p.part(), v.modTime, v.modTime); err != nil {
			return err
		}
	}
	removeNote(w.file, durableNote)
	if err := w.file.Sync(); err != nil {
		return err
	}
	if info, err = w.file.Stat(); err != nil {
		return err
	}
	w.file.Close() // Windows renames no open file
	to := p.base
	if waits {
		to = laterName(p.base, n)
	}
	if err := quietly(p.dir, func() error { return p.dir.Rename(p.part(), to) }); err != nil {
		return err
	}
	err = syncDirectory(p.dir)
	b.mu.Lock()
	if waits {
		b.queue(w.f, later{*versionOf(info), n, time.Now()})
	} else {
		b.setWhole(w.f, versionOf(info))
	}
	b.setPart(w.f, nil)
	b.letGo(w.f)
	b.mu.Unlock()
	b.goOnAdvancing(w.f, p)
	return err
}

var _ io.ReaderAt = (*reader)(nil)
