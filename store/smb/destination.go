package smb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"

	smb2 "github.com/cloudsoda/go-smb2"
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
	owner   string
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
func (d *Destination) FoldsCase() bool { return true }

// fold gives what names that are one file here have in common.
func fold(name string) string { return strings.ToLower(name) }

// Close implements sync.Destination.
func (d *Destination) Close() error { return d.s.close() }

// failed wraps an error with the operation and the name, and tells one of the
// whole destination from one of the file.
func (d *Destination) failed(ctx context.Context, op, name string, err error) error {
	switch {
	case isLost(err), isWhole(err):
		return unavailable(op, name, accessTrouble(err))
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return err
	case errors.Is(err, filesync.ErrConflict), errors.Is(err, fs.ErrInvalid):
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	if rerr := d.rootTrouble(ctx, err); rerr != nil {
		return rerr
	}
	return fmt.Errorf("%s %s: %w", op, name, of(ctx, err, accessTrouble))
}

// rootTrouble looks whether it is the destination, and not one file of it, that
// gave the error: the directory is gone, or cannot be written at all.
func (d *Destination) rootTrouble(ctx context.Context, err error) error {
	where := d.s.target.String()
	if _, rerr := d.lstat(ctx, "."); rerr != nil {
		return unavailable("open destination directory", where, of(ctx, rerr, accessTrouble))
	}
	if !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if rerr := d.probe(ctx); errors.Is(rerr, fs.ErrPermission) {
		return unavailable("write to", where, &trouble{sentenceReadOnlyShare, hintRights, rerr})
	}
	return nil
}

// lstat says what stands under a name, without following a link.
func (d *Destination) lstat(ctx context.Context, name string) (filesync.Entry, error) {
	at := d.path(name)
	return ask(ctx, d.s, func() (filesync.Entry, error) {
		info, err := d.s.share.Lstat(at)
		if err != nil {
			return filesync.Entry{}, err
		}
		e := entry(name, info)
		if e.Mode&fs.ModeSymlink == 0 || e.Mode.IsDir() {
			return e, nil
		}
		// Other things than links have the same mark: files that are kept
		// deduplicated, compressed or elsewhere.
		if _, err := d.s.share.Readlink(at); isNoLink(err) {
			e.Mode &^= fs.ModeSymlink
		}
		return e, nil
	}, nil)
}

// isNoLink reports whether the error is that of a link that is none.
func isNoLink(err error) bool {
	_, ok := errors.AsType[*smb2.InvalidResponseError](err)
	return ok
}

// entry is what the server says of a name. A directory that leads elsewhere (a
// junction, a link) has both type bits.
func entry(name string, info fs.FileInfo) filesync.Entry {
	e := filesync.Entry{Name: name, Size: info.Size(), ModTime: info.ModTime(), Mode: info.Mode()}
	if e.Mode.IsDir() {
		e.Size = 0
	}
	return e
}

// Open implements sync.Destination.
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
	return &reading{d: d, name: name, f: f}, nil
}

// reading is an open file. It implements sync.File.
type reading struct {
	d    *Destination
	name string
	f    *smb2.File
}

// ReadAt implements io.ReaderAt.
func (r *reading) ReadAt(b []byte, off int64) (int, error) {
	ctx := context.Background() // b is the caller's until the answer is there
	n, err := ask(ctx, r.d.s, func() (int, error) {
		n, err := r.f.ReadAt(b, off)
		if n < len(b) && (err == nil || errors.Is(err, io.EOF)) {
			return n, nil
		}
		return n, err
	}, nil)
	if err != nil {
		return 0, r.d.failed(ctx, "read", r.name, err)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (r *reading) Close() error {
	return r.d.s.tell(context.Background(), r.f.Close)
}

// Probe implements sync.Destination.
func (d *Destination) Probe(ctx context.Context) error {
	if err := d.probe(ctx); err != nil {
		told := of(ctx, err, accessTrouble)
		if errors.Is(err, fs.ErrPermission) {
			told = &trouble{sentenceReadOnlyShare, hintRights, err}
		}
		return unavailable("write to", d.s.target.String(), told)
	}
	return nil
}

// probe writes a small hidden file and removes it.
func (d *Destination) probe(ctx context.Context) error {
	name := pending.Name("probe", pending.NewID(d.owner))
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
				if !ok || !strings.HasPrefix(id, d.owner) || keep(id) {
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

// remove removes a file.
func (d *Destination) remove(ctx context.Context, name string) error {
	return d.s.tell(ctx, func() error { return d.s.share.Remove(d.path(name)) })
}

// pageSize is how many entries of a directory are taken at a time.
const pageSize = 4096

// list gives the entries of a directory to page, with their whole names.
func (d *Destination) list(ctx context.Context, dir string, page func([]filesync.Entry) error) error {
	f, err := d.openFile(ctx, dir, readOnly)
	if err != nil {
		return err
	}
	defer d.closeLater(f)
	for {
		infos, err := ask(ctx, d.s, func() ([]fs.FileInfo, error) { return f.Readdir(pageSize) }, nil)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		entries := make([]filesync.Entry, 0, len(infos))
		for _, info := range infos {
			if name := info.Name(); name != "" && name != "." && name != ".." && !strings.ContainsAny(name, `/\`) { // whoever the server is
				entries = append(entries, entry(path.Join(dir, name), info))
			}
		}
		if perr := page(entries); perr != nil || err != nil || len(infos) == 0 {
			return perr
		}
	}
}

// How a file is opened.
type opening int

const (
	readOnly  opening = iota // also a directory
	readWrite                // a file that stands
	createNew                // a file that must not stand yet
)

// openFile opens what a name stands for.
func (d *Destination) openFile(ctx context.Context, name string, how opening) (*smb2.File, error) {
	return d.openAt(ctx, d.path(name), how)
}

// openAt opens what a path on the share stands for.
func (d *Destination) openAt(ctx context.Context, at string, how opening) (*smb2.File, error) {
	return ask(ctx, d.s, func() (*smb2.File, error) { return d.s.share.OpenFile(at, how.flags(), 0o666) }, func(f *smb2.File) {
		f.Close()
		if how == createNew {
			d.s.share.Remove(at)
		}
	})
}

// closeLater closes a file of which nothing is wanted any more.
func (d *Destination) closeLater(f *smb2.File) {
	d.s.all.Go(func() { f.Close() })
}
