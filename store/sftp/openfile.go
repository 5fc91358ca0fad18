package sftp

import (
	"context"
	"errors"
	"io"
	"io/fs"

	filesync "sftpconnector/sync"
)

// Open implements sync.Destination. It does not follow a link. Reads end with ctx.
func (d *Destination) Open(ctx context.Context, name string) (filesync.File, error) {
	stats, err := d.Stat(ctx, []string{name})
	if err == nil {
		err = stats[0].Err
	}
	if err != nil {
		return nil, err
	}
	if !stats[0].Entry.Mode.IsRegular() {
		return nil, d.failed(ctx, "open", name, errNoFile)
	}
	ch := d.pool.acquire(weight(stats[0].Entry.Size))
	f, err := d.open(ctx, ch, d.path(name))
	if err != nil {
		d.pool.release(ch, weight(stats[0].Entry.Size))
		return nil, d.failed(ctx, "open", name, err)
	}
	return &openFile{d: d, ctx: ctx, name: name, channel: ch, load: weight(stats[0].Entry.Size), file: f.(*wireFile)}, nil
}

// openFile is a file of a Destination that is open for reading.
type openFile struct {
	d       *Destination
	ctx     context.Context
	name    string
	channel *dataChannel
	load    int
	file    *wireFile
}

// ReadAt implements io.ReaderAt.
func (f *openFile) ReadAt(b []byte, off int64) (int, error) {
	into := &sliceWriter{b: b, off: off}
	err := f.file.copy(f.ctx, newBlocks(off, off+int64(len(b))), into)
	if errors.Is(err, filesync.ErrChanged) { // which is what copy makes of the end of a file
		return f.short(b, off)
	}
	if err != nil {
		return 0, f.d.failed(f.ctx, "read", f.name, err)
	}
	return len(b), nil
}

// short reads what there is before the end of the file.
func (f *openFile) short(b []byte, off int64) (int, error) {
	n, err := f.file.readFull(f.ctx, b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.d.failed(f.ctx, "read", f.name, err)
	}
	return n, err
}

// Close implements io.Closer.
func (f *openFile) Close() error {
	if f.file == nil {
		return fs.ErrClosed
	}
	f.file.close(f.d.handles.release)
	f.d.pool.release(f.channel, f.load)
	f.file = nil
	return nil
}

// sliceWriter writes into b, whose first byte is at off in the file.
type sliceWriter struct {
	b   []byte
	off int64
}

func (p *sliceWriter) WriteAt(b []byte, off int64) (int, error) { return copy(p.b[off-p.off:], b), nil }
