package spool

import (
	"math"
	"time"

	"github.com/pkg/sftp"
)

// commands are what clients ask for beside reading and writing.
type commands struct{ *Spool }

// change runs do, which changes the tree, and waits until the index has that. stale is
// a writer that loses its file first: then do is run again.
func (s commands) change(do func() (stale *writer, err error)) error {
	for {
		s.mu.Lock()
		stale, err := (*writer)(nil), errClosed
		if !s.closed {
			stale, err = do()
		}
		s.mu.Unlock()
		switch {
		case stale != nil:
			stale.stop(errTaken)
			if err := uploads(s).leavePart(stale); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		return s.flush()
	}
}

// free says whether nobody writes a file: busy, or a writer that was silent for so
// long that it loses the file. The caller holds s.mu.
func (f *file) free() (stale *writer, err error) {
	switch {
	case f.writer == nil:
		return nil, nil
	case f.writer.idle() < staleAfter:
		return nil, errBusy
	}
	return f.writer, nil
}

func (s commands) mkdir(name string) error {
	if name == "" {
		return errExists
	}
	return s.change(func() (*writer, error) {
		in, base, c, err := s.tree.find(name)
		if err == nil && c != nil {
			err = errExists
		}
		if err == nil {
			err = s.room()
		}
		if err != nil {
			return nil, err
		}
		s.gone.hide(name)
		now := time.Now()
		d := &directory{name: base, modTime: now.Truncate(time.Second), changed: now, used: now, children: map[string]*child{}}
		s.tree.add(in, &child{directory: d})
		s.tree.directories++
		s.tree.keepDirectory(d)
		s.tree.changed(in)
		return nil, nil
	})
}

// rmdir removes an empty directory.
func (s commands) rmdir(name string) error {
	if name == "" {
		return errDenied
	}
	return s.change(func() (*writer, error) {
		in, _, c, err := s.tree.find(name)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			return nil, errMissing
		case c.directory == nil:
			return nil, errNoDir
		case len(c.directory.children) > 0:
			return nil, errNotEmpty
		}
		s.tree.dropDirectory(c.directory)
		s.tree.changed(in)
		return nil, nil
	})
}

// remove removes all uploads of a name, whether they are complete or not.
func (s commands) remove(name string) error {
	if name == "" {
		return errDirectory
	}
	return s.change(func() (*writer, error) {
		in, _, c, err := s.tree.find(name)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			return nil, errMissing
		case c.directory != nil:
			return nil, errDirectory
		}
		if stale, err := c.file.free(); stale != nil || err != nil {
			return stale, err
		}
		s.tree.removeAll(c.file)
		s.tree.changed(in)
		return nil, nil
	})
}

// deliveryTime is how long after it was read an upload may be on its way to its name
// at the destination.
const deliveryTime = 5 * time.Minute

// importing reports whether the import reads an upload of a file, or has read it and
// not removed it yet: then it is about to be delivered under this name. The caller
// holds s.mu.
func (f *file) importing() bool {
	for _, o := range f.received {
		if o.reading > 0 || !o.read.IsZero() && time.Since(o.read) < deliveryTime {
			return true
		}
	}
	return false
}

// rename gives a file or directory another name. What stands there is replaced
// only if replace is set.
func (s commands) rename(from, to string, replace bool) error {
	switch {
	case from == "" || to == "":
		return errDenied
	case below(to, from):
		return refuse(sftp.ErrSSHFxFailure, "a directory cannot be moved into itself")
	}
	return s.change(func() (*writer, error) {
		_, _, src, err := s.tree.find(from)
		if err != nil {
			return nil, err
		}
		in, base, dst, err := s.tree.find(to)
		if err == nil && src == nil {
			err = errMissing
		}
		switch {
		case err != nil:
			return nil, err
		case from == to && replace:
			return nil, nil
		case dst != nil && !replace:
			return nil, errExists
		case src.directory != nil:
			return nil, s.renameDirectory(src.directory, dst, in, base, to)
		case dst != nil && dst.directory != nil:
			return nil, errExists
		}
		return s.renameFile(src.file, dst, in, base, to)
	})
}

