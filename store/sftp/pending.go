package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// pendingFile is a file on its way up: under a hidden name or, with Direct,
// under its own. It implements sync.Pending.
type pendingFile struct {
	d     *Destination
	ctx   context.Context // of Begin: a WriteAt that has to wait ends with it
	entry filesync.Entry
	id    string
	path  string

	widening context.CancelFunc // ends what opens more lanes; nil when nothing does
	widened  chan struct{}      // closed when that has ended
	progress *blocks            // of a large file
	resumed  bool               // it was begun by an earlier pass
	made     bool               // it was made by an OPEN of ours that would not have overwritten another

	nameFree bool // nothing was seen under its own name, so that what an OPEN makes is ours

	confirmed bool            // the server told its size when it was written whole
	published *filesync.Entry // what the server says since it has its name

	durable  atomic.Int64 // the prefix that was flushed last
	mu       sync.Mutex
	changed  chan struct{}   // of those who wait for an answer or a lane
	channels []*writeChannel // the first is the one that opened the file
	state    pendingState
	acked    ranges
	err      error // of the first WRITE that failed
	idle     []*writeRequest
}

// pendingState is how far a pending file has come.
type pendingState int

const (
	pendingOpen      pendingState = iota // takes writes
	pendingFinished                      // takes no more; with Direct its handle is open
	pendingClosed                        // its handles are given back
	pendingPublished                     // it has its name; there is nothing to abort
)

// writing is a lane on which the file is open.
type writeChannel struct {
	*dataChannel
	load    int // that the pool counts
	h       wire.Handle
	unacked int // bytes of WRITEs without an answer
	closed  bool
	first   sample // of what was written through it
	last    sample
}

// write is one WRITE under way.
type writeRequest struct {
	call wire.Call
	p    *pendingFile
	to   *writeChannel
	from int64
	n    int
}

// unackedLimit is how many bytes of a file may be without an answer on a
// channel: those of a full window and those that the server is at.
const unackedLimit = window + 512<<10

// Begin implements sync.Destination. WriteAt waits no longer than ctx stands.
func (d *Destination) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	if err := d.checkName(e.Name); err != nil {
		return nil, d.failed(ctx, "create", e.Name, err)
	}
	if resume != nil {
		return d.resume(ctx, e, *resume)
	}
	p := d.newPending(ctx, e, pending.NewID(d.cfg.Owner))
	return d.begin(ctx, p, wire.Create|wire.Exclusive)
}

// BeginReplacing implements sync.Replacer: with Direct, the standing file is
// gone as soon as this returns. Without, it is Begin, as Publish replaces.
func (d *Destination) BeginReplacing(ctx context.Context, e, standing filesync.Entry) (filesync.Pending, error) {
	if !d.cfg.Direct {
		return d.Begin(ctx, e, nil)
	}
	looks, err := d.Stat(ctx, []string{e.Name})
	if err != nil {
		return nil, err
	}
	flags := uint32(wire.Truncate)
	switch now := looks[0]; {
	case errors.Is(now.Err, fs.ErrNotExist): // its reader took it meanwhile
		flags = wire.Create | wire.Exclusive
	case now.Err != nil:
		return nil, now.Err
	case !now.Entry.Mode.IsRegular() || !now.Entry.SameVersion(standing):
		return nil, d.failed(ctx, "create", e.Name, filesync.ErrConflict)
	}
	p := d.newPending(ctx, e, pending.NewID(d.cfg.Owner))
	return d.begin(ctx, p, flags)
}

// refusedCreate is why a file could not be made. Where nothing is seen of the root,
// and no file was ever made there, all files are concerned, but for a refusal that is
// of the one name.
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

// begin makes the file, and its directory where that is missing.
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
		// Somebody has taken the directory away, or the file that was to be replaced.
		d.dirs.forget(dir)
		if flags == wire.Truncate {
			flags = wire.Create | wire.Exclusive
		}
	}
	p.widen(0)
	return p, nil
}

