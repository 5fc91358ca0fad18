package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sync/errgroup"

	filesync "sftpconnector/sync"
)

// From so many files on, one syncfs is cheaper than an fsync each. Below it,
// the fsyncs run side by side, which lets the file system join them.
const (
	syncAllFrom = 12
	syncers     = 8
)

// Sync implements sync.Destination.
func (d *Destination) Sync(ctx context.Context, batch []filesync.Pending) []error {
	errs := make([]error, len(batch))
	files := make([]*pendingFile, len(batch))
	for i, p := range batch {
		files[i] = p.(*pendingFile)
	}
	if len(batch) < syncAllFrom || !syncTogether(files) {
		var g errgroup.Group
		g.SetLimit(syncers)
		for i, p := range files {
			g.Go(func() error {
				if err := p.sync(); err != nil {
					errs[i] = d.failed("sync", p.entry.Name, err)
				}
				return nil
			})
		}
		g.Wait()
	}
	for i, p := range files {
		if err := p.closeFile(); err != nil && errs[i] == nil {
			errs[i] = d.failed("close", p.entry.Name, err)
		}
	}
	return errs
}

// syncDevices makes everything on the devices of the directories durable with
// one call each; false when that is not to be trusted there, or failed.
func syncDevices(dirs []*directory) bool {
	done := map[uint64]bool{}
	for _, dir := range dirs {
		if done[dir.device] {
			continue
		}
		if !syncDevice(dir.handle) {
			return false
		}
		done[dir.device] = true
	}
	return true
}

// Publish implements sync.Destination.
func (d *Destination) Publish(ctx context.Context, batch []filesync.Publication) []error {
	errs := make([]error, len(batch))
	var dirs []*directory
	moved := map[*directory]error{}
	for i, each := range batch {
		p := each.Pending.(*pendingFile)
		gone, looked := moved[p.dir]
		if !looked {
			gone = d.dirs.still(p.dir)
			moved[p.dir] = gone
			if gone == nil {
				dirs = append(dirs, p.dir)
			}
		}
		if gone != nil {
			errs[i] = p.d.failed("publish", p.entry.Name, gone)
			continue
		}
		errs[i] = p.publish(each.Replaces)
	}
	if err := d.persistNames(dirs); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = unavailable("sync directory of", batch[i].Pending.(*pendingFile).entry.Name, err)
			}
		}
	}
	for i, each := range batch {
		if errs[i] == nil {
			p := each.Pending.(*pendingFile)
			p.published = true
			p.release()
		}
	}
	return errs
}

// publish renames the file, unless something stands there that the
// publication does not expect.
func (p *pendingFile) publish(replaces *filesync.Entry) error {
	base := path.Base(p.entry.Name)
	if replaces == nil {
		err := p.rename(base, false)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("publish %s: %w", p.entry.Name, filesync.ErrConflict)
		}
		if err != nil {
			return p.d.failed("publish", p.entry.Name, err)
		}
		return nil
	}
	standing, err := p.dir.lstat(base)
	switch {
	case errors.Is(err, fs.ErrNotExist): // its reader took it meanwhile
	case err != nil:
		return p.d.failed("publish", p.entry.Name, err)
	case standing.Mode.IsDir() || !standing.SameVersion(*replaces):
		return fmt.Errorf("publish %s: %w", p.entry.Name, filesync.ErrConflict)
	}
	if err := p.rename(base, true); err != nil {
		return p.d.failed("publish", p.entry.Name, err)
	}
	return nil
}

// persistNames makes the renames in these directories durable, and the
// directories themselves where they are new.
func (d *Destination) persistNames(dirs []*directory) error {
	fresh := d.dirs.freshAbove(dirs)
	if len(dirs)+len(fresh) < syncAllFrom || !syncDevices(dirs) {
		for _, dir := range dirs {
			if err := syncHandle(dir.handle); err != nil {
				return err
			}
		}
		for _, name := range fresh {
			if err := d.syncNamed(path.Dir(name)); err != nil {
				return err
			}
		}
	}
	d.dirs.settle(fresh)
	return nil
}

func (d *Destination) syncNamed(name string) error {
	dir, err := d.dirs.acquire(name, false)
	if err != nil {
		return err
	}
	defer d.dirs.release(dir)
	return syncHandle(dir.handle)
}

// syncFile makes the contents and times of a file durable whose descriptor is not
// open any more. Windows wants one that may write.
func (d *directory) syncFile(name string) error {
	f, err := d.reopen(name)
	if errors.Is(err, fs.ErrPermission) {
		f, err = d.read(name) // it stood here before us
	}
	if err != nil {
		return err
	}
	return errors.Join(f.sync(), f.Close())
}

// renameLooking is a rename that looks first. Something that appears between
// the two is overwritten; the file systems that can prevent that are asked to.
func renameLooking(dir *directory, from string, other *directory, to string) error {
	if _, err := other.lstat(to); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return dir.rename(from, other, to)
}
