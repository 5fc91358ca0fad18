package spool

import (
	"math"
	"time"

	"github.com/pkg/sftp"
)

// setAttributes does what SETSTAT asks for, as far as it means something here: a
// size, to what is being uploaded; a time, to a file or directory. Permissions and
// owners are taken and ignored: many clients set them after each upload, and there is
// one user here.
func (s commands) setAttributes(name string, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	switch {
	case a == nil:
		return refuse(sftp.ErrSSHFxBadMessage, "the attributes are cut short")
	case flags.Size && a.Size > math.MaxInt64:
		return errOffset
	}
	s.mu.Lock()
	w, err := s.writerOf(name)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if w != nil {
		return w.setAttributes(flags, a)
	}
	var flush bool
	s.mu.Lock()
	d, err := s.tree.directory(name)
	if err == nil {
		flush, err = flags.Acmodtime, s.setDirectoryAttributes(d, flags, a)
	} else {
		flush, err = s.setFileAttributes(name, flags, a)
	}
	s.mu.Unlock()
	if err != nil || !flush {
		return err
	}
	return s.flush()
}

// writerOf gives the writer of a file, if it has one. The caller holds s.mu.
func (s commands) writerOf(name string) (*writer, error) {
	if s.closed {
		return nil, errClosed
	}
	_, _, c, err := s.tree.find(name)
	if err != nil || c == nil || c.file == nil || !c.file.seen() {
		return nil, nil
	}
	return c.file.writer, nil
}

// setAttributes sets the size of what is being uploaded, and the time that it is to
// have. A size makes the upload of a writer that goes on with a received file and has
// not written to it yet.
func (w *writer) setAttributes(flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	if flags.Acmodtime {
		w.setTime(a.ModTime())
	}
	if !flags.Size || int64(a.Size) == w.end() {
		return nil
	}
	if w.untouched() {
		if err := w.first(); err != nil {
			return w.fail(err)
		}
	}
	return w.truncate(int64(a.Size))
}

// setDirectoryAttributes sets the time of a directory, which stays until a client
// changes what is in it. The caller holds s.mu.
func (s commands) setDirectoryAttributes(d *directory, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	now := time.Now()
	d.used = now
	switch {
	case flags.Size:
		return errDirectory
	case flags.Acmodtime:
		d.modTime, d.changed = a.ModTime(), now
		s.tree.keepDirectory(d)
	}
	return nil
}

// setFileAttributes does it to a file that nobody writes: to what clients see of it.
// The caller holds s.mu.
func (s commands) setFileAttributes(name string, flags sftp.FileAttrFlags, a *sftp.FileStat) (flush bool, err error) {
	_, _, c, err := s.tree.find(name)
	if err != nil || c == nil || !c.file.seen() {
		return false, s.setGone(name, flags, a)
	}
	f, size := c.file, int64(a.Size)
	if o := f.part; o != nil {
		switch {
		case !flags.Size || size == o.size:
			return false, nil
		case size > o.size: // there would be a gap that nobody knows of
			return false, errOrder
		}
		s.tree.bytes += size - o.size
		o.size, o.durable = size, min(size, o.durable)
		s.tree.keep(o)
		return true, nil
	}
	o := f.last()
	if flags.Size && size != o.size {
		return false, errUploaded
	}
	if flags.Acmodtime {
		o.modTime = a.ModTime()
		s.tree.keep(o)
	}
	s.touch(f, o)
	return flags.Acmodtime, nil
}

// setGone answers SETSTAT of a file that was imported a moment ago. The caller holds
// s.mu.
func (s commands) setGone(name string, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	g := s.gone.find(name)
	switch {
	case g == nil:
		return errMissing
	case flags.Size && int64(a.Size) != g.size:
		return errDenied
	case flags.Acmodtime:
		g.modTime = a.ModTime()
	}
	return nil
}
