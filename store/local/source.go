package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Source is a local directory, and all below it, that files are taken from. It
// is a sync.Source, a sync.Linker, a sync.Locator and a sync.Consumer, and may
// be used concurrently. Nothing outside the directory is ever read: symbolic
// links are followed as long as they stay inside.
type Source struct {
	path string
	dirs *directories

	buffers sync.Pool // of *[]byte

	mu       sync.Mutex
	realRoot string                  // path with its links resolved, once it is known
	archives map[string]*directories // that originals are moved to, by path
}

var (
	_ filesync.Source   = (*Source)(nil)
	_ filesync.Linker   = (*Source)(nil)
	_ filesync.Locator  = (*Source)(nil)
	_ filesync.Consumer = (*Source)(nil)
)

const (
	listed    = 512        // names that are read from a directory at a time
	readBlock = 256 << 10  // bytes of a READ
	maxListed = 10_000_000 // entries of one directory
)

// OpenSource opens the directory path. The error is a *status.Error:
// SourceDirectoryNotFound or PermissionDenied.
func OpenSource(path string) (*Source, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, noSource(path, err)
	}
	dirs, err := newDirectories(root)
	if err != nil {
		root.Close()
		return nil, noSource(path, err)
	}
	return &Source{
		path: path, dirs: dirs, archives: map[string]*directories{},
		buffers: sync.Pool{New: func() any { b := make([]byte, readBlock); return &b }},
	}, nil
}

func noSource(path string, err error) error {
	word := status.SourceDirectoryNotFound
	if errors.Is(err, fs.ErrPermission) {
		word = status.PermissionDenied
	}
	return &status.Error{Word: word, Op: "open source directory", Target: path, Err: cause(err)}
}

// Probe reads the beginning of the directory.
func (s *Source) Probe(ctx context.Context) error {
	for _, err := range s.List(ctx, "") {
		if err != nil {
			return noSource(s.path, err)
		}
		break
	}
	return nil
}

// Close implements sync.Source.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.archives {
		a.close()
	}
	clear(s.archives)
	return s.dirs.close()
}

// failed gives an error its operation and path.
func (s *Source) failed(op, name string, err error) error {
	if name == "" {
		name = s.path
	}
	// Without its root, the files of a source have not gone: it has.
	if _, gone := os.Stat(s.path); gone != nil {
		return noSource(s.path, gone)
	}
	return fmt.Errorf("%s %s: %w", op, name, cause(err))
}

// dotted is a directory's name for package os: "." for the root.
func dotted(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// acquire opens the directory dir, also through links that os.Root does not
// follow by itself: absolute ones that lead back inside.
func (s *Source) acquire(dir string) (*directory, error) {
	d, err := s.dirs.acquire(dotted(dir), false)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	real, rerr := s.real(dir)
	if rerr != nil || real == dir {
		return nil, err
	}
	return s.dirs.acquire(dotted(real), false)
}

// List implements sync.Lister.
func (s *Source) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		if err := s.list(ctx, dir, yield); err != nil {
			yield(filesync.Entry{}, err)
		}
	}
}

// list yields the entries of dir; an error is still to be yielded.
func (s *Source) list(ctx context.Context, dir string, yield func(filesync.Entry, error) bool) error {
	d, err := s.acquire(dir)
	if err != nil {
		return s.failed("list", dir, err)
	}
	defer s.dirs.release(d)
	names, err := d.root.Open(".") // each listing has its own place in the directory
	if err != nil {
		return s.failed("list", dir, err)
	}
	defer names.Close()
	prefix := ""
	if dir != "" {
		prefix = dir + "/"
	}
	for seen := 0; ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		batch, err := names.Readdirnames(listed)
		for _, name := range batch {
			if seen++; seen > maxListed {
				return s.failed("list", dir, filesync.ErrLimit)
			}
			e, err := d.lstat(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it went away meanwhile
			}
			if err != nil {
				e.Size, e.Mode = -1, fs.ModeIrregular
			}
			e.Name = prefix + name
			if !yield(e, nil) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.failed("list", dir, err)
		}
	}
}

// Stat implements sync.Source.
func (s *Source) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	stats := make([]filesync.StatResult, len(names))
	for i, name := range names {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		stats[i].Entry, stats[i].Err = s.statOne(name)
		if _, gone := errors.AsType[*status.Error](stats[i].Err); gone {
			return nil, stats[i].Err
		}
	}
	return stats, nil
}

// statOne gives what name leads to, under that name.
func (s *Source) statOne(name string) (filesync.Entry, error) {
	e, err := s.lstat(name)
	if err == nil && e.Mode&fs.ModeSymlink != 0 {
		var real string
		if real, err = s.real(name); err == nil {
			e, err = s.lstat(real)
		}
	}
	if err != nil {
		return filesync.Entry{}, s.failed("look at", name, err)
	}
	e.Name = name
	return e, nil
}

