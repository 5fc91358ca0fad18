package pass_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// slow is a destination that takes a second to remove a pending file or a proof, and may
// not let a file be kept.
type slow struct {
	*local.Destination
	keepError error

	proving, proved atomic.Int64
	overlapped      atomic.Bool // more than one batch of proofs was removed at a time
}

type slowFile struct {
	filesync.Pending
	d *slow
}

func (d *slow) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	p, err := d.Destination.Begin(ctx, e, resume)
	if err != nil {
		return nil, err
	}
	return slowFile{p, d}, nil
}

func (d *slow) Sync(ctx context.Context, batch []filesync.Pending) []error {
	inner := make([]filesync.Pending, len(batch))
	for i, p := range batch {
		inner[i] = p.(slowFile).Pending
	}
	return d.Destination.Sync(ctx, inner)
}

func (d *slow) Publish(ctx context.Context, batch []filesync.Publication) []error {
	for i, p := range batch {
		batch[i].Pending = p.Pending.(slowFile).Pending
	}
	return d.Destination.Publish(ctx, batch)
}

func (d *slow) Recorded(_ context.Context, batch []filesync.Pending) {
	if d.proving.Add(1) > 1 {
		d.overlapped.Store(true)
	}
	time.Sleep(time.Second)
	d.proving.Add(-1)
	d.proved.Add(int64(len(batch)))
}

func (p slowFile) Abort(ctx context.Context) error {
	time.Sleep(time.Second)
	return p.Pending.Abort(ctx)
}

func (p slowFile) Keep() error {
	if p.d.keepError != nil {
		return p.d.keepError
	}
	return p.Pending.Keep()
}

// inBubble runs a test with a slow destination and a clock that waits for nobody.
func inBubble(t *testing.T, test func(b *bench, d *slow)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
		if err != nil {
			t.Fatal(err)
		}
		d := &slow{Destination: dst}
		b.to = d
		test(b, d)
	})
}

// Pending files of a batch that cannot be journaled are removed side by side.
func TestManyPendingFilesAreRemovedSideBySide(t *testing.T) {
	inBubble(t, func(b *bench, d *slow) {
		const files = 200
		for i := range files {
			b.src.Put(fmt.Sprint(i), "x", old)
		}
		filter, err := filesync.NewFilter(filesync.FilterOptions{})
		if err != nil {
			b.t.Fatal(err)
		}
		broken, began := errors.New("disk I/O error"), time.Now()
		r := pass.New(b.src, b.open, d, brokenLedger{b.memory, broken}, b.shared, pass.Options{ID: "1", Mode: filesync.Automatic, Filter: filter}).Run(b.t.Context())
		if !errors.Is(r.Err, broken) {
			b.t.Error(r.Err)
		}
		if took := time.Since(began); took > files/4*time.Second {
			b.t.Errorf("%d files were removed in %s", files, took)
		}
		b.noPending()
	})
}

// What proves that files got their names is removed a batch at a time, however fast files
// are committed, and all of it before the pass ends.
func TestProofsAreRemovedOneBatchAtATime(t *testing.T) {
	inBubble(t, func(b *bench, d *slow) {
		const files = 1500
		for i := range files {
			b.src.Put(fmt.Sprint(i), "x", old)
		}
		b.want(b.pass(filesync.Automatic), filesync.Succeeded, fmt.Sprintf("copied=%d", files))
		if d.overlapped.Load() || d.proved.Load() != files {
			b.t.Errorf("side by side: %v; %d of %d removed", d.overlapped.Load(), d.proved.Load(), files)
		}
	})
}

// A part that could not be kept is removed, and so is the checkpoint of it.
func TestPartThatCannotBeKeptHasNoCheckpoint(t *testing.T) {
	inBubble(t, func(b *bench, d *slow) {
		d.keepError = errors.New("close: input/output error")
		const size = 10 << 20
		b.src.Block = 1 << 20
		b.src.Put("a", strings.Repeat("x", size), old)
		lost := &status.Error{Word: status.ConnectionLost, Op: "read"}
		b.src.OnFetch = func(_ filesync.Entry, off int64) error {
			if off < size-1<<20 {
				return nil
			}
			return lost
		}
		first := true
		b.open = func(ctx context.Context) (filesync.Source, error) {
			if !first {
				return nil, lost
			}
			first = false
			return b.src, nil
		}
		b.want(b.pass(filesync.Automatic), filesync.Failed, "")
		if kept, err := b.memory.Checkpoints(b.t.Context()); err != nil || len(kept) > 0 {
			b.t.Errorf("kept: %v %v", kept, err)
		}
	})
}
