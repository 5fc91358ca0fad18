package inbox

import (
	"errors"
	"path"
	"time"

	"github.com/pkg/sftp"
)

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
	var whole renamed
	if s.whole != nil {
		if whole, err = b.renameWhole(from, to, s, over, src, dst); err != nil {
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
	case whole.waits:
		b.queue(f, later{whole.version, whole.place, time.Now()})
	case s.whole != nil:
		b.setWhole(f, &whole.version)
	}
	b.gone.hide(to)
	b.mu.Unlock()
	b.goOnAdvancing(f, dst)
	return nil
}

// renamed is an uploaded file under its new name.
type renamed struct {
	version
	waits bool // behind others of that name
	place int  // among them
}

// renameWhole renames what is uploaded: to its new name, or behind the uploads that
// wait for that. over is what is known of the new name; nil for nothing.
func (b *Inbox) renameWhole(from, to string, s sight, over *file, src, dst place) (r renamed, err error) {
	if r.place, r.version, r.waits, err = b.behind(over, dst, *versionOf(s.whole)); err != nil {
		return r, err
	}
	b.mu.Lock()
	r.version = b.distinct(to, 0, r.version)
	b.mu.Unlock()
	if !r.modTime.Equal(s.whole.ModTime()) {
		if err := src.dir.Chtimes(src.base, r.modTime, r.modTime); err != nil {
			return r, err
		}
	}
	target := to
	if r.waits {
		target = path.Join(path.Dir(to), laterName(path.Base(to), r.place))
	}
	return r, b.root.Rename(from, target)
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
