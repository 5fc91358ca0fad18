package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// pendingFile is a file that is being uploaded: under a hidden name or, with Direct,
// under its own. It implements sync.Pending.
type pendingFile struct {
	d     *Destination
	ctx   context.Context // of Begin: a WriteAt that has to wait ends with it
	entry filesync.Entry
	id    string
	path  string

	widening context.CancelFunc // ends the opening of more channels; nil when there is none
	widened  chan struct{}      // closed when that has ended
	progress *blocks            // of a large file
	resumed  bool               // an earlier pass has begun it
	made     bool               // an OPEN of ours made it that would not have overwritten another file

	removed  atomic.Bool // by us, before Abort
	nameFree bool        // its own name was free, so that a file that an OPEN makes is ours

	confirmed bool            // the server told its size when all of it was written
	published *filesync.Entry // what the server tells since the file has its name

	durable  atomic.Int64 // the prefix that was last synced
	mu       sync.Mutex
	changed  chan struct{}   // closed when an answer or a channel has come; nil: nobody waits
	channels []*writeChannel // the first one opened the file
	state    pendingState
	acked    ranges
	err      error // of the first WRITE that failed
	idle     []*writeRequest
}

// pendingState is how far a pending file has come.
type pendingState int

const (
	pendingOpen      pendingState = iota // takes writes
	pendingFinished                      // takes no more writes; with Direct its handle is open
	pendingClosed                        // its handles are closed
	pendingPublished                     // it has its name; there is nothing to abort
)

// writeChannel is a channel on which the file is open.
type writeChannel struct {
	*dataChannel
	load    int // as the pool counts it
	h       wire.Handle
	unacked int // bytes of WRITEs without an answer
	closed  bool
	first   sample // of the bytes that were written through it
	last    sample
}

// writeRequest is one WRITE in flight.
type writeRequest struct {
	call wire.Call
	p    *pendingFile
	to   *writeChannel
	from int64
	n    int
}

// unackedLimit is how many bytes of a file may be unacknowledged on a channel: those of
// a full window and those that the server is writing.
const unackedLimit = window + 512<<10

// Begin implements sync.Destination. A WriteAt ends with ctx.
func (d *Destination) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	if err := d.checkName(e.Name); err != nil {
		return nil, d.failed(ctx, "create", e.Name, err)
	}
	if resume != nil {
		return d.resume(ctx, e, *resume)
	}
	p := d.newPending(ctx, e, d.cfg.Owner.NewID())
	return d.begin(ctx, p, wire.Create|wire.Exclusive)
}

// BeginReplacing implements sync.Replacer. With Direct, the existing file is gone when
// this returns. Without, it is Begin, and Publish replaces.
func (d *Destination) BeginReplacing(ctx context.Context, e, existing filesync.Entry) (filesync.Pending, error) {
	if !d.cfg.Direct {
		return d.Begin(ctx, e, nil)
	}
	stats, err := d.Stat(ctx, []string{e.Name})
	if err != nil {
		return nil, err
	}
	flags := uint32(wire.Truncate)
	switch now := stats[0]; {
	case errors.Is(now.Err, fs.ErrNotExist): // its reader took it meanwhile
		flags = wire.Create | wire.Exclusive
	case now.Err != nil:
		return nil, now.Err
	case !now.Entry.Mode.IsRegular() || !now.Entry.SameVersion(existing):
		return nil, d.failed(ctx, "create", e.Name, filesync.ErrConflict)
	}
	p := d.newPending(ctx, e, d.cfg.Owner.NewID())
	return d.begin(ctx, p, flags)
}

// createError is why a file could not be made. If the root is hidden and no file was
// ever made in it, the error concerns all files, but for a refusal of this one name.
func (d *Destination) createError(err error) error {
	own, ok := errors.AsType[*hintedError](err)
	switch {
	case ok:
		return &hintedError{hideNotExist(err), own.hint}
	case errors.Is(err, filesync.ErrConflict):
		return err
	}
	if isAnswer(err) && !isFull(err) && d.dirs.rootHidden() && !d.limits.hasWritten.Load() {
		return d.dirs.rootUnavailable(err)
	}
	return d.nameHint(hideNotExist(err))
}