// renameFile renames what was received, what was cut, or both. dst is what stands
// under the new name, if anything does. The caller holds s.mu.
func (s commands) renameFile(f *file, dst *child, in *directory, base, to string) (*writer, error) {
	for _, each := range []*child{{file: f}, dst} {
		if each == nil {
			continue
		}
		if stale, err := each.file.free(); stale != nil || err != nil {
			return stale, err
		}
	}
	switch {
	case f.part != nil && dst != nil:
		return nil, errPartial
	case f.importing():
		return nil, errImporting
	case len(f.received) > 1:
		return nil, errWaits
	}
	s.tree.changed(f.parent)
	s.tree.changed(in)
	s.gone.hide(to)
	target := s.tree.file(in, base, s.o.IsTemporary)
	if part := target.part; part != nil {
		s.tree.setPart(target, nil)
		s.tree.discard(part)
	}
	received, part, since := f.last(), f.part, f.partSince
	s.tree.count(f, -1)
	f.received, f.part = nil, nil
	s.tree.tidy(f)
	if received != nil {
		uploads(s).receive(target, received)
	}
	if part != nil {
		part.file = target
		s.tree.setPart(target, part)
		target.partSince = since
		if part.indexed() {
			s.tree.keep(part)
		}
	}
	return nil, nil
}

// renameDirectory renames a directory with all that is in it. An empty one may be
// replaced. The caller holds s.mu.
func (s commands) renameDirectory(d *directory, dst *child, in *directory, base, to string) error {
	switch {
	case dst != nil && dst.directory == nil:
		return errNoDir
	case dst != nil && dst.directory == d:
		return nil
	case dst != nil && len(dst.directory.children) > 0:
		return errExists
	}
	from := d.path()
	if err := s.mayMove(d, to); err != nil {
		return err
	}
	if dst != nil {
		s.tree.dropDirectory(dst.directory)
	}
	s.tree.changed(d.parent)
	moved := s.tree.take(d.parent, d.name)
	d.name = base
	s.tree.add(in, moved)
	s.tree.changed(in)
	s.tree.keepDirectory(d)
	for _, f := range filesBelow(d) {
		for _, o := range f.received {
			s.touch(f, o)
		}
	}
	s.gone.hideBelow(from)
	s.gone.hideBelow(to)
	s.gone.hide(to)
	return nil
}

// mayMove says why a directory cannot be moved now: somebody is at a file below, or a
// name would become too long. The caller holds s.mu.
func (s commands) mayMove(d *directory, to string) error {
	for _, f := range filesBelow(d) {
		switch {
		case f.writer != nil:
			return errBusyBelow
		case f.importing():
			return errImporting
		}
	}
	length, depth := d.extent()
	if len(to)+length > maxPath || depth+depthOf(to) > maxDepth {
		return errDeep
	}
	return nil
}

func filesBelow(d *directory) (all []*file) {
	for c := range d.below() {
		if c.file != nil {
			all = append(all, c.file)
		}
	}
	return all
}

// status is the file system that a client sees in df: the quota, and no more of
// it free than the disk has.
func (s commands) status() (*sftp.StatVFS, error) {
	const block = 4096
	room, err := diskFree(s.o.Directory)
	if err != nil {
		room = math.MaxInt64
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	quota := s.limits.Quota
	if quota <= 0 {
		return nil, refuse(sftp.ErrSSHFxOpUnsupported, "this inbox has no quota")
	}
	free := uint64(max(0, min(quota-s.tree.bytes, room))) / block
	entries := uint64(s.o.MaximumEntries)
	left := entries - min(entries, uint64(s.tree.entries()))
	return &sftp.StatVFS{
		Bsize: block, Frsize: block, Blocks: uint64(quota) / block, Bfree: free, Bavail: free,
		Files: entries, Ffree: left, Favail: left, Namemax: uint64(maxName),
	}, nil
}
