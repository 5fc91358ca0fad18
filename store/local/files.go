package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"slices"

	filesync "sftpconnector/sync"
)

// Files is a source of single files, each under a name of its own in one
// directory, wherever on this machine it lies. It may be used concurrently.
type Files struct {
	by   map[string]located
	dirs map[string]*Source // by path
}

// located is a file and the directory that it lies in.
type located struct {
	dir  *Source
	base string
}

var _ filesync.Source = (*Files)(nil)

// OpenFiles makes a source of the files at these paths, by their names. A path
// that leads to no regular file is an error. Symbolic links are followed.
func OpenFiles(paths map[string]string) (*Files, error) {
	f := &Files{by: map[string]located{}, dirs: map[string]*Source{}}
	for name, path := range paths {
		if err := f.add(name, path); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

func (f *Files) add(name, path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, cause(err))
	}
	dir := filepath.Dir(real)
	if f.dirs[dir] == nil {
		if f.dirs[dir], err = OpenSource(dir); err != nil {
			return err
		}
	}
	at := located{f.dirs[dir], filepath.Base(real)}
	e, err := at.dir.statOne(at.base)
	if err == nil && !e.Mode.IsRegular() {
		err = fmt.Errorf("open %s: %w", path, errNoFile)
	}
	if err != nil {
		return err
	}
	f.by[name] = at
	return nil
}

// List implements sync.Lister.
func (f *Files) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		if dir != "" {
			yield(filesync.Entry{}, fs.ErrNotExist)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(f.by)) {
			e, err := f.statOne(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (f *Files) statOne(name string) (filesync.Entry, error) {
	at, ok := f.by[name]
	if !ok {
		return filesync.Entry{}, fs.ErrNotExist
	}
	e, err := at.dir.statOne(at.base)
	e.Name = name
	return e, err
}

// Stat implements sync.Source.
func (f *Files) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	stats := make([]filesync.StatResult, len(names))
	for i, name := range names {
		stats[i].Entry, stats[i].Err = f.statOne(name)
	}
	return stats, nil
}

// Fetch implements sync.Source.
func (f *Files) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	at, ok := f.by[e.Name]
	if !ok {
		return filesync.Entry{}, fs.ErrNotExist
	}
	name := e.Name
	e.Name = at.base
	got, err := at.dir.Fetch(ctx, e, from, w)
	got.Name = name
	return got, err
}

// Probe does nothing: OpenFiles has looked at each file.
func (f *Files) Probe(context.Context) error { return nil }

// Close implements sync.Source.
func (f *Files) Close() error {
	var errs []error
	for _, dir := range f.dirs {
		errs = append(errs, dir.Close())
	}
	return errors.Join(errs...)
}