func (d *Destination) newPending(ctx context.Context, e filesync.Entry, id string) *pendingFile {
	p := &pendingFile{d: d, ctx: ctx, entry: e, id: id}
	p.path = d.hidden(e.Name, id)
	if d.cfg.Direct {
		p.path = d.path(e.Name)
	}
	return p
}

// begin makes the file, and its directory if that is missing.
func (d *Destination) begin(ctx context.Context, p *pendingFile, flags uint32) (filesync.Pending, error) {
	if !d.cfg.Direct && d.limits.rename.absent() && d.limits.remove.absent() && !d.has(&d.limits.posixRename, wire.PosixRenameExtension) {
		return nil, d.failed(ctx, "create", p.entry.Name, renameError(errWouldStay))
	}
	if d.cfg.Direct {
		d.probeHandles(ctx)
	}
	dir := parentOf(p.entry.Name)
	for again := false; ; again = true {
		if err := d.dirs.ensure(ctx, dir, true); err != nil {
			return nil, d.failed(ctx, "make directory for", p.entry.Name, err)
		}
		err := p.create(ctx, flags)
		if err == nil {
			break
		}
		if again || !errors.Is(err, fs.ErrNotExist) {
			return nil, d.failed(ctx, "create", p.entry.Name, d.createError(err))
		}
		// Another program has removed the directory, or the file that was to be
		// replaced.
		d.dirs.forget(dir)
		if flags == wire.Truncate {
			flags = wire.Create | wire.Exclusive
		}
	}
	p.widen(0)
	return p, nil
}

// errWouldStay means that a file is not begun, as it could not get its name.
var errWouldStay = errors.New("the server has let no file be renamed or removed, so that it would be left under its temporary name")

// main is the channel that the file was opened on first.
func (p *pendingFile) main() *writeChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.channels[0]
}

// currentState is the state.
func (p *pendingFile) currentState() pendingState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// ID implements sync.Pending.
func (p *pendingFile) ID() string { return p.id }

// WriteAt implements io.WriterAt. It returns when the bytes are sent; a later call
// reports what became of them. It waits while too many bytes are unacknowledged.
func (p *pendingFile) WriteAt(b []byte, off int64) (int, error) {
	done := 0
	for {
		to, n, err := p.channelFor(len(b) - done)
		if err != nil {
			return done, p.failedToWrite(p.ctx, "write", err)
		}
		if n == 0 {
			return done, nil
		}
		w := p.write(to)
		w.from, w.n = off+int64(done), n
		if err := to.wire().session.Write(p.ctx, &w.call, to.h, w.from, b[done:done+n]); err != nil {
			p.unsend(to, n)
			return done, p.failed(p.ctx, "write", err)
		}
		if p.progress != nil {
			p.progress.next.Add(int64(n))
			p.noteSamples(to, b[done:done+n], w.from)
		}
		done += n
	}
}

// noteSamples remembers samples of what is written, for a file that may use several
// channels.
func (p *pendingFile) noteSamples(to *writeChannel, b []byte, off int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to.noteSamples(b, off)
}

// channelFor waits for a channel that has room for one more WRITE, of up to n bytes,
// and counts that as sent.
func (p *pendingFile) channelFor(n int) (to *writeChannel, taken int, err error) {
	for {
		p.mu.Lock()
		if p.state != pendingOpen {
			p.mu.Unlock()
			return nil, 0, fs.ErrClosed
		}
		if p.err != nil || n == 0 || len(p.channels) == 0 {
			defer p.mu.Unlock()
			return nil, 0, cmp.Or(p.err, p.checkOpen())
		}
		for _, ch := range p.channels {
			if to == nil || ch.unacked < to.unacked {
				to = ch
			}
		}
		taken = min(n, to.wire().session.MaxWrite())
		if to.unacked == 0 || to.unacked+taken <= unackedLimit {
			to.unacked += taken
			p.mu.Unlock()
			return to, taken, nil
		}
		changed := p.changeSignal()
		p.mu.Unlock()
		select {
		case <-changed:
		case <-p.ctx.Done():
			return nil, 0, context.Cause(p.ctx)
		}
	}
}

