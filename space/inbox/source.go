package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Source is the import's side of an inbox. It lists what is ready, and removes
// only the very version that was read. Its entries have whole seconds, which is
// what they are told apart by.
type Source struct{ b *Inbox }

var (
	_ filesync.Source   = (*Source)(nil)
	_ filesync.Consumer = (*Source)(nil)
)

// Source gives the import's side. There may be any number of them.
func (b *Inbox) Source() *Source { return &Source{b} }

// Probe checks that the inbox is where it was opened.
func (s *Source) Probe(ctx context.Context) error { return s.b.Probe(ctx) }

// Close implements sync.Source. It leaves the inbox open.
func (s *Source) Close() error { return nil }

// List implements sync.Lister: directories, and the files that are ready.
func (s *Source) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		if err := s.list(ctx, dir, func(e filesync.Entry) bool { return yield(e, nil) }); err != nil {
			yield(filesync.Entry{}, err)
		}
	}
}

// list calls yield until that has seen enough.
func (s *Source) list(ctx context.Context, dir string, yield func(filesync.Entry) bool) error {
	if dir == "" {
		if err := s.b.Probe(ctx); err != nil {
			return err
		}
	}
	p, err := s.b.directory(dir)
	if err != nil {
		return failed("list", dir, err)
	}
	defer p.close()
	enough := errors.New("enough")
	err = eachName(p.dir, func(base string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if isReserved(base) {
			if plain, _, ok := cutLater(base); ok {
				s.b.heal(join(dir, plain))
			}
			return nil
		}
		info, err := lstat(p.dir, base)
		if err != nil || info == nil {
			return nil // gone meanwhile, or nothing that a client put there
		}
		name := join(dir, base)
		if !info.IsDir() && !s.b.isReady(name, info) {
			return nil
		}
		if !yield(entryOf(name, info)) {
			return enough
		}
		return nil
	})
	switch {
	case err == enough:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return failed("list", dir, err)
	}
	return nil
}

func entryOf(name string, info fs.FileInfo) filesync.Entry {
	return filesync.Entry{Name: name, Size: info.Size(), ModTime: info.ModTime().Truncate(time.Second), Mode: info.Mode()}
}

// failed wraps an error; a refusal's meaning is what fs has for it.
func failed(op, name string, err error) error {
	switch {
	case errors.Is(err, errMissing):
		err = fs.ErrNotExist
	case errors.Is(err, errDenied):
		err = fmt.Errorf("a symbolic link or device: %w", fs.ErrPermission)
	case errors.Is(err, os.ErrClosed): // a reload opens the inbox anew, which is no file's fault
		return &status.Error{Word: status.ConnectionLost, Op: op, Target: "/" + name, Err: errors.New("the inbox was closed")}
	}
	return fmt.Errorf("%s /%s: %w", op, name, err)
}

// isReady reports whether a file that was just seen may be imported.
func (b *Inbox) isReady(name string, info fs.FileInfo) bool {
	b.mu.Lock()
	f := b.files[key(name)]
	if f != nil && f.whole != nil && *f.whole == *versionOf(info) {
		defer b.mu.Unlock()
		return b.ready(f, time.Now())
	}
	b.mu.Unlock()
	// Not what we know: somebody is at it right now, or an operator was.
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return false
	}
	defer p.close()
	if s, err := p.look(); err == nil {
		b.observe(name, s)
	}
	return false
}

// Stat implements sync.Source, for uploaded files.
func (s *Source) Stat(ctx context.Context, names []string) ([]filesync.Look, error) {
	looks := make([]filesync.Look, len(names))
	for i, name := range names {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p, err := s.b.place(name)
		if err == nil {
			var seen sight
			if seen, err = p.look(); err == nil && seen.whole == nil {
				err = errMissing
			}
			if err == nil {
				looks[i].Entry = entryOf(name, seen.whole)
			}
			p.close()
		}
		if err != nil {
			looks[i].Err = failed("stat", name, err)
		}
	}
	return looks, nil
}

// fetchBlock is how much Fetch reads at a time.
const fetchBlock = 256 << 10

// Fetch implements sync.Source. What clients do to the name meanwhile is ErrChanged.
func (s *Source) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	f, reading, err := s.b.take(e)
	if err != nil {
		return filesync.Entry{}, failed("fetch", e.Name, err)
	}
	defer f.Close()
	whole := false
	defer func() { s.b.putBack(reading, whole) }()
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
	info, err := f.Stat()
	if err == nil && !s.b.stillThere(e.Name, reading.generation) {
		err = filesync.ErrChanged
	}
	if err != nil {
		return filesync.Entry{}, failed("fetch", e.Name, err)
	}
	whole = true
	return entryOf(e.Name, info), nil
}

