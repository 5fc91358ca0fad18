package sftp

import (
	"context"
	"errors"
	"iter"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// List streams the entries of a directory below the root, "" for the root
// itself. Names are as the server sent them, "." and ".." left out. What a
// listing leaves out (type, size, time) is asked for; what the server still
// does not say is an irregular file, -1, or zero. A directory with more than
// 10 million entries ends with ErrLimit.
func (s *session) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		l := s.pool.take(1)
		defer s.pool.give(l, 1)
		seen, stopped := 0, false
		var failed error
		err := s.list(ctx, l, s.path(dir), func(batch []item) bool {
			if failed = complete(ctx, l, batch); failed != nil {
				return false
			}
			for _, it := range batch {
				if seen++; seen > s.maxEntries {
					failed = filesync.ErrLimit
					return false
				}
				if !yield(entry(it.path[len(s.prefix):], it.attrs), nil) {
					stopped = true
					return false
				}
			}
			return true
		})
		if failed != nil {
			err = failed
		}
		if err != nil && !stopped {
			yield(filesync.Entry{}, s.failure("list", dir, err))
		}
	}
}

// complete asks for what a listing left out.
func complete(ctx context.Context, p port, batch []item) error {
	var paths []string
	var at []int
	for i := range batch {
		if !batch[i].complete() {
			paths = append(paths, batch[i].path)
			at = append(at, i)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return p.stat(ctx, paths, false, func(i int, a attrs, err error) {
		if err == nil {
			batch[at[i]].attrs = batch[at[i]].or(a)
		}
	})
}

// Stat looks at names again, following symbolic links.
func (s *Source) Stat(ctx context.Context, names []string) ([]filesync.Look, error) {
	l := s.pool.take(1)
	defer s.pool.give(l, 1)
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = s.path(name)
	}
	looks := make([]filesync.Look, len(names))
	err := l.stat(ctx, paths, true, func(i int, a attrs, err error) {
		if err != nil {
			looks[i].Err = s.failure("look at", names[i], err)
			return
		}
		looks[i].Entry = entry(names[i], a)
	})
	if err != nil {
		return nil, s.failure("look at", "", err)
	}
	return looks, nil
}

// statByPath looks at one path, following symbolic links.
func statByPath(ctx context.Context, p port, path string) (attrs, error) {
	var a attrs
	var failed error
	err := p.stat(ctx, []string{path}, true, func(_ int, got attrs, err error) { a, failed = got, err })
	if err == nil {
		err = failed
	}
	return a, err
}

// isFailure reports whether a server said no without a reason.
func isFailure(err error) bool {
	e, ok := errors.AsType[*wire.StatusError](err)
	return ok && e.Code == wire.CodeFailure
}
