package sftp

import (
	"context"

	"golang.org/x/sync/errgroup"

	"sftpconnector/backoff"
	filesync "sftpconnector/sync"
)

// What a server tells of a file may change when it is closed and when it is renamed:
// some servers set its time then, some know its size only later. The ledger is to hold
// what they tell after both.

// checkPublished asks for the entries of files that have their names, by the server's
// word. If a name is missing, the receiver may have taken the file; if the file is
// still pending, it was never renamed.
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
		stats, err := d.statAll(ctx, namesOf(ask))
		for i, f := range ask {
			switch {
			case err != nil: // the server's answer to RENAME has to do
			case stats[i].Err == nil && stats[i].Entry.Mode.IsRegular():
				f.found = &stats[i].Entry
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

// awaitSize waits until a published file has its size. If its size was confirmed
// before, the server may show none, or more than was sent; that is what will be told of
// it. A file that lost its end, and any other with another size, is removed.
func (f *publication) awaitSize(ctx context.Context) {
	now, err := f.d.pollSize(ctx, f.entry.Size, func() (attrs, error) {
		e, err := f.d.statOne(ctx, f.entry.Name)
		return attrs{size: e.Size, modTime: e.ModTime}, err
	})
	switch {
	case err != nil: // somebody took it, or the connection is lost: it was published
	case now.size == f.entry.Size:
		e := f.entry
		e.ModTime = now.modTime
		f.notePublished(e)
	case f.confirmed && (now.size == 0 || now.size > f.entry.Size):
		e := f.entry
		e.Size = now.size
		f.notePublished(e)
	case !f.d.cfg.Direct && len(f.d.stillPending(ctx, []*publication{f})) > 0: // another file is under the name
		f.notRenamed(ctx)
	default:
		f.done = false
		f.fail(ctx, &sizeError{has: now.size, want: f.entry.Size})
		f.removePublished(ctx)
	}
}

// pollSize asks for a file's size until it is right, for half of the time that an
// answer may take.
func (d *Destination) pollSize(ctx context.Context, size int64, ask func() (attrs, error)) (attrs, error) {
	patience := d.cfg.Timeouts.Operation / 2
	if d.limits.lateSize.absent() {
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
		d.limits.lateSize.state.Store(featureWorks)
	case err == nil && a.size < size && ctx.Err() != nil:
		d.limits.lateSize.state.CompareAndSwap(0, featureAbsent)
	}
	return a, err
}

// notePublished notes what the server tells of the file since it has its name.
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

// checkSize checks the size that the server tells when all was written. A size that is
// too small may become right when the file is closed.
func (p *pendingFile) checkSize(ctx context.Context, a attrs) (attrs, error) {
	size := p.entry.Size
	if a.size >= 0 && a.size < size {
		if p.d.cfg.Direct {
			a.size = -1
			return a, nil // Publish closes the file and checks it
		}
		again, err := p.d.pollSize(ctx, size, func() (attrs, error) { return p.d.statAt(ctx, p.path) })
		switch {
		case err == nil:
			a = again
		case !isAnswer(err):
			return a, err
		default:
			a.size = -1 // Publish checks it
		}
	}
	if a.size >= 0 && a.size != size {
		return a, &sizeError{has: a.size, want: size}
	}
	p.confirmed = a.size == size
	return a, nil
}
