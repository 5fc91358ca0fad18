package sftp

import (
	"context"

	"golang.org/x/sync/errgroup"

	"sftpconnector/backoff"
	filesync "sftpconnector/sync"
)

// What a server tells of a file may change when it is closed and when it is renamed:
// some set its time then, some know its size only later. A later look is compared
// with what is told after both.

// lookAfter looks at files that have their names, as the server says. One whose name is
// missing may be at its receiver's by now; if it is still pending, it was never renamed.
func (d *Destination) lookAfter(ctx context.Context, files []*publication) {
	var late errgroup.Group
	late.SetLimit(underWay)
	var ask, doubtful []*publication
	size := func(f *publication) {
		if f.tells(*f.after); f.after.Size >= 0 && f.after.Size != f.entry.Size && (f.after.Size < f.entry.Size || !f.confirmed) {
			late.Go(func() error {
				f.awaitSize(ctx)
				return nil
			})
		}
	}
	check := func(f *publication) {
		if f.replaced() {
			doubtful = append(doubtful, f)
		} else {
			size(f)
		}
	}
	for _, f := range files {
		switch {
		case !f.done:
		case f.after != nil && f.after.Mode.IsRegular():
			check(f)
		default:
			f.after = nil
			ask = append(ask, f)
		}
	}
	if len(ask) > 0 && d.conn.Err() == nil && ctx.Err() == nil {
		looks, err := d.lookAt(ctx, namesOf(ask))
		for i, f := range ask {
			switch {
			case err != nil: // it was renamed, by the server's word
			case looks[i].Err == nil && looks[i].Entry.Mode.IsRegular():
				f.after = &looks[i].Entry
				check(f)
			case !d.cfg.Direct:
				doubtful = append(doubtful, f)
			}
		}
	}
	d.settleRenames(ctx, doubtful)
	for _, f := range doubtful {
		if f.done && f.after != nil {
			size(f)
		}
	}
	_ = late.Wait()
}

// awaitSize waits until a file that has its name shows its size. One that was seen
// whole before may show none, or more than was sent, which is what will be told of it;
// one that was cut, and any other that shows another size, is taken back.
func (f *publication) awaitSize(ctx context.Context) {
	now, err := f.d.sizeShows(ctx, f.entry.Size, func() (attrs, error) {
		e, err := f.d.lookAtOne(ctx, f.entry.Name)
		return attrs{size: e.Size, modTime: e.ModTime}, err
	})
	switch {
	case err != nil: // it was taken meanwhile, or the connection is lost: the name was given
	case now.size == f.entry.Size:
		e := f.entry
		e.ModTime = now.modTime
		f.tells(e)
	case f.confirmed && (now.size == 0 || now.size > f.entry.Size):
		e := f.entry
		e.Size = now.size
		f.tells(e)
	case !f.d.cfg.Direct && len(f.d.unmoved(ctx, []*publication{f})) > 0: // what stands there is another file
		f.notRenamed(ctx)
	default:
		f.done = false
		f.fail(ctx, &sizeError{has: now.size, want: f.entry.Size})
		f.takeBack(ctx)
	}
}

// sizeShows asks for a file's size until it is the one that it is to have, or as
// long as half of what an answer may take.
func (d *Destination) sizeShows(ctx context.Context, size int64, ask func() (attrs, error)) (attrs, error) {
	patience := d.cfg.Timeouts.Operation / 2
	if d.limits.sizes.absent() {
		patience = min(patience, backoff.Size.Longest())
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := ask()
	for n := 1; err == nil && a.size >= 0 && a.size < size && pause(ctx, backoff.Size.Wait(n)); n++ {
		next, nerr := ask()
		if nerr != nil && ctx.Err() != nil {
			break
		}
		a, err = next, nerr
	}
	switch {
	case err == nil && a.size == size:
		d.limits.sizes.state.Store(featureWorks)
	case err == nil && a.size < size && ctx.Err() != nil:
		d.limits.sizes.state.CompareAndSwap(0, featureAbsent)
	}
	return a, err
}

// tells notes what a server says of the file since it has its name.
func (p *pendingFile) tells(e filesync.Entry) {
	e.Name = p.entry.Name
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = &e
}

// Stands implements sync.Standing.
func (p *pendingFile) Stands() (filesync.Entry, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == nil {
		return filesync.Entry{}, false
	}
	return *p.told, true
}

// settleSize decides about the size that the server tells of a file that was written
// whole. One that is too small may show late: not before the file is closed.
func (p *pendingFile) settleSize(ctx context.Context, a attrs) (attrs, error) {
	size := p.entry.Size
	if a.size >= 0 && a.size < size {
		if p.d.cfg.Direct {
			a.size = -1
			return a, nil // Publish closes it, and looks
		}
		again, err := p.d.sizeShows(ctx, size, func() (attrs, error) { return p.d.statAt(ctx, p.path) })
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
