package sftp

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	filesync "sftpconnector/sync"
)

// What a server tells of a file may change when it is closed and when it is renamed:
// some set its time then, some know its size only later. A later look is compared
// with what is told after both.

// firstPause and longestPause are between looks at a file whose size is to show.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// lookAfter looks at files that have their names, as the server says. One whose name is
// missing may be at its receiver's by now; if it is still pending, it was never renamed.
func (d *Destination) checkPublished(ctx context.Context, files []*publication) {
	var late errgroup.Group
	late.SetLimit(maxInFlight)
	var ask, doubtful []*publication
	size := func(f *publication) {
		if f.notePublished(*f.found); f.found.Size >= 0 && f.found.Size != f.entry.Size && (f.found.Size < f.entry.Size || !f.confirmed) {
			late.Go(func() error {
				f.awaitSize(ctx)
				return nil
			})
		}
	}
	check := func(f *publication) {
		if f.maybeNotReplaced() {
			doubtful = append(doubtful, f)
		} else {
			size(f)
		}
	}
	for _, f := range files {
		switch {
		case !f.done:
		case f.found != nil && f.found.Mode.IsRegular():
			check(f)
		default:
			f.found = nil
			ask = append(ask, f)
		}
	}
	if len(ask) > 0 && d.conn.Err() == nil && ctx.Err() == nil {
		looks, err := d.statAll(ctx, namesOf(ask))
		for i, f := range ask {
			switch {
			case err != nil: // it was renamed, by the server's word
			case looks[i].Err == nil && looks[i].Entry.Mode.IsRegular():
				f.found = &looks[i].Entry
				check(f)
			case !d.cfg.Direct:
				doubtful = append(doubtful, f)
			}
		}
	}
	d.awaitRenames(ctx, doubtful)
	for _, f := range doubtful {
		if f.done && f.found != nil {
			size(f)
		}
	}
	_ = late.Wait()
}

// awaitSize waits until a file that has its name shows its size. One that was seen
// whole before may show none, or more than was sent, which is what will be told of it;
// one that was cut, and any other that shows another size, is taken back.
func (f *publication) awaitSize(ctx context.Context) {
	now, err := f.d.pollSize(ctx, f.entry.Size, func() (attrs, error) {
		e, err := f.d.statOne(ctx, f.entry.Name)
		return attrs{size: e.Size, modTime: e.ModTime}, err
	})
	switch {
	case err != nil: // it was taken meanwhile, or the connection is lost: the name was given
	case now.size == f.entry.Size:
		e := f.entry
		e.ModTime = now.modTime
		f.notePublished(e)
	case f.confirmed && (now.size == 0 || now.size > f.entry.Size):
		e := f.entry
		e.Size = now.size
		f.notePublished(e)
	case !f.d.cfg.Direct && len(f.d.stillPending(ctx, []*publication{f})) > 0: // what stands there is another file
		f.notRenamed(ctx)
	default:
		f.done = false
		f.fail(ctx, &sizeError{has: now.size, want: f.entry.Size})
		f.removePublished(ctx)
	}
}

// sizeShows asks for a file's size until it is the one that it is to have, or as
// long as half of what an answer may take.
func (d *Destination) pollSize(ctx context.Context, size int64, ask func() (attrs, error)) (attrs, error) {
	patience := d.cfg.Timeouts.Operation / 2
	if d.limits.lateSize.absent() {
		patience = min(patience, longestPause)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait := firstPause
	a, err := ask()
	for err == nil && a.size >= 0 && a.size < size && pause(ctx, wait) {
		next, nerr := ask()
		if nerr != nil && ctx.Err() != nil {
			break
		}
		a, err = next, nerr
		wait = min(2*wait, longestPause)
	}
	switch {
	case err == nil && a.size == size:
		d.limits.lateSize.state.Store(featureWorks)
	case err == nil && a.size < size && ctx.Err() != nil:
		d.limits.lateSize.state.CompareAndSwap(0, featureAbsent)
	}
	return a, err
}

// tells notes what a server says of the file since it has its name.
func (p *pendingFile) notePublished(e filesync.Entry) {
	e.Name = p.entry.Name
	p.mu.Lock()
	defer p.mu.Unlock()
	p.published = &e
}

// Stands implements sync.Standing.
func (p *pendingFile) Stands() (filesync.Entry, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.published == nil {
		return filesync.Entry{}, false
	}
	return *p.published, true
}

// settleSize decides about the size that the server tells of a file that was written
// whole. One that is too small may show late: not before the file is closed.
func (p *pendingFile) checkSize(ctx context.Context, a attrs) (attrs, error) {
	size := p.entry.Size
	if a.size >= 0 && a.size < size {
		if p.d.cfg.Direct {
			a.size = -1
			return a, nil // Publish closes it, and looks
		}
		again, err := p.d.pollSize(ctx, size, func() (attrs, error) { return p.d.statAt(ctx, p.path) })
		switch {
		case err == nil:
			a = again
		case !isAnswer(err):
			return a, err
		default:
			a.size = -1 // Publish finds out
		}
	}
	if a.size >= 0 && a.size != size {
		return a, &sizeError{has: a.size, want: size}
	}
	p.confirmed = a.size == size
	return a, nil
}
