package smb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"golang.org/x/sync/errgroup"

	filesync "sftpconnector/sync"
)

// each does something for every file of a batch, side by side, and gives the errors.
func each(n int, do func(i int) error) []error {
	errs := make([]error, n)
	var g errgroup.Group
	g.SetLimit(sideBySide)
	for i := range n {
		g.Go(func() error {
			errs[i] = do(i)
			return nil
		})
	}
	g.Wait()
	return errs
}

// Sync implements sync.Destination. SMB2 FLUSH has the server write contents
// and times to its disk.
func (d *Destination) Sync(ctx context.Context, batch []filesync.Pending) []error {
	return each(len(batch), func(i int) error {
		p := batch[i].(*pendingFile)
		if err := d.flush(ctx, p.name); err != nil {
			return d.failed(ctx, "flush", p.entry.Name, err)
		}
		return nil
	})
}

// flush makes a file durable.
func (d *Destination) flush(ctx context.Context, name string) error {
	return d.flushAt(ctx, d.path(name))
}

func (d *Destination) flushAt(ctx context.Context, at string) error {
	f, err := d.openAt(ctx, at, readWrite)
	if err != nil {
		return err
	}
	return d.s.tell(ctx, func() error {
		err := f.Sync()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

// Publish implements sync.Destination.
func (d *Destination) Publish(ctx context.Context, batch []filesync.Publication) []error {
	errs := each(len(batch), func(i int) error {
		return batch[i].Pending.(*pendingFile).publish(ctx, batch[i].Replaces)
	})
	d.persistNames(ctx, errs, func(i int) string { return batch[i].Pending.(*pendingFile).name })
	for i, one := range batch {
		if errs[i] == nil {
			one.Pending.(*pendingFile).published = true
		}
	}
	return errs
}

// publish renames the file, unless something stands there that the publication
// does not expect.
func (p *pendingFile) publish(ctx context.Context, replaces *filesync.Entry) error {
	name := p.entry.Name
	defer p.d.names.take(name)()
	standing, err := p.d.lstat(ctx, name)
	there := err == nil
	switch {
	case errors.Is(err, fs.ErrNotExist): // or its reader took it meanwhile
	case err != nil:
		return p.d.failed(ctx, "publish", name, err)
	case replaces == nil, !standing.Mode.IsRegular(), !standing.SameVersion(*replaces):
		return fmt.Errorf("publish %s: %w", name, filesync.ErrConflict)
	}
	err = p.d.s.tell(ctx, func() error { return p.d.s.share.Rename(p.d.path(p.name), p.d.path(name)) })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("publish %s: %w", name, filesync.ErrConflict)
	case there && errors.Is(err, fs.ErrPermission):
		// So answers a server where somebody reads the file that is to go.
		err = &explainedError{"the file that it replaces cannot be replaced: a program has it open, or it is read-only", hintInUse, err}
	}
	return p.d.failed(ctx, "publish", name, err)
}

// persistNames makes the names durable that stand where errs has none, and the
// directories above them that are new.
func (d *Destination) persistNames(ctx context.Context, errs []error, name func(i int) string) {
	dirs := d.dirs.fresh()
	for i := range errs {
		if errs[i] == nil {
			dirs = append(dirs, path.Dir(name(i)))
		}
	}
	slices.Sort(dirs)
	if err := d.flushDirectories(ctx, slices.Compact(dirs)); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
}

// flushDirectories makes the names in these directories durable, where the
// server does that. A directory that this user may not open for writing is left
// to the server. The error is one of the whole destination.
func (d *Destination) flushDirectories(ctx context.Context, dirs []string) error {
	if d.noDirectoryFlush.Load() {
		return nil
	}
	errs := each(len(dirs), func(i int) error {
		err := d.flush(ctx, dirs[i])
		switch {
		case isLost(err), isWhole(err), ctx.Err() != nil:
			return unavailable("flush directory", dirs[i], of(ctx, err, explainAccess))
		case isUnsupported(err):
			d.noDirectoryFlush.Store(true)
		}
		return nil
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Persist implements sync.Destination. A file that this user may not write, or
// that a program has open, is left as it is: who wrote it has flushed it.
func (d *Destination) Persist(ctx context.Context, names []string) []error {
	errs := each(len(names), func(i int) error { return d.persist(ctx, names[i]) })
	d.persistNames(ctx, errs, func(i int) string { return names[i] })
	return errs
}

func (d *Destination) persist(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := d.knowDirectory(ctx, path.Dir(name))
	if err == nil {
		err = d.flush(ctx, name)
	}
	if errors.Is(err, fs.ErrPermission) || code(err) == ntSharingViolation {
		_, err = d.lstat(ctx, name)
	}
	if err != nil {
		return d.failed(ctx, "flush", name, err)
	}
	return nil
}

// isMissing reports whether there is nothing of that name, or nothing soon.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || code(err) == ntDeletePending
}
