package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"

	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// pendingFile is a file on its way. It implements sync.Pending.
type pendingFile struct {
	d     *Destination
	entry filesync.Entry
	id    string
	name  string // of the hidden file
	dir   *directory

	opened    int64 // the order in which the files of the destination were opened
	published bool  // it has its name; there is nothing to abort
	proven    bool  // and a proof of that stands under the hidden name

	once sync.Once // for the release of dir
	mu   sync.RWMutex
	file *file // nil once it is closed

	finished bool  // there are no more writes
	kept     bool  // file is counted among those that are kept open
	durable  bool  // it was synced when it was finished
	lost     error // of a sync: nobody knows what the disk has
}

// Begin implements sync.Destination.
func (d *Destination) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	dir, err := d.dirs.acquire(path.Dir(e.Name), resume == nil)
	if err != nil && resume != nil && d.blocked(e.Name) {
		return nil, fmt.Errorf("resume %s: a file stands where its directory was: %w", e.Name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, d.failed("make directory for", e.Name, err)
	}
	p := &pendingFile{d: d, entry: e, dir: dir}
	if resume != nil {
		p.id = resume.ID
		p.name = pending.Name(path.Base(e.Name), p.id)
		p.file, err = dir.reopen(p.name)
	} else {
		p.id = d.owner.NewID()
		p.name = pending.Name(path.Base(e.Name), p.id)
		p.file, err = dir.create(p.name)
		if errors.Is(err, fs.ErrNotExist) && d.dirs.still(dir) != nil {
			// It was taken away while others use it: it is made anew.
			d.dirs.release(dir)
			if p.dir, err = d.dirs.acquire(path.Dir(e.Name), true); err != nil {
				return nil, d.failed("make directory for", e.Name, err)
			}
			p.file, err = p.dir.create(p.name)
		}
	}
	if err != nil {
		defer p.release()
		if resume != nil && dir.proves(p.name) {
			return nil, fmt.Errorf("resume %s: %w", e.Name, filesync.ErrPublished)
		}
		return nil, d.failed("create", e.Name, err)
	}
	p.opened = d.opens.Add(1)
	if resume != nil {
		if err := p.cutTo(resume.Prefix); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// cutTo leaves the prefix of an interrupted copy: what lies behind it was never
// promised to be there. A file that is shorter is not the one that was kept. At
// prefix 0 nothing is cut, as the file may have its name already: where a rename
// is a link and an unlink, a crash between the two leaves one file under both
// names. Finish checks the size.
func (p *pendingFile) cutTo(prefix int64) error {
	size, err := p.file.size()
	if err == nil && size < prefix {
		p.Abort(context.Background())
		return fmt.Errorf("resume %s: %d bytes are there and not %d: %w", p.entry.Name, size, prefix, fs.ErrNotExist)
	}
	if err == nil && prefix > 0 {
		err = p.file.truncate(prefix)
	}
	if err != nil {
		p.Keep()
		return p.d.failed("resume", p.entry.Name, err)
	}
	return nil
}

func (p *pendingFile) release() { p.once.Do(func() { p.d.dirs.release(p.dir) }) }

// ID implements sync.Pending.
func (p *pendingFile) ID() string { return p.id }

// WriteAt implements io.WriterAt.
func (p *pendingFile) WriteAt(b []byte, off int64) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.file == nil || p.finished {
		return 0, fmt.Errorf("write %s: %w", p.entry.Name, fs.ErrClosed)
	}
	n, err := p.file.WriteAt(b, off)
	if err != nil {
		return n, p.d.failed("write", p.entry.Name, err)
	}
	return n, nil
}

// Checkpoint implements sync.Pending.
func (p *pendingFile) Checkpoint(ctx context.Context, prefix int64) (filesync.Checkpoint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil || p.finished {
		return filesync.Checkpoint{}, fmt.Errorf("checkpoint %s: %w", p.entry.Name, fs.ErrClosed)
	}
	if err := p.flush(); err != nil {
		return filesync.Checkpoint{}, p.d.failed("sync", p.entry.Name, err)
	}
	return filesync.Checkpoint{ID: p.id, Prefix: prefix}, nil
}

// Finish implements sync.Pending.
func (p *pendingFile) Finish(ctx context.Context) (filesync.Entry, error) {
	size, err := p.file.size()
	if err == nil && size != p.entry.Size {
		err = fmt.Errorf("%d bytes were written, not %d", size, p.entry.Size)
	}
	if err == nil && !keepsDescriptors {
		err = p.closeFile()
	}
	if err == nil {
		err = p.dir.chtimes(p.name, p.entry.ModTime)
	}
	if err == nil && keepsDescriptors {
		err = p.keepFile()
	}
	if err != nil {
		return filesync.Entry{}, p.d.failed("finish", p.entry.Name, err)
	}
	return p.entry, nil
}

// keepFile keeps the descriptor until Sync. If there are too many, it syncs at once.
func (p *pendingFile) keepFile() error {
	p.mu.Lock()
	p.finished = true
	p.kept = p.d.keepOpen()
	if p.kept {
		p.mu.Unlock()
		return nil
	}
	err := p.flush()
	p.durable = err == nil
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.closeFile()
}

func (p *pendingFile) closeFile() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return nil
	}
	err := p.file.Close()
	p.file = nil
	if p.kept {
		p.kept = false
		p.d.kept.Add(-1)
	}
	return err
}

// Abort implements sync.Pending.
func (p *pendingFile) Abort(ctx context.Context) error {
	if p.published {
		return nil
	}
	defer p.release()
	p.closeFile()
	err := p.dir.removePending(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", p.entry.Name, fs.ErrNotExist)
	}
	if err != nil {
		return p.d.failed("remove", p.entry.Name, err)
	}
	return nil
}

// removePending removes a pending file for good: a power cut must not bring it back once
// the pass is said to have left nothing behind.
func (d *directory) removePending(name string) error {
	if err := d.remove(name); err != nil {
		return err
	}
	return syncHandle(d.handle)
}

// Keep implements sync.Pending.
func (p *pendingFile) Keep() error {
	defer p.release()
	return p.closeFile()
}
