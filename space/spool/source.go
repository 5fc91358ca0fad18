package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Source is the import's side of a spool. It lists what is ready. The version of an
// entry is the id of an object, so that two uploads of one name are two versions
// whatever their sizes and times are. Its entries have whole seconds.
type Source struct{ s imports }

var (
	_ filesync.Source      = (*Source)(nil)
	_ filesync.Consumer    = (*Source)(nil)
	_ filesync.Relister    = (*Source)(nil)
	_ filesync.LocalSource = (*Source)(nil)
)

// imports is what a Source does to the spool.
type imports struct{ *Spool }

// Source gives the import's side. There may be any number of them.
func (s *Spool) Source() *Source { return &Source{imports{s}} }

// Probe checks that the spool is where it was opened.
func (src *Source) Probe(ctx context.Context) error { return src.s.Probe(ctx) }

// Close implements sync.Source. It leaves the spool open.
func (src *Source) Close() error { return nil }

// List implements sync.Lister: directories, and the files that are ready.
func (src *Source) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		if dir == "" {
			if err := src.s.Probe(ctx); err != nil {
				yield(filesync.Entry{}, err)
				return
			}
			src.s.lookIntoInbox()
		}
		var at int64
		for {
			some, last, err := src.s.some(ctx, dir, at)
			if err != nil {
				yield(filesync.Entry{}, err)
				return
			}
			for _, e := range some {
				if !yield(e, nil) {
					return
				}
			}
			if last == at {
				return
			}
			at = last
		}
	}
}

// some lists some entries of a directory, behind the child of that order; last is the
// order of the last one.
func (s imports) some(ctx context.Context, dir string, at int64) (some []filesync.Entry, last int64, err error) {
	const atOnce = 512
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.tree.directory(dir)
	switch {
	case ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	case s.closed:
		return nil, 0, failed("list", dir, errClosed)
	case err != nil:
		return nil, 0, failed("list", dir, err)
	}
	last = at
	now := time.Now()
	for _, c := range d.after(at, atOnce) {
		last = c.order
		if sub := c.directory; sub != nil {
			some = append(some, filesync.Entry{Name: join(dir, c.name), ModTime: sub.modTime, Mode: fs.ModeDir | 0o700})
		} else if o := c.file.ready(now, s.o.Quiet); o != nil {
			some = append(some, o.entry(join(dir, c.name)))
		}
	}
	return some, last, nil
}

func (o *object) entry(name string) filesync.Entry {
	return filesync.Entry{Name: name, Size: o.size, ModTime: o.modTime, Mode: 0o600, Version: o.id}
}

// failed wraps an error; a refusal's meaning is what fs has for it.
func failed(op, name string, err error) error {
	switch {
	case errors.Is(err, errMissing):
		err = fs.ErrNotExist
	case errors.Is(err, errClosed), errors.Is(err, os.ErrClosed): // by a reload, which is no file's fault
		return &status.Error{Word: status.ConnectionLost, Op: op, Target: "/" + name, Err: errors.New("the spool was closed")}
	}
	return fmt.Errorf("%s /%s: %w", op, name, err)
}

// Stat implements sync.Source, for the uploads that come next under each name.
func (src *Source) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	stats := make([]filesync.StatResult, len(names))
	src.s.mu.Lock()
	defer src.s.mu.Unlock()
	for i, name := range names {
		e, err := src.s.next(name)
		if err != nil {
			stats[i].Err = failed("stat", name, err)
		} else {
			stats[i].Entry = e
		}
	}
	return stats, ctx.Err()
}

// next gives the upload that is imported next of a name. The caller holds s.mu.
func (s imports) next(name string) (filesync.Entry, error) {
	if s.closed {
		return filesync.Entry{}, errClosed
	}
	if d, err := s.tree.directory(name); err == nil {
		return filesync.Entry{Name: name, ModTime: d.modTime, Mode: fs.ModeDir | 0o700}, nil
	}
	_, _, c, err := s.tree.find(name)
	if err == nil && (c == nil || len(c.file.received) == 0) {
		err = errMissing
	}
	if err != nil {
		return filesync.Entry{}, err
	}
	return c.file.received[0].entry(name), nil
}

// Relist implements sync.Relister. It finds a version whatever name it has now: an
// upload that was renamed is still there.
func (src *Source) Relist(ctx context.Context, entries []filesync.Entry) ([]filesync.StatResult, error) {
	stats := make([]filesync.StatResult, len(entries))
	s := src.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range entries {
		if o := s.tree.objects[e.Version]; o != nil && !s.closed {
			stats[i].Entry = o.entry(e.Name)
			continue
		}
		found, err := s.next(e.Name)
		if err != nil {
			stats[i].Err = failed("stat", e.Name, err)
		} else {
			stats[i].Entry = found
		}
	}
	return stats, ctx.Err()
}

// fetchBlock is how much Fetch reads at a time.
const fetchBlock = 256 << 10

