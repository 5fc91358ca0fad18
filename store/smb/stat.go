package smb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sync/errgroup"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

const (
	// From so many names in one directory on, listing it is cheaper than two
	// questions for each name.
	listFrom = 4
	// A directory that has so many times the entries that are looked for is
	// not listed to its end.
	tooMany = 50
	// lookers is how many names are looked at side by side.
	lookers = 32
)

// Stat implements sync.Destination. Names that differ in case only are one, as
// the server has it. A listing may lag behind for files that are open.
func (d *Destination) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	stats := make([]filesync.StatResult, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for from := 0; from < len(names) && gctx.Err() == nil; {
		to := from + 1
		for to < len(names) && path.Dir(names[to]) == path.Dir(names[from]) {
			to++
		}
		some, theirs := names[from:to], stats[from:to]
		g.Go(func() error {
			if len(some) < listFrom {
				return d.statEach(gctx, some, theirs)
			}
			return d.statIn(gctx, some, theirs)
		})
		from = to
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return stats, err
}

// statIn looks at many names of one directory.
func (d *Destination) statIn(ctx context.Context, names []string, stats []filesync.StatResult) error {
	dir := path.Dir(names[0])
	if checkName(names[0]) != nil {
		return d.statEach(ctx, names, stats)
	}
	if err := d.knowDirectory(ctx, dir); err != nil {
		return d.statEach(ctx, names, stats)
	}
	wanted := make(map[string]int, len(names)) // by folded base name
	asked := make([]bool, len(names))          // one by one: the listing cannot tell
	for i, name := range names {
		if other, same := wanted[baseOf(name)]; same {
			asked[other] = true
		}
		wanted[baseOf(name)] = i
		stats[i] = filesync.StatResult{Err: fs.ErrNotExist}
	}
	seen := 0
	err := d.list(ctx, dir, func(page []filesync.Entry) error {
		for _, e := range page {
			switch i, ok := wanted[baseOf(e.Name)]; {
			case !ok:
			case e.Name == names[i]:
				stats[i] = filesync.StatResult{Entry: e}
			default: // whether that is one is the server's to say
				asked[i] = true
			}
		}
		if seen += len(page); seen > tooMany*len(names) {
			return errTooMany
		}
		return nil
	})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			d.dirs.forget(dir)
		}
		return d.statEach(ctx, names, stats)
	}
	for i, name := range names {
		switch {
		case checkName(name) != nil:
			stats[i] = filesync.StatResult{Err: checkName(name)}
		case stats[i].Err != nil && asked[i], stats[i].Err == nil && stats[i].Entry.Mode&fs.ModeSymlink != 0:
			err = d.statOne(ctx, name, &stats[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errTooMany = errors.New("the directory has too many entries")

// statEach looks at names one by one, side by side.
func (d *Destination) statEach(ctx context.Context, names []string, stats []filesync.StatResult) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for i, name := range names {
		g.Go(func() error { return d.statOne(ctx, name, &stats[i]) })
	}
	return g.Wait()
}

// statOne looks at one name. Its error is one of the whole destination.
func (d *Destination) statOne(ctx context.Context, name string, to *filesync.StatResult) error {
	if err := checkName(name); err != nil {
		*to = filesync.StatResult{Err: err}
		return nil
	}
	var e filesync.Entry
	err := d.knowDirectory(ctx, path.Dir(name))
	if err == nil {
		e, err = d.lstat(ctx, name)
	}
	switch {
	case err == nil:
		*to = filesync.StatResult{Entry: e}
	case errors.Is(err, fs.ErrNotExist):
		*to = filesync.StatResult{Err: fs.ErrNotExist}
	case errors.Is(err, filesync.ErrConflict):
		*to = filesync.StatResult{Err: fmt.Errorf("look at %s: %w", name, err)}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		*to = filesync.StatResult{Err: d.failed(ctx, "look at", name, err)}
	}
	return isUnavailable(to.Err)
}

// isUnavailable gives err if it is one of the whole destination, else nil.
func isUnavailable(err error) error {
	if _, ok := errors.AsType[*status.Error](err); ok {
		return err
	}
	return nil
}

// baseOf is a name without its directory, folded.
func baseOf(name string) string { return filesync.FoldName(path.Base(name)) }
