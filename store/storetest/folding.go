package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"

	filesync "sftpconnector/sync"
)

// Folding is a destination in memory where names that differ only in case are
// one file, as on a share. Its methods may be called concurrently.
type Folding struct {
	// Stats counts the calls of Stat, Looked the names that they asked for.
	Stats, Looked atomic.Int64

	mu    sync.Mutex
	files map[string]foldingFile // by folded name
	begun int
}

// foldingFile is a standing file, under the name that it got first.
type foldingFile struct {
	entry filesync.Entry
	data  string
}

var _ filesync.Destination = (*Folding)(nil)

// NewFolding returns an empty destination.
func NewFolding() *Folding { return &Folding{files: map[string]foldingFile{}} }

// Put makes a file that is not ours.
func (d *Folding) Put(e filesync.Entry, data string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.Size = int64(len(data))
	d.files[filesync.FoldName(e.Name)] = foldingFile{e, data}
}

// Remove removes a file, as its reader may.
func (d *Folding) Remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, strings.ToLower(name))
}

// Files gives the contents of all files by the names that they stand under.
func (d *Folding) Files() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]string{}
	for _, f := range d.files {
		all[f.entry.Name] = f.data
	}
	return all
}

// FoldsCase implements sync.Destination.
func (d *Folding) FoldsCase(bool) bool { return true }

// Stat implements sync.Destination.
func (d *Folding) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	d.Stats.Add(1)
	d.Looked.Add(int64(len(names)))
	d.mu.Lock()
	defer d.mu.Unlock()
	stats := make([]filesync.StatResult, len(names))
	for i, name := range names {
		f, ok := d.files[filesync.FoldName(name)]
		if !ok {
			stats[i].Err = fs.ErrNotExist
			continue
		}
		stats[i].Entry = f.entry
		stats[i].Entry.Name = name
	}
	return stats, ctx.Err()
}

// Open implements sync.Destination.
func (d *Folding) Open(_ context.Context, name string) (filesync.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.files[filesync.FoldName(name)]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return foldingReader{strings.NewReader(f.data)}, nil
}

type foldingReader struct{ io.ReaderAt }

func (foldingReader) Close() error { return nil }

// Begin implements sync.Destination. Nothing is kept of an interrupted copy.
func (d *Folding) Begin(_ context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	if resume != nil {
		return nil, fs.ErrNotExist
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun++
	return &foldingPending{entry: e, id: fmt.Sprint(d.begun), data: make([]byte, e.Size)}, nil
}

// Sync implements sync.Destination.
func (d *Folding) Sync(_ context.Context, batch []filesync.Pending) []error {
	return make([]error, len(batch))
}

// Publish implements sync.Destination.
func (d *Folding) Publish(_ context.Context, batch []filesync.Publication) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs := make([]error, len(batch))
	for i, one := range batch {
		p := one.Pending.(*foldingPending)
		key := filesync.FoldName(p.entry.Name)
		e := p.entry
		if f, stands := d.files[key]; stands {
			if one.Replaces == nil || !f.entry.SameVersion(*one.Replaces) {
				errs[i] = filesync.ErrConflict
				continue
			}
			e.Name = f.entry.Name
		}
		d.files[key] = foldingFile{e, string(p.data)}
	}
	return errs
}

// Persist implements sync.Destination.
func (d *Folding) Persist(_ context.Context, names []string) []error {
	return make([]error, len(names))
}

// Sweep implements sync.Destination.
func (d *Folding) Sweep(context.Context, func(id string) bool) error { return nil }

// Probe implements sync.Destination.
func (d *Folding) Probe(context.Context) error { return nil }

// Close implements sync.Destination.
func (d *Folding) Close() error { return nil }

// foldingPending is a file on its way. It implements sync.Pending.
type foldingPending struct {
	entry filesync.Entry
	id    string
	data  []byte
}

// ID implements sync.Pending.
func (p *foldingPending) ID() string { return p.id }

// WriteAt implements io.WriterAt.
func (p *foldingPending) WriteAt(b []byte, off int64) (int, error) { return copy(p.data[off:], b), nil }

// Checkpoint implements sync.Pending.
func (p *foldingPending) Checkpoint(context.Context, int64) (filesync.Checkpoint, error) {
	return filesync.Checkpoint{}, errors.ErrUnsupported
}

// Finish implements sync.Pending.
func (p *foldingPending) Finish(context.Context) (filesync.Entry, error) { return p.entry, nil }

// Abort implements sync.Pending.
func (p *foldingPending) Abort(context.Context) error { return nil }

// Keep implements sync.Pending.
func (p *foldingPending) Keep() error { return errors.ErrUnsupported }
