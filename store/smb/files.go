package smb

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	smb2 "github.com/cloudsoda/go-smb2"

	filesync "sftpconnector/sync"
)

// This file has the questions to the server about one file or directory.

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

func (o opening) flags() int {
	switch o {
	case readWrite:
		return os.O_RDWR
	case createNew:
		return os.O_WRONLY | os.O_CREATE | os.O_EXCL
	}
	return os.O_RDONLY
}

// openFile opens what a name stands for.
func (d *Destination) openFile(ctx context.Context, name string, how opening) (*smb2.File, error) {
	return d.openAt(ctx, d.path(name), how)
}

// openAt opens what a path on the share stands for.
func (d *Destination) openAt(ctx context.Context, at string, how opening) (*smb2.File, error) {
	return ask(ctx, d.s, func() (*smb2.File, error) { return d.s.share.OpenFile(at, how.flags(), 0o666) }, func(f *smb2.File) {
		d.s.run(f.Close)
		if how == createNew {
			d.s.run(func() error { return d.s.share.Remove(at) })
		}
	})
}

// closeLater closes a file of which nothing is wanted any more.
func (d *Destination) closeLater(f *smb2.File) {
	d.s.all.Go(func() { d.s.run(f.Close) })
}

// reading is an open file. It implements sync.File.
type reading struct {
	d    *Destination
	ctx  context.Context // of Open: reading ends with it
	name string
	f    *smb2.File
}

// ReadAt implements io.ReaderAt. An answer that comes after ctx has ended must
// not be written to b, which is the caller's again by then.
func (r *reading) ReadAt(b []byte, off int64) (int, error) {
	got, err := ask(r.ctx, r.d.s, func() ([]byte, error) {
		mine := make([]byte, len(b))
		n, err := r.f.ReadAt(mine, off)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return mine[:n], err
	}, nil)
	if err != nil {
		return 0, r.d.failed(r.ctx, "read", r.name, err)
	}
	if n := copy(b, got); n < len(b) {
		return n, io.EOF
	}
	return len(b), nil
}

// Close implements io.Closer. The handle is closed also for who does not wait
// for it any more.
func (r *reading) Close() error {
	closed := make(chan error, 1)
	r.d.s.all.Go(func() { closed <- r.d.s.run(r.f.Close) })
	select {
	case err := <-closed:
		return err
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}
