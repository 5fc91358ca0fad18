package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sftpconnector/durable"
	"sftpconnector/status"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// Destination is a directory that files are delivered to. It may be used concurrently.
type Destination struct {
	opens atomic.Int64 // files so far
	kept  atomic.Int64 // finished files that keep their descriptor until Sync

	path  string
	owner pending.Owner
	dirs  *directories

	foldings    *Foldings
	folding     folding
	leftPending atomic.Bool
	denial      denial
}

// denial is whether the whole directory may be written, as it was found a moment
// ago: it is asked for each file that may not.
type denial struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// denialLasts is how long an answer is good.
const denialLasts = time.Second

// of gives why nothing may be written, or nil.
func (n *denial) of(d *Destination) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at.IsZero() || time.Since(n.at) > denialLasts {
		if n.err = d.Probe(context.Background()); !errors.Is(n.err, fs.ErrPermission) {
			n.err = nil
		}
		n.at = time.Now()
	}
	return n.err
}

var (
	_ filesync.Destination        = (*Destination)(nil)
	_ filesync.SweepRequester     = (*Destination)(nil)
	_ filesync.Prover             = (*Destination)(nil)
	_ filesync.LinkingDestination = (*Destination)(nil)
)

// NeedsSweep implements sync.SweepRequester.
func (d *Destination) NeedsSweep() bool { return d.leftPending.Swap(false) }

// Open opens the directory path, and makes it if its parent exists. owner
// marks our pending files among those of other programs.
func Open(path string, owner pending.Owner) (*Destination, error) {
	return new(Foldings).Open(path, owner)
}

// Open is Open with what f knows.
func (f *Foldings) Open(path string, owner pending.Owner) (*Destination, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		// Only the last directory is made: with the rest missing, a disk or a share
		// is not mounted, and what stands in its place must not be filled.
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return nil, unavailable("make destination directory", path, err)
		}
	}
	if err := durable.MkdirAll(path, 0o777); err != nil {
		return nil, unavailable("make destination directory", path, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, unavailable("open destination directory", path, err)
	}
	dirs, err := newDirectories(root)
	if err != nil {
		root.Close()
		return nil, unavailable("open destination directory", path, err)
	}
	at := place{dirs.open["."].device, path}
	return &Destination{path: path, owner: owner, dirs: dirs, foldings: f, folding: folding{at: at}}, nil
}

func unavailable(op, target string, err error) error {
	return &status.Error{Word: status.DestinationUnavailable, Op: op, Target: target, Err: cause(err)}
}

// cause strips the operation and path that an os error repeats.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}

// failed wraps an error with the operation and the name, and tells one of the
// whole destination from one of the file.
func (d *Destination) failed(op, name string, err error) error {
	if noRoom(err) {
		return unavailable(op, name, fmt.Errorf("%w (%w)", filesync.ErrFull, cause(err)))
	}
	if full(err) {
		return unavailable(op, name, err)
	}
	if _, rerr := os.Stat(d.path); rerr != nil {
		return unavailable(op, d.path, rerr)
	}
	if errors.Is(err, fs.ErrPermission) {
		// That of the whole directory is no fault of the file.
		if perr := d.denial.of(d); perr != nil {
			return perr
		}
	}
	return fmt.Errorf("%s %s: %w", op, name, cause(err))
}

// Close implements sync.Destination.
func (d *Destination) Close() error { return d.dirs.close() }

// Stat implements sync.Destination. Symbolic links are not followed.
func (d *Destination) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	stats := make([]filesync.StatResult, len(names))
	var dir *directory
	defer func() { d.dirs.release(dir) }()
	var missing error // why the directory of that name cannot be opened
	at := ""
	for i, name := range names {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if parent := path.Dir(name); parent != at {
			d.dirs.release(dir)
			at = parent
			dir, missing = d.dirs.acquire(parent, false)
		}
		if missing != nil {
			stats[i].Err = d.statError(name, missing)
			continue
		}
		var err error
		if stats[i].Entry, err = dir.lstat(path.Base(name)); err != nil {
			stats[i].Err = d.statError(name, err)
			continue
		}
		stats[i].Entry.Name = name
	}
	return stats, nil
}

