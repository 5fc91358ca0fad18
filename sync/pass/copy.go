package pass

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	filesync "sftpconnector/sync"
)

// How an interrupted copy is kept. Below keepFrom it is cheaper to read the
// file again; checkpointStep bounds what a kill costs of a large one, and how
// much the last fsync has to write.
const (
	keepFrom       = 8 << 20
	checkpointStep = 256 << 20
	maxMisfits     = 64              // files that find no room, until the pass gives up
	lastWords      = 5 * time.Second // for what is done after a pass was cancelled
	maxBegins      = 5               // of one copy that has to begin anew
)

// job is one file to be copied.
type job struct {
	e        filesync.Entry
	target   string
	key      string
	claim    string
	replaces *filesync.Entry
}

// finished is a file that is copied whole and waits for its name.
type finished struct {
	job
	pending  filesync.Pending
	delivery filesync.Delivery
	started  time.Time
	foretold int64 // the intent of a file that is written in place; 0: none
	room     *reservation
}

// copyAll is one of the copiers.
func (p *Pass) copyAll(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case j, ok := <-p.jobs:
			if !ok {
				return nil
			}
			if err := p.copyOne(ctx, j); err != nil {
				return err
			}
		}
	}
}

// copyOne copies a file into a pending one and hands that to the committer.
// Its error ends the pass; what is the file's own is recorded.
func (p *Pass) copyOne(ctx context.Context, j job) error {
	defer p.elsewhere.ended()
	if j.e.Size >= largeFile {
		select {
		case p.large <- struct{}{}:
			defer func() { <-p.large }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	mine, done := p.claims.start(j.claim, p)
	if !mine { // a request has taken it
		p.notBegun(j)
		p.elsewhere.add(j.e, done)
		return nil
	}
	return p.copyClaimed(ctx, j)
}

// copyClaimed is copyOne of a file whose name is this pass's.
func (p *Pass) copyClaimed(ctx context.Context, j job) error {
	p.at("copying " + j.e.Name)
	f := &finished{job: j, started: time.Now()}
	f.delivery = filesync.Delivery{Source: j.e, Target: j.e, Key: j.key, Pass: p.o.ID, After: p.owes(false)}
	f.delivery.Target.Name = j.target
	if j.e.ModTime.IsZero() {
		f.delivery.Target.ModTime = f.started.Truncate(time.Second)
	}
	leave := p.aside.enter()
	w, err := p.write(ctx, f)
	for begins := 1; errors.Is(err, filesync.ErrBeginAnew) && begins < maxBegins && ctx.Err() == nil; begins++ {
		p.o.Log.Info("copy begins anew", "file", j.e.Name, "reason", err)
		w, err = p.write(ctx, f)
	}
	beside := leave()
	if errors.Is(err, filesync.ErrFull) && beside && f.foretold == 0 && p.aside.put(j.e, misfitsOf(err)) {
		p.notBegun(j)
		return nil
	}
	if err == nil {
		select {
		case p.done <- f:
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
			p.giveUp(ctx, f, w, err)
		}
	}
	p.claims.release(j.claim, j.e.Name, p)
	if errors.Is(err, filesync.ErrFull) && !isRefusal(err) {
		p.shared.room.misfit(f.room)
	}
	return p.copyFailed(ctx, j.e, err)
}

// write writes a file into a pending one, to its end, if there is room for it.
// What failed is given up.
func (p *Pass) write(ctx context.Context, f *finished) (w *extents, err error) {
	f.room, err = p.reserve(ctx, f)
	if err != nil {
		return nil, err
	}
	defer func() { p.shared.room.end(f.room, err) }()
	w, err = p.begin(ctx, f)
	if err != nil {
		return nil, err
	}
	stop := p.watchRoom(ctx, f.room, w)
	confirmed, err := p.fill(ctx, f.e, w)
	stop()
	var will filesync.Entry // stand
	if err == nil {
		will, err = f.pending.Finish(ctx)
	}
	if err != nil {
		p.giveUp(ctx, f, w, err)
		return w, err
	}
	f.delivery.Target = will
	if !confirmed {
		f.delivery.After = filesync.AfterUnverified
	}
	return w, nil
}

// begin opens the pending file: that of an interrupted copy of the same
// version if there is one.
func (p *Pass) begin(ctx context.Context, f *finished) (*extents, error) {
	err := p.foretell(ctx, f)
	if err != nil {
		return nil, err
	}
	if last, ok := p.resumes.find(f.e); ok {
		f.pending, err = p.dst.Begin(ctx, f.delivery.Target, &last)
		if err == nil {
			p.o.Log.Info("copy goes on", "file", f.e.Name, "from", last.Prefix)
			f.delivery.PendingID = f.pending.ID()
			return newExtents(p, f, last.Prefix), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if r, ok := p.dst.(filesync.Replacer); ok && f.replaces != nil {
		f.pending, err = r.BeginReplacing(ctx, f.delivery.Target, *f.replaces)
	} else {
		f.pending, err = p.dst.Begin(ctx, f.delivery.Target, nil)
	}
	if err != nil {
		if !unavailable(err) && ctx.Err() == nil && !p.maybeBegun(ctx, f) {
			p.settledInPlace(ctx, f)
		}
		return nil, err
	}
	f.delivery.PendingID = f.pending.ID()
	if err = p.confirm(ctx, f); err != nil {
		return nil, err
	}
	return newExtents(p, f, 0), nil
}

// fill reads the file until every byte of it is written, over more than one
// connection if need be, and verifies that it is still the listed version. It is not
// confirmed where the source does not tell, which is no failure.
func (p *Pass) fill(ctx context.Context, e filesync.Entry, w *extents) (confirmed bool, err error) {
	var to io.WriterAt = w
	if limiter := p.shared.limiter; limiter != nil {
		to = &limited{WriterAt: w, ctx: ctx, limiter: limiter}
	}
	stop := w.checkpoints(ctx)
	defer stop()
	pieces := w.restart() > 0 // that were read through more than one handle
	for {
		got, err := p.src.Fetch(ctx, e, w.restart(), to)
		switch {
		case errors.Is(err, errReopened):
			pieces = pieces || w.restart() > 0
			continue
		case errors.Is(err, filesync.ErrChanged):
			return false, p.explain(ctx, e, err)
		case err != nil:
			return false, err
		case got != (filesync.Entry{}) && !got.SameVersion(e):
			return false, fmt.Errorf("%w: it was %s, and is %s", filesync.ErrChanged, describe(e), describe(got))
		case w.whole() != e.Size:
			return false, fmt.Errorf("only %d of %d bytes arrived", w.whole(), e.Size)
		case got == (filesync.Entry{}) && pieces:
			return false, fmt.Errorf("%w: it was read in pieces, and the server does not tell whether they are of one version", filesync.ErrBeginAnew)
		}
		p.src.arrived()
		return got != (filesync.Entry{}), nil
	}
}

// describe tells the size and time of an entry.
func describe(e filesync.Entry) string {
	if e.ModTime.IsZero() {
		return fmt.Sprintf("%d bytes", e.Size)
	}
	return fmt.Sprintf("%d bytes of %s", e.Size, e.ModTime.UTC().Format(time.RFC3339))
}

// explain tells a file that became shorter from a server that ends one early:
// the first waits, the second is a failure. A discerning source says that it is
// another content, whatever its size and time.
func (p *Pass) explain(ctx context.Context, e filesync.Entry, err error) error {
	if p.o.Discerning {
		return err
	}
	looks, serr := p.src.Relist(ctx, []filesync.Entry{e})
	if serr == nil && looks[0].Err == nil && looks[0].Entry.SameVersion(e) {
		return fmt.Errorf("the server still says that it has %d bytes (%v)", e.Size, err)
	}
	return err
}

// giveUp removes the pending file, or keeps it for the next pass if it is not
// the file that is at fault and much of it is there.
func (p *Pass) giveUp(ctx context.Context, f *finished, w *extents, err error) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	// Under its own name, a part is not for its receiver to see.
	visible := p.o.InPlace && !errors.Is(err, filesync.ErrDisconnected)
	if prefix := w.whole(); prefix >= keepFrom && !visible && !errors.Is(err, filesync.ErrFull) && !errors.Is(err, filesync.ErrBeginAnew) && (ctx.Err() != nil || unavailable(err)) {
		c, cerr := f.pending.Checkpoint(late, prefix)
		if cerr == nil {
			cerr = p.ledger.SaveCheckpoint(late, f.e.Name, f.e, c)
		}
		if cerr == nil && f.pending.Keep() == nil {
			p.settledInPlace(late, f)
			return
		}
	}
	w.discard()
	aerr := f.pending.Abort(late)
	if aerr != nil {
		p.littered.Store(true)
		p.o.Log.Warn("pending file not removed", "file", f.e.Name, "error", aerr)
	} else {
		p.settledInPlace(late, f)
	}
	if w.checkpointed() && aerr == nil {
		if derr := p.ledger.DropCheckpoint(late, f.e.Name, f.pending.ID()); derr != nil {
			p.o.Log.Warn("checkpoint not dropped", "file", f.e.Name, "error", derr)
		}
	}
}

// copyFailed sorts an error: of the pass, of a file that changed, of the file.
func (p *Pass) copyFailed(ctx context.Context, e filesync.Entry, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, filesync.ErrChanged):
		return p.discard(ctx, e, err)
	case errors.Is(err, filesync.ErrConflict):
		return p.clash(ctx, e, err)
	case errors.Is(err, filesync.ErrFull) && p.full(e, err):
		return nil
	case unavailable(err):
		return fmt.Errorf("copy %s: %w", e.Name, err)
	}
	p.fail(ctx, e, err)
	return nil
}

// full notes that a file does not fit at the destination, and reports whether
// others are still to be tried. It is not a try of the file.
func (p *Pass) full(e filesync.Entry, err error) bool {
	p.failed.Add(1)
	p.list(e.Name, err.Error(), hint(err))
	p.decide(e, filesync.StateFailed, err.Error())
	p.noRoom.CompareAndSwap(nil, &err)
	return isRefusal(err) || p.misfits.Add(1) <= maxMisfits
}

// extents passes writes on to a pending file and knows which of its bytes are
// there. A source may write concurrently and in any order, each byte once
// between two restarts.
type extents struct {
	p       *Pass
	pending filesync.Pending
	source  filesync.Entry

	mu     sync.Mutex
	prefix int64           // [0, prefix) is written
	ahead  map[int64]int64 // written ranges behind a gap: start → end
	mark   chan int64      // asks for a checkpoint
	marked int64
	saved  bool // the ledger has a checkpoint

	there atomic.Int64 // bytes that are written
}

func newExtents(p *Pass, f *finished, from int64) *extents {
	p.bytesWritten.Add(from)
	x := &extents{p: p, pending: f.pending, source: f.e, prefix: from, marked: from, saved: from > 0, mark: make(chan int64, 1)}
	x.there.Store(from)
	return x
}

// WriteAt refuses what lies outside the file's listed size.
func (x *extents) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || off > x.source.Size-int64(len(b)) {
		return 0, fmt.Errorf("%d bytes at %d: %w", len(b), off, filesync.ErrChanged)
	}
	n, err := x.pending.WriteAt(b, off)
	if n > 0 {
		x.note(off, off+int64(n))
	}
	return n, err
}

