package local

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"

	filesync "sftpconnector/sync"
)

// A file of which the source tells the version leaves a proof when it gets its name: a
// whiteout, which the rename puts under the hidden name in the same step. After a kill it
// says that the file was published, though its reader has taken it away since. Where the
// file system has no whiteouts, only what stands under the name says so.

// rename gives the file its name, with a proof if it has a version.
func (p *pendingFile) rename(base string, replace bool) error {
	if p.entry.Version != "" {
		p.proven = renameProving(p.dir, p.name, base, replace) == nil
		if p.proven {
			return nil
		}
	}
	if replace {
		return p.dir.rename(p.name, p.dir, base)
	}
	return renameNew(p.dir, p.name, p.dir, base)
}

// Recorded implements sync.Prover. A power cut does not bring a proof back.
func (d *Destination) Recorded(ctx context.Context, batch []filesync.Pending) {
	dirs := map[string]*directory{}
	defer func() {
		for _, dir := range dirs {
			d.dirs.release(dir)
		}
	}()
	for _, each := range batch {
		p := each.(*pendingFile)
		if !p.proven {
			continue
		}
		name := path.Dir(p.entry.Name)
		dir, err := dirs[name], error(nil)
		if dir == nil {
			if dir, err = d.dirs.acquire(name, false); err == nil {
				dirs[name] = dir
			}
		}
		if err == nil {
			err = dir.remove(p.name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.leftPending.Store(true)
		}
	}
	if syncDirectories(slices.Collect(maps.Values(dirs))) != nil {
		d.leftPending.Store(true)
	}
}

// syncDirectories makes the names in directories durable.
func syncDirectories(dirs []*directory) error {
	if len(dirs) >= syncAllFrom && syncDevices(dirs) {
		return nil
	}
	for _, dir := range dirs {
		if err := syncHandle(dir.handle); err != nil {
			return err
		}
	}
	return nil
}
