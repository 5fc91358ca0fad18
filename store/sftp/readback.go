package sftp

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// A file that was written through several handles is read back in part: the first and
// the last bytes that went through each of them. A server that drops or mixes what
// comes through several handles mostly shows that there.

// sampleSize bounds the bytes of a sample.
const sampleSize = 16 << 10

// sample is the checksum of a part of a file as it was written.
type sample struct {
	off int64
	n   int
	sum uint64
}

var sampleSeed = maphash.MakeSeed()

// sampleOf makes a sample of b, which was written at off: of its beginning, or of its
// end.
func sampleOf(b []byte, off int64, end bool) sample {
	if skip := len(b) - sampleSize; end && skip > 0 {
		b, off = b[skip:], off+int64(skip)
	}
	b = b[:min(len(b), sampleSize)]
	return sample{off, len(b), maphash.Bytes(sampleSeed, b)}
}

// noteSamples remembers samples of what is written on a channel.
func (ch *writeChannel) noteSamples(b []byte, off int64) {
	if ch.first.n == 0 {
		ch.first = sampleOf(b, off, false)
	}
	ch.last = sampleOf(b, off, true)
}

// verify reads samples of a file back that was written through several handles. If the
// server does not let the file be read now, nothing can be checked. If it has other
// bytes, files are not written to this server in this way any more, and the copy begins
// anew.
func (p *pendingFile) verify(ctx context.Context) error {
	var samples []sample
	for _, ch := range p.channels {
		samples = append(samples, ch.first, ch.last)
	}
	err := p.d.readBack(ctx, p.path, func(f *wireFile) error { return f.compare(ctx, samples) })
	switch {
	case errors.Is(err, errContentsDiffer):
		p.d.limits.parallelWrites.state.Store(featureAbsent)
		return fmt.Errorf("written through %d handles: %w (%w)", len(p.channels), filesync.ErrBeginAnew, err)
	case isAnswer(err), errors.Is(err, errNoHandle):
		return nil
	}
	return err
}

// readBack opens a file for reading and passes it to do.
func (d *Destination) readBack(ctx context.Context, path string, do func(f *wireFile) error) error {
	ch := d.pool.acquire(1)
	defer d.pool.release(ch, 1)
	return d.readBackOn(ctx, ch, path, do)
}

// readBackOn is readBack on a channel.
func (d *Destination) readBackOn(ctx context.Context, ch *dataChannel, path string, do func(f *wireFile) error) error {
	if !d.handles.tryAcquire() {
		return errNoHandle
	}
	f, err := ch.open(ctx, path)
	if err != nil {
		d.handles.cancel()
		return err
	}
	d.handles.fileOpened()
	defer f.close(d.handles.release)
	return do(f.(*wireFile))
}

// compare reads samples, all at once.
func (f *wireFile) compare(ctx context.Context, samples []sample) error {
	calls := make([]*wire.Call, len(samples))
	for i, s := range samples {
		calls[i] = &wire.Call{Done: make(chan *wire.Call, 1), Buf: make([]byte, s.n)}
		if s.n > 0 {
			f.session.Read(calls[i], f.h, s.off, s.n)
		}
	}
	for i, s := range samples {
		if s.n == 0 {
			continue
		}
		n, err := 0, calls[i].Wait(ctx)
		if err == nil {
			n = calls[i].N
		}
		if err == nil && n > 0 && n < s.n {
			var more int
			more, err = f.readFull(ctx, calls[i].Buf[n:], s.off+int64(n))
			n += more
		}
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case n < s.n, maphash.Bytes(sampleSeed, calls[i].Buf) != s.sum:
			return fmt.Errorf("%w at %d", errContentsDiffer, s.off)
		}
	}
	return nil
}

// readFull reads b at off. The error is io.EOF where the file ends before.
func (f *wireFile) readFull(ctx context.Context, b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		c := &wire.Call{Done: make(chan *wire.Call, 1), Buf: make([]byte, min(len(b)-n, f.readSize()))}
		f.session.Read(c, f.h, off+int64(n), len(c.Buf))
		err := c.Wait(ctx)
		if err == nil && c.N == 0 {
			err = io.EOF
		}
		if err != nil {
			return n, err
		}
		n += copy(b[n:], c.Buf[:c.N])
	}
	return n, nil
}