// take opens the version e for the import, and notes which content it is. What
// was touched since it was listed has to be left alone for a while first, unless
// the import knows that content: it comes to compare it with what it delivered
// before a restart. The caller gives back what it is told with putBack.
func (b *Inbox) take(e filesync.Entry) (*os.File, *told, error) {
	defer b.claim(e.Name)()
	p, standing, err := b.standing(e, func(f *file, v version) bool {
		return f.whole.same(v) && (b.ready(f, time.Now()) || b.toldOf(f, v))
	})
	if err != nil {
		return nil, nil, err
	}
	defer p.close()
	f, err := p.dir.Open(p.base)
	if err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tell(standing)
	t.reading = true
	return f, t, nil
}

// putBack ends the reading of a content; whole says that it was read to its end.
func (b *Inbox) putBack(t *told, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.reading = false; whole {
		t.read = time.Now()
	}
}

// standing gives the file e and its place, if is says that it still is that
// version. The caller has claimed the name, and closes the place unless there is
// an error.
func (b *Inbox) standing(e filesync.Entry, is func(*file, version) bool) (place, *file, error) {
	p, err := b.place(e.Name)
	if err != nil {
		return place{}, nil, err
	}
	s, err := p.look()
	if err != nil {
		p.close()
		return place{}, nil, err
	}
	f := b.observe(e.Name, s)
	b.mu.Lock()
	switch {
	case f == nil:
		err = errMissing
	case f.whole == nil || !is(f, version{e.Size, e.ModTime}):
		err = filesync.ErrChanged
	}
	b.mu.Unlock()
	if err != nil {
		p.close()
		return place{}, nil, err
	}
	return p, f, nil
}

// stillThere reports whether the name has the content of that generation.
func (b *Inbox) stillThere(name string, generation uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[key(name)]
	return f != nil && f.whole != nil && f.generation == generation
}

// RemoveIf implements sync.Consumer, durably. The file goes only if it has the
// content that Fetch has read, or that stood there at Open, not merely its size
// and time. A client that has only set its time since then has changed no content.
// An upload that waits behind it takes its place in the same step.
func (s *Source) RemoveIf(ctx context.Context, e filesync.Entry) error {
	if ctx.Err() != nil {
		return filesync.Untouched(context.Cause(ctx))
	}
	b := s.b
	defer b.claim(e.Name)()
	b.useAbove(e.Name) // its directory may hold nothing from now on, which is to last a while
	listed := version{e.Size, e.ModTime}
	p, f, err := b.standing(e, b.toldOf)
	if err == nil {
		defer p.close()
		b.mu.Lock()
		if b.confused(f.name, f.generation, listed) { // the disk's times are too coarse for distinct
			b.untell(e.Name, listed, func(t *told) bool { return t.generation != f.generation })
			err = filesync.ErrChanged
		}
		b.mu.Unlock()
	}
	var after *successor
	if err == nil {
		after, err = b.giveName(f, p)
	}
	if err == nil && after == nil {
		err = quietly(p.dir, func() error { return p.dir.Remove(p.base) })
		if errors.Is(err, fs.ErrNotExist) {
			err = errMissing
		}
	}
	if err != nil {
		if errors.Is(err, errMissing) {
			b.mu.Lock()
			b.untell(e.Name, listed, nil)
			b.mu.Unlock()
		}
		return filesync.Untouched(failed("remove", e.Name, err))
	}
	b.mu.Lock()
	removed := *f.whole
	b.untell(e.Name, removed, nil)
	b.untell(e.Name, listed, nil)
	b.setWhole(f, nil)
	b.gone.add(e.Name, removed, []version{removed, listed}, f.part != nil || after != nil, b.o.Remember)
	b.mu.Unlock()
	if after != nil {
		b.named(f, after)
	}
	if err := syncDirectory(p.dir); err != nil {
		return failed("remove", e.Name, err)
	}
	return nil
}

// MoveIf implements sync.Consumer. What is imported is removed, never moved.
func (s *Source) MoveIf(ctx context.Context, e filesync.Entry, dir string) error {
	return filesync.Untouched(errors.ErrUnsupported)
}
