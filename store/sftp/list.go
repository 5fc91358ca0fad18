package sftp

import (
	"context"
	"errors"
	"iter"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// List streams the entries of a directory below the root, "" for the root itself. Names
// are as the server sent them, without "." and "..". List asks for what a listing
// leaves out (type, size, time); what remains unknown is -1, or zero. A directory with
// more than 10 million entries ends with ErrLimit.
func (s *session) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		stopped := false
		err := s.listBatches(ctx, dir, func(batch []item) bool {
			for _, it := range batch {
				if stopped = !yield(s.entryOf(it), nil); stopped {
					return false
				}
			}
			return true
		})
		if err != nil && !stopped {
			yield(filesync.Entry{}, err)
		}
	}
}

// listBatches gives the entries of a directory as they come, until got returns false.
// Items that need an OPENDIR for their type come last, when the directory is closed.
func (s *session) listBatches(ctx context.Context, dir string, got func([]item) bool) error {
	ch := s.pool.acquire(1)
	defer s.pool.release(ch, 1)
	seen, more := 0, true
	var untyped []item
	defer func() {
		for _, it := range untyped {
			s.untyped.Add(-bytesOf(it))
		}
	}()
	var failed error
	err := s.list(ctx, ch, s.path(dir), func(batch []item) bool {
		if seen += len(batch); seen > s.maxEntries {
			failed = filesync.ErrLimit
			return false
		}
		if failed = s.complete(ctx, ch, batch); failed != nil {
			return false
		}
		batch, untyped = splitUntyped(batch, untyped, &s.untyped)
		more = len(batch) == 0 || got(batch)
		return more
	})
	if failed != nil {
		err = failed
	}
	for err == nil && more && len(untyped) > 0 {
		n := min(len(untyped), batchItems)
		if err = s.probeDirectories(ctx, ch, untyped[:n]); err == nil {
			more = got(untyped[:n])
		}
		for _, it := range untyped[:n] {
			s.untyped.Add(-bytesOf(it))
		}
		untyped = untyped[n:]
	}
	if err != nil {
		return s.failure("list", dir, err)
	}
	return nil
}

// entryOf is the entry of a listed item.
func (s *session) entryOf(it item) filesync.Entry { return entry(it.path[len(s.prefix):], it.attrs) }

// Stat asks for the attributes of names again, and follows symbolic links.
func (s *Source) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	ch := s.pool.acquire(1)
	defer s.pool.release(ch, 1)
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = s.path(name)
	}
	stats := make([]filesync.StatResult, len(names))
	err := ch.stat(ctx, paths, true, func(i int, a attrs, err error) {
		if err != nil {
			stats[i].Err = s.failure("look at", names[i], err)
			return
		}
		stats[i].Entry = entry(names[i], a)
	})
	if err != nil {
		return nil, s.failure("look at", "", err)
	}
	return stats, nil
}

// statByPath asks for the attributes of one path, and follows symbolic links.
func statByPath(ctx context.Context, ch channel, path string) (attrs, error) {
	var a attrs
	var failed error
	err := ch.stat(ctx, []string{path}, true, func(_ int, got attrs, err error) { a, failed = got, err })
	if err == nil {
		err = failed
	}
	return a, err
}

// isFailure reports whether a server refused without a reason.
func isFailure(err error) bool {
	e, ok := errors.AsType[*wire.StatusError](err)
	return ok && e.Code == wire.CodeFailure
}
