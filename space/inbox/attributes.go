package inbox

import (
	"cmp"
	"math"
	"time"

	"github.com/pkg/sftp"
)

// setAttributes does what SETSTAT asks for, as far as it means something here: a
// size, to what is being uploaded; a time, to a file or directory. Permissions and
// owners are taken and ignored: many clients set them after each upload, and there is
// one user here.
func (b *Inbox) setAttributes(name string, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	switch {
	case a == nil:
		return refuse(sftp.ErrSSHFxBadMessage, "the attributes are cut short")
	case flags.Size && a.Size > math.MaxInt64:
		return errOffset
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return b.setGone(name, flags, a, err)
	}
	defer p.close()
	s, err := p.look()
	if err != nil {
		return err
	}
	if s.isDirectory() {
		return b.setDirectoryAttributes(name, p, flags, a)
	}
	f := b.observe(name, s)
	if f == nil {
		return b.setGone(name, flags, a, errMissing)
	}
	if err := b.beginFor(f, flags, a); err != nil {
		return err
	}
	switch {
	case f.part != nil:
		return b.setPartAttributes(f, p, flags, a)
	case len(f.later) > 0:
		return b.setLaterAttributes(f, p, flags, a)
	}
	return b.setWholeAttributes(f, p, flags, a)
}

// setDirectoryAttributes sets the time of a directory, which stays until a client
// changes what is in it.
func (b *Inbox) setDirectoryAttributes(name string, p place, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	b.use(name)
	switch {
	case flags.Size:
		return errDirectory
	case !flags.Acmodtime:
		return nil
	}
	return setTimes(p.dir, cmp.Or(p.base, "."), a.AccessTime(), a.ModTime())
}

// beginFor makes the upload of a writer that changes the size of what it has
// not written to yet, and tells it the time. The caller has claimed the name.
func (b *Inbox) beginFor(f *file, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	b.mu.Lock()
	w := f.writer
	b.mu.Unlock()
	if w == nil || !w.untouched() {
		return nil
	}
	if flags.Acmodtime {
		w.setTime(a.ModTime())
	}
	if !flags.Size || int64(a.Size) == w.start {
		return nil
	}
	w.gate.Lock()
	defer w.gate.Unlock()
	return w.begin()
}

func (b *Inbox) setPartAttributes(f *file, p place, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	b.mu.Lock()
	w, size := f.writer, f.part.size
	b.mu.Unlock()
	if flags.Size && int64(a.Size) != size {
		switch {
		case w != nil:
			if err := w.truncate(int64(a.Size)); err != nil {
				return err
			}
		case int64(a.Size) > size: // there would be a gap that nobody knows of
			return errOrder
		default:
			if err := cutAt(p.dir, p.part(), int64(a.Size)); err != nil {
				return err
			}
			b.mu.Lock()
			b.setPart(f, &version{size: int64(a.Size)})
			b.mu.Unlock()
		}
	}
	if flags.Acmodtime && w != nil {
		w.setTime(a.ModTime())
	}
	return nil
}

// setLaterAttributes does it to the last upload of a name, which waits behind others.
func (b *Inbox) setLaterAttributes(f *file, p place, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	b.mu.Lock()
	i := len(f.later) - 1
	last := f.later[i]
	b.mu.Unlock()
	switch {
	case flags.Size && int64(a.Size) != last.size:
		return errUploaded
	case !flags.Acmodtime:
		return nil
	}
	v := version{last.size, a.ModTime()}
	b.mu.Lock()
	before := f.whole
	if i > 0 {
		before = &f.later[i-1].version
	}
	for before != nil && v.same(*before) { // see behind
		v.modTime = v.modTime.Add(time.Second)
	}
	b.mu.Unlock()
	if err := p.dir.Chtimes(laterName(p.base, last.n), v.modTime, v.modTime); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f.later[i].modTime, f.later[i].since = v.modTime, time.Now()
	return nil
}

func (b *Inbox) setWholeAttributes(f *file, p place, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	if flags.Size && int64(a.Size) != f.whole.size {
		return errUploaded
	}
	b.mu.Lock()
	v := b.distinct(f.name, f.generation, version{f.whole.size, a.ModTime()})
	if !flags.Acmodtime {
		b.touch(f)
	}
	b.mu.Unlock()
	if !flags.Acmodtime {
		return nil
	}
	if err := p.dir.Chtimes(p.base, v.modTime, v.modTime); err != nil {
		return err
	}
	info, err := p.dir.Lstat(p.base)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f.whole = &version{f.whole.size, info.ModTime()}
	b.touch(f)
	return nil
}

// setGone answers SETSTAT of a file that was imported a moment ago, or with err.
func (b *Inbox) setGone(name string, flags sftp.FileAttrFlags, a *sftp.FileStat, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.gone.find(name)
	switch {
	case g == nil:
		return err
	case flags.Size && int64(a.Size) != g.size:
		return errDenied
	case flags.Acmodtime:
		g.modTime = a.ModTime()
	}
	return nil
}
