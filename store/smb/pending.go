package smb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"

	smb2 "github.com/cloudsoda/go-smb2"

	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// pendingFile is a file on its way. It implements sync.Pending.
type pendingFile struct {
	d     *Destination
	entry filesync.Entry
	id    string
	name  string // of the hidden file

	published bool // it has its name; there is nothing to abort

	mu      sync.Mutex
	writes  *writes       // nil once it is being closed
	closed  chan struct{} // closed when it is; nil before
	failed  error         // of closing it; valid once it is closed
	durable int64         // the prefix of the last Checkpoint
}

// Begin implements sync.Destination. WriteAt waits no longer than ctx stands.
func (d *Destination) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	if err := checkName(e.Name); err != nil {
		return nil, err
	}
	p := &pendingFile{d: d, entry: e}
	if resume != nil {
		p.id = resume.ID
	} else {
		p.id = d.owner.NewID()
	}
	dir := path.Dir(e.Name)
	p.name = path.Join(dir, pending.Name(path.Base(e.Name), p.id))
	if resume != nil {
		if err := p.resume(ctx, dir, resume.Prefix); err != nil {
			return nil, err
		}
		return p, nil
	}
	var f *smb2.File
	err := d.inDirectory(ctx, dir, func() (err error) {
		f, err = d.openFile(ctx, p.name, createNew)
		return err
	})
	if err != nil {
		return nil, d.failed(ctx, "create", e.Name, err)
	}
	p.writes = newWrites(ctx, d, f)
	return p, nil
}

// resume opens the file of an interrupted copy, and leaves the prefix: what lies
// behind that was never promised to be there. A file that is shorter is not the
// one that was kept. At prefix 0 nothing is cut, as the file may have its name
// already: a rename of the last connection may still be under way. Finish checks
// the size.
func (p *pendingFile) resume(ctx context.Context, dir string, prefix int64) error {
	err := p.d.knowDirectory(ctx, dir)
	if errors.Is(err, errNoDirectory) {
		return fmt.Errorf("resume %s: %w: %w", p.entry.Name, fs.ErrNotExist, err)
	}
	var f *smb2.File
	if err == nil {
		f, err = p.d.openFile(ctx, p.name, readWrite)
	}
	if err != nil {
		return p.d.failed(ctx, "resume", p.entry.Name, err)
	}
	p.writes, p.durable = newWrites(ctx, p.d, f), prefix
	size, err := ask(ctx, p.d.s, func() (int64, error) {
		info, err := f.Stat()
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}, nil)
	if err == nil && size < prefix {
		p.Abort(ctx)
		return fmt.Errorf("resume %s: %d bytes are there and not %d: %w", p.entry.Name, size, prefix, fs.ErrNotExist)
	}
	if err == nil && prefix > 0 {
		err = p.d.s.tell(ctx, func() error { return f.Truncate(prefix) })
	}
	if err != nil {
		p.Keep()
		return p.d.failed(ctx, "resume", p.entry.Name, err)
	}
	return nil
}

// ID implements sync.Pending.
func (p *pendingFile) ID() string { return p.id }

// open gives the writes, or an error once the file is closed.
func (p *pendingFile) open(op string) (*writes, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writes == nil {
		return nil, fmt.Errorf("%s %s: %w", op, p.entry.Name, fs.ErrClosed)
	}
	return p.writes, nil
}

// WriteAt implements io.WriterAt. It returns before the server has
// acknowledged the bytes; an error of that comes with the next call.
func (p *pendingFile) WriteAt(b []byte, off int64) (int, error) {
	w, err := p.open("write")
	if err != nil {
		return 0, err
	}
	n, err := w.add(b, off)
	if err != nil {
		return n, p.d.failed(w.ctx, "write", p.entry.Name, err)
	}
	return n, nil
}

// Checkpoint implements sync.Pending. Once the connection is lost, it answers
// with what was made durable before.
func (p *pendingFile) Checkpoint(ctx context.Context, prefix int64) (filesync.Checkpoint, error) {
	w, err := p.open("checkpoint")
	if err != nil {
		return filesync.Checkpoint{}, err
	}
	if err = w.wait(ctx); err == nil {
		err = p.d.s.tell(ctx, w.f.Sync)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.durable = max(p.durable, prefix)
	case !isLost(err) || p.durable == 0:
		return filesync.Checkpoint{}, p.d.failed(ctx, "flush", p.entry.Name, err)
	}
	return filesync.Checkpoint{ID: p.id, Prefix: min(p.durable, prefix)}, nil
}

// Finish implements sync.Pending. The time is set after the file is closed:
// closing one that was written to may set it again.
func (p *pendingFile) Finish(ctx context.Context) (filesync.Entry, error) {
	w, err := p.open("finish")
	if err != nil {
		return filesync.Entry{}, err
	}
	var standing filesync.Entry
	if err = w.wait(ctx); err == nil {
		err = p.closeFile(ctx)
	}
	if err == nil {
		err = p.setTime(ctx)
	}
	if err == nil {
		standing, err = p.d.lstat(ctx, p.name)
	}
	if err == nil && (standing.Size != p.entry.Size || !standing.Mode.IsRegular()) {
		return filesync.Entry{}, fmt.Errorf("finish %s: %d bytes were written, not %d", p.entry.Name, standing.Size, p.entry.Size)
	}
	if err != nil {
		return filesync.Entry{}, p.d.failed(ctx, "finish", p.entry.Name, err)
	}
	e := p.entry
	if !standing.SameVersion(e) {
		e.ModTime = standing.ModTime // a file system that keeps times coarser
	}
	return e, nil
}

// setTime sets the modification time, unless that is not for this user or
// server to do.
func (p *pendingFile) setTime(ctx context.Context) error {
	at := p.d.path(p.name)
	err := p.d.s.tell(ctx, func() error { return p.d.s.share.Chtimes(at, time.Now(), p.entry.ModTime) })
	if errors.Is(err, fs.ErrPermission) || isUnsupported(err) {
		return nil
	}
	return err
}

// closeFile has the handle closed when every write has ended, and waits for
// that as long as ctx stands. It goes on without: a handle that is left open
// would keep the file from being removed.
func (p *pendingFile) closeFile(ctx context.Context) error {
	p.mu.Lock()
	if w := p.writes; w != nil {
		p.writes, p.closed = nil, make(chan struct{})
		p.d.s.all.Go(func() {
			defer close(p.closed)
			<-w.acknowledged()
			p.failed = p.d.s.run(w.f.Close)
		})
	}
	p.mu.Unlock()
	select {
	case <-p.closed:
		return p.failed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Abort implements sync.Pending.
func (p *pendingFile) Abort(ctx context.Context) error {
	if p.published {
		return nil
	}
	p.closeFile(ctx)
	err := p.d.remove(ctx, p.name)
	switch {
	case err == nil:
		return nil
	case isMissing(err):
		return fmt.Errorf("remove %s: %w", p.entry.Name, fs.ErrNotExist)
	}
	return p.d.failed(ctx, "remove", p.entry.Name, err)
}

// Keep implements sync.Pending. What a checkpoint has is durable, so it matters
// to nobody who goes away how long the server takes to close the file; it does
// so by itself for a connection that is lost.
func (p *pendingFile) Keep() error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := p.closeFile(ctx); err != nil && !isLost(err) && ctx.Err() == nil {
		return p.d.failed(ctx, "close", p.entry.Name, err)
	}
	return nil
}