// errLeft is a file that is not begun.
var errWouldStay = errors.New("the server has let no file be renamed or removed, so that it would be left under its temporary name")

// main is the lane on which the file was opened first.
func (p *pendingFile) main() *writeChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.channels[0]
}

// now is the state.
func (p *pendingFile) currentState() pendingState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// ID implements sync.Pending.
func (p *pendingFile) ID() string { return p.id }

// WriteAt implements io.WriterAt. It returns when the bytes are on their way;
// what becomes of them is told by a later call. It waits while too many of them
// are without an answer.
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

// note remembers samples of what is written to a file that several lanes may share.
func (p *pendingFile) noteSamples(to *writeChannel, b []byte, off int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to.noteSamples(b, off)
}

// laneFor waits for a lane that takes one more WRITE, of up to n bytes, and counts
// that as sent.
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

// opened is nil if the file is open. The caller holds p.mu, or is the only one.
func (p *pendingFile) checkOpen() error {
	if len(p.channels) == 0 {
		return fmt.Errorf("%w: %w", filesync.ErrBeginAnew, errNoReopen)
	}
	return nil
}

// write gives a write that is not under way.
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

// answered notes what became of a WRITE. The session waits for it.
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

// unsend takes back n bytes that were counted as sent to a lane.
func (p *pendingFile) unsend(to *writeChannel, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to.unacked -= n
	p.signal()
}

// signal wakes those who wait. The caller holds p.mu.
func (p *pendingFile) signal() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// waiter gives a channel that is closed when something has changed. The caller
// holds p.mu.
func (p *pendingFile) changeSignal() chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// unacked is how many bytes are without an answer. The caller holds p.mu.
func (p *pendingFile) unacked() (n int) {
	for _, ch := range p.channels {
		n += ch.unacked
	}
	return n
}

// drain waits until every WRITE is answered, and gives the error of the first
// that failed.
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

// Checkpoint implements sync.Pending. It waits for the answers to what was
// written. On a server with fsync@openssh.com it fails when the bytes cannot be
// made durable, and once the connection is gone answers with those that were; on
// any other the server's word that it has them must do, which holds then, too.
func (p *pendingFile) Checkpoint(ctx context.Context, prefix int64) (filesync.Checkpoint, error) {
	if p.currentState() != pendingOpen {
		return filesync.Checkpoint{}, fmt.Errorf("checkpoint %s: %w", shown(p.entry.Name), fs.ErrClosed)
	}
	if err := p.checkOpen(); err != nil {
		return filesync.Checkpoint{}, p.failed(ctx, "checkpoint", err)
	}
	there := p.acknowledged(ctx, prefix)
	if p.d.has(&p.d.limits.fsync, wire.FsyncExtension) {
		// On whichever channel they came: what was acknowledged before is part of it.
		main := p.main()
		_, err := main.wire().ask(ctx, func(c *wire.Call) { main.wire().session.Fsync(c, main.h) })
		switch durable := p.durable.Load(); {
		case p.d.limits.fsyncRefused(err):
		case err != nil && durable > 0 && ctx.Err() == nil:
			return filesync.Checkpoint{ID: p.id, Prefix: min(durable, prefix)}, nil
		case err != nil:
			return filesync.Checkpoint{}, p.failed(ctx, "sync", err)
		}
		p.durable.Store(max(there, p.durable.Load()))
	}
	return filesync.Checkpoint{ID: p.id, Prefix: there}, nil
}

// acknowledged waits until the server has acknowledged that many bytes from the
// start on, or nothing is on its way any more, and gives how many of them it has.
func (p *pendingFile) acknowledged(ctx context.Context, prefix int64) int64 {
	for {
		p.mu.Lock()
		there, unacked, changed := p.acked.prefix(), p.unacked(), p.changeSignal()
		if p.err != nil {
			unacked = 0
		}
		p.mu.Unlock()
		if there >= prefix || unacked == 0 {
			return min(there, prefix)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return there
		}
	}
}
