package smb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

const (
	// inFlight bounds the written bytes, of all files together, that the
	// server has not acknowledged.
	inFlight = 4 << 20
	// sideBySide is how many files of a batch are looked after at a time: each
	// takes a few round trips, one after the other.
	sideBySide = 128
)

// Destination is a directory on a share that files are delivered to. It may be
// used concurrently.
//
// Files are written under hidden names, flushed (SMB2 FLUSH), and get their
// names by a rename on the server; a directory is flushed after that where the
// server can do it. Two limits of what a client can do remain. A rename that
// must not replace anything is one that looks first: what another program puts
// under the name within those milliseconds is replaced; other files of this
// Destination are not. And where the server follows symbolic links by itself,
// as Samba does within its share, the client does not see them: who makes a
// link on the server decides where it leads. What the server shows as a link
// or a junction (Windows) is never followed below the directory.
type Destination struct {
	s       *session
	root    string // of the names, on the share; "" for its root
	owner   pending.Owner
	dirs    directories
	names   claims
	room    *semaphore.Weighted
	buffers buffers
	// noDirectoryFlush: the server does not flush directories.
	noDirectoryFlush atomic.Bool
}

var _ filesync.Destination = (*Destination)(nil)

func newDestination(cfg Config, s *session) *Destination {
	return &Destination{s: s, root: backslashed(cfg.Directory), owner: cfg.Owner, room: semaphore.NewWeighted(inFlight)}
}

// path is where a name lies on the share.
func (d *Destination) path(name string) string {
	name = backslashed(name)
	switch {
	case name == ".":
		return d.root
	case d.root == "":
		return name
	}
	return d.root + `\` + name
}

// FoldsCase implements sync.Destination.
func (d *Destination) FoldsCase(bool) bool { return true }

// Close implements sync.Destination.
func (d *Destination) Close() error { return d.s.close() }

// failed wraps an error with the operation and the name, and tells one of the
// whole destination from one of the file.
func (d *Destination) failed(ctx context.Context, op, name string, err error) error {
	switch {
	case isLost(err), isWhole(err):
		return unavailable(op, name, explainAccess(err))
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return err
	case errors.Is(err, filesync.ErrConflict), errors.Is(err, fs.ErrInvalid):
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	if rerr := d.rootError(ctx, err); rerr != nil {
		return rerr
	}
	return fmt.Errorf("%s %s: %w", op, name, of(ctx, err, explainAccess))
}

// rootError looks whether it is the destination, and not one file of it, that
// gave the error: the directory is gone, or cannot be written at all.
func (d *Destination) rootError(ctx context.Context, err error) error {
	where := d.s.target.String()
	if _, rerr := d.lstat(ctx, "."); rerr != nil {
		return unavailable("open destination directory", where, of(ctx, rerr, explainAccess))
	}
	if !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if rerr := d.probe(ctx); errors.Is(rerr, fs.ErrPermission) {
		return unavailable("write to", where, cannotWrite(rerr))
	}
	return nil
}

// Open implements sync.Destination. What is read of the file is waited for as
// long as ctx stands.
func (d *Destination) Open(ctx context.Context, name string) (filesync.File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	err := d.knowDirectory(ctx, path.Dir(name))
	if err == nil {
		var e filesync.Entry
		if e, err = d.lstat(ctx, name); err == nil && !e.Mode.IsRegular() {
			err = errors.New("it is not a file")
		}
	}
	if err != nil {
		return nil, d.failed(ctx, "open", name, err)
	}
	f, err := d.openFile(ctx, name, readOnly)
	if err != nil {
		return nil, d.failed(ctx, "open", name, err)
	}
	return &reading{d: d, ctx: ctx, name: name, f: f}, nil
}

// Probe implements sync.Destination.
func (d *Destination) Probe(ctx context.Context) error {
	if err := d.probe(ctx); err != nil {
		explained := of(ctx, err, explainAccess)
		if errors.Is(err, fs.ErrPermission) {
			explained = cannotWrite(err)
		}
		return unavailable("write to", d.s.target.String(), explained)
	}
	return nil
}

// probe writes a small hidden file and removes it.
func (d *Destination) probe(ctx context.Context) error {
	name := pending.Name("probe", d.owner.NewID())
	f, err := d.openFile(ctx, name, createNew)
	if err != nil {
		return err
	}
	return d.s.tell(ctx, func() error {
		_, err := f.WriteAt([]byte("x"), 0)
		if err == nil {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if rerr := d.s.share.Remove(d.path(name)); err == nil {
			err = rerr
		}
		return err
	})
}

// Sweep implements sync.Destination. It looks through the whole directory. A
// file that the server has open still, for a connection that it does not know
// to be lost, is left to a later Sweep.
func (d *Destination) Sweep(ctx context.Context, keep func(id string) bool) error {
	for dirs := []string{"."}; len(dirs) > 0; {
		at := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		err := d.list(ctx, at, func(page []filesync.Entry) error {
			for _, e := range page {
				if e.Mode.IsDir() && e.Mode&fs.ModeSymlink == 0 {
					dirs = append(dirs, e.Name)
					continue
				}
				id, ok := pending.ID(path.Base(e.Name))
				if !ok || !d.owner.Sweeps(id) || keep(id) {
					continue
				}
				if err := d.remove(ctx, e.Name); err != nil && code(err) != ntSharingViolation && !errors.Is(err, fs.ErrNotExist) {
					return d.failed(ctx, "remove", e.Name, err)
				}
			}
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isLost(err):
			return d.failed(ctx, "list", at, err)
		case err != nil && at == ".":
			return d.failed(ctx, "list", d.s.target.String(), err)
		}
		if whole := isUnavailable(err); whole != nil {
			return whole
		}
		// What cannot be listed, or went away, holds nothing that we wrote.
	}
	return nil
}