// Fetch implements sync.Source. What clients do to the name meanwhile is ErrChanged.
func (src *Source) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	o, err := src.s.take(e)
	if err != nil {
		return filesync.Entry{}, failed("fetch", e.Name, err)
	}
	whole := false
	defer func() { src.s.putBack(o, whole) }()
	f, err := src.s.objects.open(o.id, os.O_RDONLY)
	if err != nil {
		return filesync.Entry{}, failed("fetch", e.Name, err)
	}
	defer f.Close()
	block := make([]byte, min(fetchBlock, max(0, e.Size-from)))
	for at := from; at < e.Size; {
		if ctx.Err() != nil {
			return filesync.Entry{}, context.Cause(ctx)
		}
		n, err := f.ReadAt(block[:min(fetchBlock, e.Size-at)], at)
		if n > 0 {
			if _, err := w.WriteAt(block[:n], at); err != nil {
				return filesync.Entry{}, err
			}
			at += int64(n)
		}
		switch {
		case err == io.EOF && at < e.Size:
			return filesync.Entry{}, failed("fetch", e.Name, filesync.ErrChanged)
		case err != nil && err != io.EOF:
			return filesync.Entry{}, failed("fetch", e.Name, err)
		}
	}
	if ctx.Err() != nil {
		return filesync.Entry{}, context.Cause(ctx)
	}
	now, err := src.s.standing(e)
	if err != nil {
		return filesync.Entry{}, failed("fetch", e.Name, err)
	}
	whole = true
	return now, nil
}

// Link implements sync.LocalSource, for the object, which nobody writes to any more. What
// clients do to the name meanwhile is ErrChanged. Once the object has another name, whoever
// finds it there may write to it: no client goes on with it then (see uploads.goOn).
func (src *Source) Link(ctx context.Context, e filesync.Entry, link func(path string) error) (filesync.Entry, error) {
	o, err := src.s.take(e)
	if err != nil {
		return filesync.Entry{}, failed("link", e.Name, err)
	}
	whole := false
	defer func() { src.s.putBack(o, whole) }()
	if err := src.s.objects.received(o.id); err != nil && !errors.Is(err, fs.ErrNotExist) { // it has the name already
		return filesync.Entry{}, failed("link", e.Name, err)
	}
	if err := link(filepath.Join(src.s.objects.path, o.id)); err != nil {
		return filesync.Entry{}, err
	}
	now, err := src.s.standing(e)
	if err != nil {
		return filesync.Entry{}, failed("link", e.Name, err)
	}
	whole = true
	return now, nil
}

// take finds an upload that is to be read, and notes that it is. While it is, it
// keeps its name.
func (s imports) take(e filesync.Entry) (*object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.version(e)
	if err != nil {
		return nil, err
	}
	o.reading++
	return o, nil
}

// putBack ends the reading of an upload; whole says that it was read to its end.
func (s imports) putBack(o *object, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.reading--; whole {
		o.read = time.Now()
	}
}

// standing gives e as it is now, if it still is what comes next under its name.
func (s imports) standing(e filesync.Entry) (filesync.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.version(e)
	if err != nil {
		return filesync.Entry{}, err
	}
	return o.entry(e.Name), nil
}

// version finds the upload that comes next under e's name, if it is that version and
// nobody is about to write on it: ErrChanged if it is another. The caller holds s.mu.
func (s imports) version(e filesync.Entry) (*object, error) {
	now, err := s.next(e.Name)
	switch {
	case err != nil:
		return nil, err
	case !now.Mode.IsRegular() || !now.SameVersion(e):
		return nil, filesync.ErrChanged
	}
	o := s.tree.objects[now.Version]
	if o.file.held() {
		return nil, filesync.ErrChanged
	}
	return o, nil
}

// RemoveIf implements sync.Consumer, durably. The version says which upload goes,
// whatever its name is by now. An entry of an earlier version of this program has no
// version: then one that was taken over from an inbox goes by its size and time.
func (src *Source) RemoveIf(ctx context.Context, e filesync.Entry) error {
	if ctx.Err() != nil {
		return filesync.Untouched(context.Cause(ctx))
	}
	s := src.s
	s.mu.Lock()
	o, err := s.removable(e)
	if err != nil {
		s.mu.Unlock()
		return filesync.Untouched(failed("remove", e.Name, err))
	}
	f, name := o.file, o.file.path()
	s.tree.use(name, time.Now()) // its directory may hold nothing from now on, which is to last a while
	s.tree.count(f, -1)
	f.without(o)
	s.tree.count(f, 1)
	s.tree.discard(o)
	s.gone.add(name, o.size, o.modTime, f.seen(), s.o.Remember)
	if len(f.received) > 0 { // it has been left alone since it was closed
		s.wakeSoon(f)
	}
	s.tree.tidy(f)
	s.mu.Unlock()
	if err := s.flush(); err != nil {
		return failed("remove", e.Name, err)
	}
	return nil
}

// removable finds the upload that e is. The caller holds s.mu.
func (s imports) removable(e filesync.Entry) (*object, error) {
	if s.closed {
		return nil, errClosed
	}
	if o := s.tree.objects[e.Version]; o != nil {
		return o, nil
	}
	now, err := s.next(e.Name)
	if err != nil {
		return nil, err
	}
	if o := s.tree.objects[now.Version]; e.Version == "" && o != nil && o.origin != "" && now.SameVersion(e) {
		return o, nil
	}
	return nil, filesync.ErrChanged
}

// MoveIf implements sync.Consumer. What is imported is removed, never moved.
func (src *Source) MoveIf(ctx context.Context, e filesync.Entry, dir string) error {
	return filesync.Untouched(errors.ErrUnsupported)
}