// blocked reports whether a file stands where one of the directories above name
// should be.
func (d *Destination) blocked(name string) bool {
	for up := path.Dir(name); up != "." && up != "/"; up = path.Dir(up) {
		if info, err := d.dirs.root.Lstat(up); err == nil {
			return info.Mode().IsRegular()
		}
	}
	return false
}

func (d *Destination) statError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fs.ErrNotExist
	case d.blocked(name):
		return fmt.Errorf("a file stands where %s needs a directory: %w", name, filesync.ErrConflict)
	}
	return d.failed("stat", name, err)
}

// Open implements sync.Destination.
func (d *Destination) Open(ctx context.Context, name string) (filesync.File, error) {
	dir, err := d.dirs.acquire(path.Dir(name), false)
	if err != nil {
		return nil, d.failed("open", name, err)
	}
	defer d.dirs.release(dir)
	f, err := dir.read(path.Base(name))
	if err != nil {
		return nil, d.failed("open", name, err)
	}
	return f, nil
}

// Persist implements sync.Destination.
func (d *Destination) Persist(ctx context.Context, names []string) []error {
	errs := make([]error, len(names))
	if len(names) >= syncAllFrom && d.syncAllOf(names) {
		return errs
	}
	for i, name := range names {
		if errs[i] = d.persist(name); errs[i] != nil {
			errs[i] = d.failed("sync", name, errs[i])
		}
	}
	return errs
}

// syncAllOf makes everything on the devices of the files durable; false when
// it cannot.
func (d *Destination) syncAllOf(names []string) bool {
	var dirs []*directory
	defer func() {
		for _, dir := range dirs {
			d.dirs.release(dir)
		}
	}()
	for _, name := range names {
		if n := len(dirs); n > 0 && dirs[n-1].name == path.Dir(name) {
			continue
		}
		dir, err := d.dirs.acquire(path.Dir(name), false)
		if err != nil {
			return false
		}
		dirs = append(dirs, dir)
	}
	return syncDevices(dirs)
}

func (d *Destination) persist(name string) error {
	dir, err := d.dirs.acquire(path.Dir(name), false)
	if err != nil {
		return err
	}
	defer d.dirs.release(dir)
	if err := dir.syncFile(path.Base(name)); err != nil {
		return err
	}
	for up := name; up != "."; {
		up = path.Dir(up)
		if err := d.syncNamed(up); err != nil {
			return err
		}
	}
	return nil
}

// Probe implements sync.Destination.
func (d *Destination) Probe(ctx context.Context) error {
	name := pending.Name("probe", d.owner.NewID())
	f, err := d.dirs.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return unavailable("write to", d.path, err)
	}
	_, err = f.WriteString("x")
	err = errors.Join(err, f.Sync(), f.Close())
	err = errors.Join(err, d.removeTrial(name))
	if err != nil {
		return unavailable("write to", d.path, err)
	}
	return nil
}

// removeTrial removes a pending file of the directory itself, which held nothing.
func (d *Destination) removeTrial(name string) error {
	top, err := d.dirs.acquire(".", false)
	if err == nil {
		defer d.dirs.release(top)
		err = top.removePending(name)
	}
	if err != nil {
		d.leftPending.Store(true)
	}
	return err
}

// Sweep implements sync.Destination. It looks through the whole directory, and
// makes what a killed pass did to it durable.
func (d *Destination) Sweep(ctx context.Context, keep func(id string) bool) error {
	top, err := d.dirs.acquire(".", false)
	if err != nil {
		return d.failed("open", d.path, err)
	}
	defer d.dirs.release(top)
	durable := syncDevice(top.handle)
	removed := map[string]bool{} // directories that pending files were removed from
	err = fs.WalkDir(d.dirs.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return nil // what cannot be read holds nothing that we wrote
		case e.IsDir() && !durable:
			return d.syncNamed(name)
		case e.IsDir():
			return nil
		}
		id, ok := pending.ID(e.Name())
		if !ok || !d.owner.Sweeps(id) || keep(id) {
			return nil
		}
		if err := d.dirs.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d.failed("remove", name, err)
		}
		removed[path.Dir(name)] = true
		return nil
	})
	for dir := range removed {
		if serr := d.syncNamed(dir); serr != nil && !errors.Is(serr, fs.ErrNotExist) {
			err = errors.Join(err, d.failed("sync", dir, serr))
		}
	}
	return err
}
