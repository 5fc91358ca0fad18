package inbox

import (
	"errors"
	"math"
	"path"
	"time"

	"github.com/pkg/sftp"
)

// mkdir makes a directory, durably.
func (b *Inbox) mkdir(name string) error {
	if name == "" {
		return errExists
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return err
	}
	defer p.close()
	s, err := p.look()
	if err != nil {
		return err
	}
	if !s.nothing() || b.reservedFor(name) {
		return errExists
	}
	b.mu.Lock()
	if err = b.room(); err == nil {
		b.directories++
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if err := p.dir.Mkdir(p.base, 0o700); err != nil {
		b.forgetDirectory()
		return err
	}
	b.mu.Lock()
	b.gone.hide(name)
	b.mu.Unlock()
	return syncDirectory(p.dir)
}

func (b *Inbox) forgetDirectory() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.directories--
}

// rmdir removes an empty directory.
func (b *Inbox) rmdir(name string) error {
	if name == "" {
		return errDenied
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return err
	}
	defer p.close()
	s, err := p.look()
	switch {
	case err != nil:
		return err
	case s.nothing():
		return errMissing
	case !s.isDirectory():
		return errNoDir
	}
	if err := p.dir.Remove(p.base); err != nil {
		if sub, serr := openDirectory(p.dir, p.base); serr == nil {
			defer sub.Close()
			if eachName(sub, func(string) error { return errNotEmpty }) == errNotEmpty {
				return errNotEmpty
			}
		}
		return err
	}
	b.forgetDirectory()
	return syncDirectory(p.dir)
}

// remove removes a file, whether it is uploaded or not.
func (b *Inbox) remove(name string) error {
	if name == "" {
		return errDirectory
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return err
	}
	defer p.close()
	s, err := p.look()
	if err != nil {
		return err
	}
	f := b.observe(name, s)
	switch {
	case s.isDirectory():
		return errDirectory
	case f == nil:
		return errMissing
	}
	if s, err = b.evictAndLook(f, p); err != nil {
		return err
	}
	if s.whole != nil {
		if err := p.dir.Remove(p.base); err != nil {
			return err
		}
	}
	if s.part != nil {
		if err := p.dir.Remove(p.part()); err != nil {
			return err
		}
	}
	err = b.removeLater(f, p)
	b.mu.Lock()
	b.setPart(f, nil)
	b.setWhole(f, nil)
	b.mu.Unlock()
	return errors.Join(err, syncDirectory(p.dir))
}

// rename gives a file or directory another name. What stands there is replaced
// only if replace is set.
func (b *Inbox) rename(from, to string, replace bool) error {
	switch {
	case from == "" || to == "":
		return errDenied
	case below(to, from):
		return refuse(sftp.ErrSSHFxFailure, "a directory cannot be moved into itself")
	}
	defer b.claimTrees(from, to)()
	src, err := b.place(from)
	if err != nil {
		return err
	}
	defer src.close()
	dst, err := b.place(to)
	if err != nil {
		return err
	}
	defer dst.close()
	s, err := src.look()
	if err != nil {
		return err
	}
	d, err := dst.look()
	switch {
	case err != nil:
		return err
	case s.nothing():
		return errMissing
	case key(from) == key(to) && (replace || from != to):
		if from == to {
			return nil
		}
		d = sight{} // only its case changes
	case !d.nothing() && !replace:
		return errExists
	}
	if s.isDirectory() {
		err = b.renameDirectory(from, to, d)
	} else {
		err = b.renameFile(from, to, s, d, src, dst)
	}
	if err != nil {
		return err
	}
	return errors.Join(syncDirectory(dst.dir), syncDirectory(src.dir))
}

