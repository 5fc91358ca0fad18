package sftp

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// blocks hands out a file's ranges to all who read it side by side.
type blocks struct {
	next atomic.Int64
	end  int64
	done atomic.Int64 // bytes that were written
}

func newBlocks(from, end int64) *blocks {
	b := &blocks{end: end}
	b.next.Store(from)
	return b
}

// left is how many bytes nobody has taken yet.
func (b *blocks) left() int64 { return max(0, b.end-b.next.Load()) }

// take gives the next range of up to n bytes; 0 when there is none.
func (b *blocks) take(n int) (off int64, taken int) {
	off = b.next.Add(int64(n)) - int64(n)
	if off >= b.end {
		return 0, 0
	}
	return off, int(min(int64(n), b.end-off))
}

// bufferMemory bounds the memory of a Source's buffers, in bytes.
const bufferMemory = 16 << 20

// buffers lends byte slices, never more at a time than bufferMemory.
type buffers struct {
	budget  *semaphore.Weighted
	classes [len(bufferSizes)]sync.Pool // of *[]byte
}

// bufferSizes are what is lent: most files are small.
var bufferSizes = [...]int{4 << 10, 32 << 10, 256 << 10}

func newBuffers() *buffers {
	b := &buffers{budget: semaphore.NewWeighted(bufferMemory)}
	for i, n := range bufferSizes {
		b.classes[i].New = func() any { s := make([]byte, n); return &s }
	}
	return b
}

// get lends a buffer with a capacity of n bytes or more, at most 256 KiB. It
// waits for one only if wait is set; else it may answer nil.
func (b *buffers) get(ctx context.Context, n int, wait bool) (*[]byte, error) {
	i := class(n)
	size := int64(bufferSizes[i])
	if !b.budget.TryAcquire(size) {
		if !wait {
			return nil, nil
		}
		if err := b.budget.Acquire(ctx, size); err != nil {
			return nil, context.Cause(ctx)
		}
	}
	return b.classes[i].Get().(*[]byte), nil
}

// put takes a buffer back.
func (b *buffers) put(s *[]byte) {
	i := class(len(*s))
	b.classes[i].Put(s)
	b.budget.Release(int64(bufferSizes[i]))
}

// class is the smallest size that holds n bytes.
func class(n int) int {
	for i, size := range bufferSizes {
		if n <= size {
			return i
		}
	}
	return len(bufferSizes) - 1
}