// lstat looks at name itself.
func (s *Source) lstat(name string) (filesync.Entry, error) {
	d, err := s.acquire(parent(name))
	if err != nil {
		return filesync.Entry{}, err
	}
	defer s.dirs.release(d)
	e, err := d.lstat(last(name))
	e.Name = name
	return e, err
}

// parent and last are the two parts of a name below the root; those of the root
// itself are both ".".
func parent(name string) string { return path.Dir(dotted(name)) }
func last(name string) string   { return path.Base(dotted(name)) }

// Fetch implements sync.Source. A file that was written to while it was read is
// ErrChanged, even where its size and the second of its time stay the same.
func (s *Source) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	f, err := s.open(e.Name)
	if err != nil {
		return filesync.Entry{}, s.failed("open", e.Name, err)
	}
	defer f.Close()
	before, err := f.entry()
	if err == nil && !before.Mode.IsRegular() {
		err = errNoFile
	}
	if err != nil {
		return filesync.Entry{}, s.failed("open", e.Name, err)
	}
	block := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(block)
	for off := from; off < e.Size; {
		if ctx.Err() != nil {
			return filesync.Entry{}, context.Cause(ctx)
		}
		b := (*block)[:min(readBlock, e.Size-off)]
		switch _, err := f.ReadAt(b, off); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return filesync.Entry{}, s.failed("read", e.Name, filesync.ErrChanged)
		case err != nil:
			return filesync.Entry{}, s.failed("read", e.Name, err)
		}
		if _, err := w.WriteAt(b, off); err != nil {
			return filesync.Entry{}, err
		}
		off += int64(len(b))
	}
	if ctx.Err() != nil {
		return filesync.Entry{}, context.Cause(ctx)
	}
	after, err := f.entry()
	if err == nil && (after.Size < e.Size || before.SameVersion(e) && !after.ModTime.Equal(before.ModTime)) {
		err = filesync.ErrChanged
	}
	if err != nil {
		return filesync.Entry{}, s.failed("read", e.Name, err)
	}
	after.Name = e.Name
	return after, nil
}

// open opens a file for reading, through links that stay inside.
func (s *Source) open(name string) (*file, error) {
	f, err := s.openAt(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	real, rerr := s.real(name)
	if rerr != nil || real == name {
		return nil, err
	}
	return s.openAt(real)
}

func (s *Source) openAt(name string) (*file, error) {
	d, err := s.acquire(parent(name))
	if err != nil {
		return nil, err
	}
	defer s.dirs.release(d)
	return d.read(last(name))
}

// Resolve implements sync.Linker.
func (s *Source) Resolve(ctx context.Context, e filesync.Entry) (target filesync.Entry, real string, err error) {
	real, err = s.real(e.Name)
	if err == nil {
		target, err = s.lstat(real)
	}
	if err != nil {
		return filesync.Entry{}, "", s.failed("follow", e.Name, err)
	}
	target.Name = e.Name
	return target, real, nil
}

// real gives the path below the root that name leads to, with every link
// resolved: "" for the root itself; ErrOutside when it leaves the root,
// ErrLoop when it has no end.
func (s *Source) real(name string) (string, error) {
	root, err := s.root()
	if err != nil {
		return "", err
	}
	at := filepath.Join(root, filepath.FromSlash(name))
	end, err := filepath.EvalSymlinks(at)
	if err != nil {
		if _, serr := os.Stat(at); errors.Is(serr, syscall.ELOOP) { // EvalSymlinks does not say so
			err = filesync.ErrLoop
		}
		return "", err
	}
	real, inside := within(root, end)
	if !inside {
		return "", filesync.ErrOutside
	}
	return real, nil
}

// root gives the root's path with its links resolved.
func (s *Source) root() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.realRoot == "" {
		real, err := filepath.EvalSymlinks(s.path)
		if err != nil {
			return "", err
		}
		s.realRoot = real
	}
	return s.realRoot, nil
}

// within gives an absolute path's part below root, as a slash path.
func within(root, p string) (rest string, inside bool) {
	rel, err := filepath.Rel(root, p)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	if rel == "." {
		return "", true
	}
	return filepath.ToSlash(rel), true
}

// Locate implements sync.Locator: dir is a directory of this machine, and what
// of it does not exist yet is taken as written.
func (s *Source) Locate(ctx context.Context, dir string) (name string, inside bool, err error) {
	root, err := s.root()
	if err != nil {
		return "", false, s.failed("resolve", "", err)
	}
	at, rest := s.absolute(dir), ""
	for {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			name, inside = within(root, filepath.Join(real, rest))
			return name, inside, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", false, s.failed("resolve", dir, err)
		}
		at, rest = up, filepath.Join(filepath.Base(at), rest)
	}
}

// absolute gives a directory's path; a relative one starts at the root.
func (s *Source) absolute(dir string) string {
	if filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	return filepath.Join(s.path, filepath.FromSlash(strings.TrimSuffix(dir, "/")))
}