func (x *extents) note(start, end int64) {
	x.p.bytesWritten.Add(end - start)
	x.there.Add(end - start)
	x.mu.Lock()
	defer x.mu.Unlock()
	if start != x.prefix {
		if x.ahead == nil {
			x.ahead = map[int64]int64{}
		}
		x.ahead[start] = end
		return
	}
	for ok := true; ok; end, ok = x.ahead[x.prefix] {
		delete(x.ahead, x.prefix)
		x.prefix = end
	}
	if x.prefix-x.marked >= x.p.o.CheckpointStep {
		x.marked = x.prefix
		select {
		case x.mark <- x.prefix:
		default:
		}
	}
}

// restart forgets what lies behind a gap and says where to go on.
func (x *extents) restart() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	for start, end := range x.ahead {
		x.p.bytesWritten.Add(start - end)
		x.there.Add(start - end)
	}
	clear(x.ahead)
	return x.prefix
}

// discard takes the bytes out of the progress again.
func (x *extents) discard() { x.p.bytesWritten.Add(-x.restart()) }

// whole is the length of the prefix that is there.
func (x *extents) whole() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.prefix
}

func (x *extents) checkpointed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.saved
}

// checkpoints saves checkpoints of a large file as it grows, so that a kill
// does not cost all of it.
func (x *extents) checkpoints(ctx context.Context) (stop func()) {
	if x.source.Size < 2*x.p.o.CheckpointStep {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case prefix := <-x.mark:
				c, err := x.pending.Checkpoint(ctx, prefix)
				if err == nil {
					err = x.p.ledger.SaveCheckpoint(ctx, x.source.Name, x.source, c)
				}
				if err != nil {
					x.p.o.Log.Warn("checkpoint not saved", "file", x.source.Name, "error", err)
					continue
				}
				x.mu.Lock()
				x.saved = true
				x.mu.Unlock()
			}
		}
	}()
	return func() { cancel(); <-ended }
}
