package transfer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	filesync "sftpconnector/sync"
)

// extents passes writes on to a pending file and knows which of its bytes are
// there. A source may write concurrently and in any order, each byte once
// between two restarts.
type extents struct {
	c       *Client
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

func newExtents(f *finished, from int64) *extents {
	f.client.wrote(from)
	x := &extents{c: f.client, pending: f.pending, source: f.file.Entry, prefix: from, marked: from, saved: from > 0, mark: make(chan int64, 1)}
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
	x.c.wrote(end - start)
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
	if x.prefix-x.marked >= x.c.o.CheckpointStep {
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
		x.c.wrote(start - end)
		x.there.Add(start - end)
	}
	clear(x.ahead)
	return x.prefix
}

// discard takes the bytes out of the progress again.
func (x *extents) discard() { x.c.wrote(-x.restart()) }

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
	if x.source.Size < 2*x.c.o.CheckpointStep {
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
					err = x.c.r.ledger.SaveCheckpoint(ctx, filesync.Interrupted{Source: x.source, Checkpoint: c, InPlace: &x.c.o.InPlace})
				}
				if err != nil {
					x.c.o.Log.Warn("checkpoint not saved", "file", x.source.Name, "error", err)
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
