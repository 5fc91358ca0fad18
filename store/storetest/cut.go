package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Cut is a destination behind a connection that is lost: so many calls go well,
// and every later one answers ErrDisconnected.
type Cut struct {
	filesync.Destination
	// Late has the call during which the connection is lost take effect: only its answer is lost.
	Late bool
	left atomic.Int64
}

// NewCut makes a destination that is lost after so many calls.
func NewCut(d filesync.Destination, calls int) *Cut {
	c := &Cut{Destination: d}
	c.left.Store(int64(calls))
	return c
}

// lost is the error of every call from then on.
func lost() error {
	return &status.Error{Word: status.ConnectionLost, Op: "talk to", Target: "the destination", Err: fmt.Errorf("cut by a test: %w", filesync.ErrDisconnected)}
}

// call does one call, if the connection lets it.
func (c *Cut) call(do func()) error {
	switch left := c.left.Add(-1); {
	case left >= 0:
		do()
		return nil
	case left == -1 && c.Late:
		do()
	}
	return lost()
}

// Stat implements sync.Destination.
func (c *Cut) Stat(ctx context.Context, names []string) (stats []filesync.StatResult, err error) {
	if cut := c.call(func() { stats, err = c.Destination.Stat(ctx, names) }); cut != nil {
		return nil, cut
	}
	return stats, err
}

// Open implements sync.Destination.
func (c *Cut) Open(ctx context.Context, name string) (f filesync.File, err error) {
	if cut := c.call(func() { f, err = c.Destination.Open(ctx, name) }); cut != nil {
		if f != nil {
			f.Close()
		}
		return nil, cut
	}
	return f, err
}

// Begin implements sync.Destination.
func (c *Cut) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (p filesync.Pending, err error) {
	if cut := c.call(func() { p, err = c.Destination.Begin(ctx, e, resume) }); cut != nil {
		if p != nil {
			p.Keep() // what the far side made stays there
		}
		return nil, cut
	}
	if err != nil {
		return nil, err
	}
	return &cutPending{p, c}, nil
}

// batch does one call for a batch.
func (c *Cut) batch(n int, do func() []error) (errs []error) {
	cut := c.call(func() { errs = do() })
	if cut != nil {
		errs = make([]error, n)
		for i := range errs {
			errs[i] = cut
		}
	}
	return errs
}

// Sync implements sync.Destination.
func (c *Cut) Sync(ctx context.Context, batch []filesync.Pending) []error {
	return c.batch(len(batch), func() []error { return c.Destination.Sync(ctx, bare(batch)) })
}

// Publish implements sync.Destination.
func (c *Cut) Publish(ctx context.Context, batch []filesync.Publication) []error {
	return c.batch(len(batch), func() []error {
		plain := make([]filesync.Publication, len(batch))
		for i, p := range batch {
			plain[i] = filesync.Publication{Pending: p.Pending.(*cutPending).Pending, Replaces: p.Replaces}
		}
		return c.Destination.Publish(ctx, plain)
	})
}

// Persist implements sync.Destination.
func (c *Cut) Persist(ctx context.Context, names []string) []error {
	return c.batch(len(names), func() []error { return c.Destination.Persist(ctx, names) })
}

// Sweep implements sync.Destination.
func (c *Cut) Sweep(ctx context.Context, keep func(id string) bool) (err error) {
	cut := c.call(func() { err = c.Destination.Sweep(ctx, keep) })
	return errors.Join(cut, err)
}

// Probe implements sync.Destination.
func (c *Cut) Probe(ctx context.Context) (err error) {
	cut := c.call(func() { err = c.Destination.Probe(ctx) })
	return errors.Join(cut, err)
}

func bare(batch []filesync.Pending) []filesync.Pending {
	plain := make([]filesync.Pending, len(batch))
	for i, p := range batch {
		plain[i] = p.(*cutPending).Pending
	}
	return plain
}

// cutPending is a pending file of such a destination.
type cutPending struct {
	filesync.Pending
	c *Cut
}

func (p *cutPending) WriteAt(b []byte, off int64) (n int, err error) {
	if cut := p.c.call(func() { n, err = p.Pending.WriteAt(b, off) }); cut != nil {
		return 0, cut
	}
	return n, err
}

func (p *cutPending) Checkpoint(ctx context.Context, prefix int64) (k filesync.Checkpoint, err error) {
	if cut := p.c.call(func() { k, err = p.Pending.Checkpoint(ctx, prefix) }); cut != nil {
		return filesync.Checkpoint{}, cut
	}
	return k, err
}

func (p *cutPending) Finish(ctx context.Context) (e filesync.Entry, err error) {
	if cut := p.c.call(func() { e, err = p.Pending.Finish(ctx) }); cut != nil {
		return filesync.Entry{}, cut
	}
	return e, err
}

func (p *cutPending) Abort(ctx context.Context) (err error) {
	if cut := p.c.call(func() { err = p.Pending.Abort(ctx) }); cut != nil {
		p.Pending.Keep()
		return cut
	}
	return err
}
