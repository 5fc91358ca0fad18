package smb

import (
	"context"
	"sync"

	smb2 "github.com/cloudsoda/go-smb2"
)

// chunk is what one write carries at most.
const chunk = 256 << 10

// buffers of some sizes, which are used again and again.
type buffers [3]sync.Pool

// take gives a buffer for n bytes, at most a chunk, and what gives it back.
func (p *buffers) take(n int) (buffer []byte, give func()) {
	class, size := 0, chunk>>4
	for n > size {
		class, size = class+1, 4*size
	}
	b, ok := p[class].Get().(*[]byte)
	if !ok {
		fresh := make([]byte, size)
		b = &fresh
	}
	return *b, func() { p[class].Put(b) }
}

// writes are those of one file that the server has not acknowledged yet: the
// library waits for the answer to each, and a far server is fast only with many
// under way.
type writes struct {
	d   *Destination
	f   *smb2.File
	ctx context.Context // who waits for room waits no longer than this stands

	mu      sync.Mutex
	pending *sync.WaitGroup // those since the last look
	earlier chan struct{}   // closed when those before them have ended
	err     error           // the first that failed
}

func newWrites(ctx context.Context, d *Destination, f *smb2.File) *writes {
	earlier := make(chan struct{})
	close(earlier)
	return &writes{d: d, f: f, ctx: ctx, pending: &sync.WaitGroup{}, earlier: earlier}
}

// add writes b, which is the caller's again on return. It waits for room.
func (w *writes) add(b []byte, off int64) (int, error) {
	done := 0
	for done < len(b) {
		n := min(chunk, len(b)-done)
		if err := w.one(b[done:done+n], off+int64(done)); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// one has one chunk written in the background.
func (w *writes) one(b []byte, off int64) error {
	buffer, give := w.d.buffers.take(len(b))
	weight := int64(len(buffer))
	if w.d.room.Acquire(w.ctx, weight) != nil {
		give()
		return context.Cause(w.ctx)
	}
	ended, err := w.enter()
	if err != nil {
		w.d.room.Release(weight)
		give()
		return err
	}
	n := copy(buffer, b)
	w.d.s.all.Go(func() {
		err := w.d.s.run(func() error {
			_, err := w.f.WriteAt(buffer[:n], off)
			return err
		})
		w.d.room.Release(weight)
		give()
		ended(err)
	})
	return nil
}

// enter notes one more write, which tells how it ended. After an error there
// are no more.
func (w *writes) enter() (ended func(error), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	group := w.pending
	group.Add(1)
	return func(err error) {
		if err != nil {
			w.mu.Lock()
			if w.err == nil {
				w.err = err
			}
			w.mu.Unlock()
		}
		group.Done()
	}, nil
}

// acknowledged is closed when all writes that were added before have ended,
// each of which obeys the connection's deadlines.
func (w *writes) acknowledged() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	group, earlier, all := w.pending, w.earlier, make(chan struct{})
	w.pending, w.earlier = &sync.WaitGroup{}, all
	w.d.s.all.Go(func() {
		<-earlier
		group.Wait()
		close(all)
	})
	return all
}

// wait ends when all writes that were added before are acknowledged, with the
// first error of any, or when ctx ends.
func (w *writes) wait(ctx context.Context) error {
	select {
	case <-w.acknowledged():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