// renameFile renames what is uploaded, what is being uploaded, or both. The
// caller has claimed the names.
func (b *Inbox) renameFile(from, to string, s, d sight, src, dst place) error {
	if d.isDirectory() {
		return errExists
	}
	old, over := b.observe(from, s), (*file)(nil)
	s, err := b.evictAndLook(old, src)
	if err == nil && (!d.nothing() || b.reservedFor(to)) {
		over = b.observe(to, d)
		d, err = b.evictAndLook(over, dst)
	}
	switch {
	case err != nil:
		return err
	case s.nothing():
		return errMissing
	}
	if s.part != nil && over != nil {
		return errPartial
	}
	b.mu.Lock()
	busy, first := b.importing(old), len(old.later) == 0
	b.mu.Unlock()
	switch {
	case busy: // it would be imported under both names
		return errImporting
	case !first:
		return errWaits
	}
	var v version
	var n int
	waits := false
	if s.whole != nil {
		if n, v, waits, err = b.behind(over, dst, *versionOf(s.whole)); err != nil {
			return err
		}
		b.mu.Lock()
		v = b.distinct(to, 0, v)
		b.mu.Unlock()
		if !v.modTime.Equal(s.whole.ModTime()) {
			if err := src.dir.Chtimes(src.base, v.modTime, v.modTime); err != nil {
				return err
			}
		}
		target := to
		if waits {
			target = path.Join(path.Dir(to), laterName(path.Base(to), n))
		}
		if err := b.root.Rename(from, target); err != nil {
			return err
		}
	}
	switch {
	case s.part != nil:
		if err := b.root.Rename(partOf(from), partOf(to)); err != nil {
			return err
		}
	case d.part != nil:
		if err := dst.dir.Remove(dst.part()); err != nil {
			return err
		}
	}
	b.mu.Lock()
	part, since := old.part, old.partSince
	b.setPart(old, nil)
	b.setWhole(old, nil)
	f := b.record(to)
	b.setPart(f, part)
	f.partSince = since
	switch {
	case s.whole != nil && waits:
		b.queue(f, later{v, n, time.Now()})
	case s.whole != nil:
		b.setWhole(f, &v)
	}
	b.gone.hide(to)
	b.mu.Unlock()
	b.goOnAdvancing(f, dst)
	return nil
}

func partOf(name string) string {
	dir, base := path.Split(name)
	return dir + reserved + base
}

// renameDirectory renames a directory with all that is in it. The caller has
// claimed both trees.
func (b *Inbox) renameDirectory(from, to string, d sight) error {
	switch {
	case !d.nothing() && !d.isDirectory():
		return errNoDir
	case b.reservedFor(to):
		return errExists
	}
	moved, busy := b.filesBelow(from)
	if busy != nil {
		return busy
	}
	more := int64(len(moved) * (len(to) - len(from))) // bytes of names
	b.mu.Lock()
	tooLong := more > 0 && b.names+more >= maxNames
	b.mu.Unlock()
	if tooLong {
		return errNames
	}
	if d.isDirectory() { // an empty one may be replaced
		if err := b.root.Remove(to); err != nil {
			return errExists
		}
		b.forgetDirectory()
	}
	if err := b.root.Rename(from, to); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone.hideBelow(from)
	b.gone.hideBelow(to)
	b.gone.hide(to)
	for _, f := range moved {
		b.strike(f)
		f.name = to + f.name[len(from):]
		b.enlist(f)
		if f.whole != nil {
			b.arrived(f)
		}
	}
	return nil
}

// filesBelow gives the files in a directory and below; busy says why they cannot
// be moved now.
func (b *Inbox) filesBelow(dir string) (files []*file, busy error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, f := range b.files {
		switch {
		case !below(k, key(dir)):
			continue
		case f.writer != nil:
			busy = errBusyBelow
		case b.importing(f):
			busy = errImporting
		}
		files = append(files, f)
	}
	return files, busy
}

// arrived notes that a file has come to another name with its directory. The
// caller holds b.mu.
func (b *Inbox) arrived(f *file) {
	v := b.distinct(f.name, 0, *f.whole)
	if !v.modTime.Equal(f.whole.modTime) {
		if err := b.root.Chtimes(f.name, v.modTime, v.modTime); err != nil {
			b.o.Log.Warn("inbox: time not set", "name", f.name, "error", err)
			v = *f.whole
		}
	}
	b.setWhole(f, &v)
}

// setAttributes does what SETSTAT asks for, as far as it means something here: a
// size, to what is being uploaded; a time, to a file. Permissions are taken and
// ignored, as many clients set them after each upload.
func (b *Inbox) setAttributes(name string, flags sftp.FileAttrFlags, a *sftp.FileStat) error {
	switch {
	case a == nil:
		return refuse(sftp.ErrSSHFxBadMessage, "the attributes are cut short")
	case flags.UidGid:
		return errDenied
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
		if flags.Size {
			return errDirectory
		}
		return nil
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

// status is the file system that a client sees in df: the quota, and no more of
// it free than the disk has.
func (b *Inbox) status() (*sftp.StatVFS, error) {
	const block = 4096
	room, err := diskFree(b.path)
	if err != nil {
		room = math.MaxInt64
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	quota := b.limits.Quota
	if quota <= 0 {
		return nil, refuse(sftp.ErrSSHFxOpUnsupported, "this inbox has no quota")
	}
	free := uint64(max(0, min(quota-b.bytes, room))) / block
	entries := uint64(b.o.MaximumEntries)
	left := entries - min(entries, uint64(len(b.files)+b.waiting+b.directories))
	return &sftp.StatVFS{
		Bsize: block, Frsize: block, Blocks: uint64(quota) / block, Bfree: free, Bavail: free,
		Files: entries, Ffree: left, Favail: left, Namemax: uint64(maxName),
	}, nil
}