// checkOpen is nil if the file is open. The caller holds p.mu, or is the only one.
func (p *pendingFile) checkOpen() error {
	if len(p.channels) == 0 {
		return fmt.Errorf("%w: %w", filesync.ErrBeginAnew, errNoReopen)
	}
	return nil
}

// write gives a writeRequest that is not in flight.
func (p *pendingFile) write(to *writeChannel) *writeRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		w.to = to
		return w
	}
	w := &writeRequest{p: p, to: to}
	w.call.Then = func(*wire.Call) { w.answered() }
	return w
}

// answered notes the answer to a WRITE. The session waits for it.
func (w *writeRequest) answered() {
	p := w.p
	p.mu.Lock()
	if w.call.Err == nil {
		p.acked.add(w.from, w.from+int64(w.n))
		if p.progress != nil {
			p.progress.done.Add(int64(w.n))
		}
	} else if p.err == nil {
		p.err = w.call.Err
	}
	w.to.unacked -= w.n
	p.idle = append(p.idle, w)
	p.signal()
	p.mu.Unlock()
}

// unsend takes back n bytes that were counted as sent on a channel.
func (p *pendingFile) unsend(to *writeChannel, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to.unacked -= n
	p.signal()
}

// signal wakes all that wait for a change. The caller holds p.mu.
func (p *pendingFile) signal() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// changeSignal gives a channel that is closed at the next change. The caller holds
// p.mu.
func (p *pendingFile) changeSignal() chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// unacked is how many bytes are unacknowledged. The caller holds p.mu.
func (p *pendingFile) unacked() (n int) {
	for _, ch := range p.channels {
		n += ch.unacked
	}
	return n
}

// drain waits for the answers to all WRITEs, and gives the first error.
func (p *pendingFile) drain(ctx context.Context) error {
	for {
		p.mu.Lock()
		unacked, changed, err := p.unacked(), p.changeSignal(), p.err
		p.mu.Unlock()
		if unacked == 0 {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Checkpoint implements sync.Pending. It waits for the answers to what was written. On
// a server with fsync@openssh.com it fails when the bytes cannot be synced; once the
// connection is lost, it gives the prefix that was synced before. On any other server
// it relies on the acknowledgements, also once the connection is lost.
func (p *pendingFile) Checkpoint(ctx context.Context, prefix int64) (filesync.Checkpoint, error) {
	if p.currentState() != pendingOpen {
		return filesync.Checkpoint{}, fmt.Errorf("checkpoint %s: %w", shown(p.entry.Name), fs.ErrClosed)
	}
	if err := p.checkOpen(); err != nil {
		return filesync.Checkpoint{}, p.failed(ctx, "checkpoint", err)
	}
	acked := p.acknowledged(ctx, prefix)
	if p.d.has(&p.d.limits.fsync, wire.FsyncExtension) {
		// The sync covers the bytes of all channels that were acknowledged before.
		main := p.main()
		_, err := main.wire().ask(ctx, func(c *wire.Call) { main.wire().session.Fsync(c, main.h) })
		switch durable := p.durable.Load(); {
		case p.d.limits.fsyncRefused(err):
		case err != nil && durable > 0 && ctx.Err() == nil:
			return filesync.Checkpoint{ID: p.id, Prefix: min(durable, prefix)}, nil
		case err != nil:
			return filesync.Checkpoint{}, p.failed(ctx, "sync", err)
		}
		p.durable.Store(max(acked, p.durable.Load()))
	}
	return filesync.Checkpoint{ID: p.id, Prefix: acked}, nil
}

// acknowledged waits until the server has acknowledged the prefix, or nothing is in
// flight any more. It gives how many bytes of the prefix the server has.
func (p *pendingFile) acknowledged(ctx context.Context, prefix int64) int64 {
	for {
		p.mu.Lock()
		acked, unacked, changed := p.acked.prefix(), p.unacked(), p.changeSignal()
		if p.err != nil {
			unacked = 0
		}
		p.mu.Unlock()
		if acked >= prefix || unacked == 0 {
			return min(acked, prefix)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return acked
		}
	}
}
