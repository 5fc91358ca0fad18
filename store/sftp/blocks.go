package sftp

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// blocks hands out the ranges of a file to all that copy it side by side.
type blocks struct {
	next atomic.Int64
	end  int64
	done atomic.Int64 // bytes that are written
}

func newBlocks(from, end int64) *blocks {
	b := &blocks{end: end}
	b.next.Store(from)
	return b
}

// left is how many bytes were not handed out yet.
func (b *blocks) left() int64 { return max(0, b.end-b.next.Load()) }

// take gives the next range of up to n bytes; 0 when there is none.
func (b *blocks) take(n int) (off int64, taken int) {
	off = b.next.Add(int64(n)) - int64(n)
	if off >= b.end {
		return 0, 0
	}
	return off, int(min(int64(n), b.end-off))
}

// bufferMemory bounds the bytes that a Source may have in flight. A distant server
// needs all of it, for nine full windows and the READs that follow. For a near one half
// is enough, as a slow destination may keep in memory all that comes.
const bufferMemory = 32 << 20

// buffers lends byte slices against reservations.
type buffers struct {
	limits   *Limits
	budget   *semaphore.Weighted
	classes  [len(bufferSizes)]sync.Pool // of *[]byte
	readdirs *semaphore.Weighted         // READDIRs in flight, but for the first of each listing
}

// maxExtraReaddirs is how many READDIRs may be in flight, but for the first of each
// listing. Each answer may have 256 KiB.
const maxExtraReaddirs = 80

// acquireReaddir reports whether one READDIR more may be sent.
func (b *buffers) acquireReaddir() bool { return b.readdirs.TryAcquire(1) }

// releaseReaddirs ends n of these.
func (b *buffers) releaseReaddirs(n int) { b.readdirs.Release(int64(n)) }

// bufferSizes are the sizes of the slices. Most files are small.
var bufferSizes = [...]int{4 << 10, 32 << 10, 256 << 10}

func newBuffers(l *Limits) *buffers {
	b := &buffers{limits: l, budget: semaphore.NewWeighted(bufferMemory), readdirs: semaphore.NewWeighted(maxExtraReaddirs)}
	for i, n := range bufferSizes {
		b.classes[i].New = func() any { s := make([]byte, n); return &s }
	}
	return b
}

// reservation is a part of the budget. The zero reservation is none.
type reservation int64

// reserve reserves room for n bytes, at most 256 KiB. It waits for that only if wait is
// set; else ok may be false.
func (b *buffers) reserve(ctx context.Context, n int, wait bool) (r reservation, ok bool, err error) {
	r = reservation(n)
	if !b.limits.far() {
		r *= 2
	}
	if b.budget.TryAcquire(int64(r)) {
		return r, true, nil
	}
	if !wait {
		return 0, false, nil
	}
	if err := b.budget.Acquire(ctx, int64(r)); err != nil {
		return 0, false, context.Cause(ctx)
	}
	return r, true, nil
}

// release ends a reservation.
func (b *buffers) release(r reservation) { b.budget.Release(int64(r)) }

// lentBuffer is a buffer that is taken from the pool when an answer comes.
type lentBuffer struct {
	pool *buffers
	buf  *[]byte
}

// get gives n bytes, at most 256 KiB.
func (r *lentBuffer) get(n int) []byte {
	r.buf = r.pool.classes[sizeClass(n)].Get().(*[]byte)
	return (*r.buf)[:n]
}

// put gives the buffer back, if there is one.
func (r *lentBuffer) put() {
	if r.buf != nil {
		r.pool.classes[sizeClass(len(*r.buf))].Put(r.buf)
		r.buf = nil
	}
}

// sizeClass is the index of the smallest size that holds n bytes.
func sizeClass(n int) int {
	for i, size := range bufferSizes {
		if n <= size {
			return i
		}
	}
	return len(bufferSizes) - 1
}
