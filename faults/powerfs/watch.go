//go:build linux

package powerfs

import (
	"sync"
	"time"
)

// Event is a change that has just been made.
type Event struct {
	Time time.Time
	// Op is OpCreate, OpRename, OpLink, OpSymlink, OpUnlink, OpRmdir or OpMkdir, or
	// OpWrite or OpTruncate of a file.
	Op Op
	// Path is below the mount, with slashes. That of a write is one that leads to the
	// file, or the last one that did.
	Path string
	// To is the new path of a rename or a link.
	To string
}

// Watch has every change told to fn, in order, soon after it was made: changes do
// not wait for fn. It runs in a goroutine of its own and may use the mount. Unmount
// waits until it has returned, and does not tell what it has not been told yet.
// All functions that were given are called, in turn.
func (f *FS) Watch(fn func(Event)) {
	w := &f.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.fns = append(w.fns, fn)
	if len(w.fns) == 1 {
		w.running.Go(w.run)
	}
}

// watchers are told of events.
type watchers struct {
	running sync.WaitGroup
	wake    chan struct{} // holds one if there may be events

	mu      sync.Mutex
	fns     []func(Event)
	queue   []Event
	stopped bool
}

func (w *watchers) init() { w.wake = make(chan struct{}, 1) }

// tell queues an event. It may be called with locks held.
func (w *watchers) tell(op Op, path func() (from, to string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.fns) == 0 || w.stopped {
		return
	}
	from, to := path()
	w.queue = append(w.queue, Event{time.Now(), op, from, to})
	w.signal()
}

func (w *watchers) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watchers) run() {
	for range w.wake {
		for {
			w.mu.Lock()
			fns, events, stopped := w.fns, w.queue, w.stopped
			w.queue = nil
			w.mu.Unlock()
			if stopped {
				return
			}
			if len(events) == 0 {
				break
			}
			for _, event := range events {
				for _, fn := range fns {
					fn(event)
				}
			}
		}
	}
}

// stop waits for the function that runs, and lets no other begin.
func (w *watchers) stop() {
	w.mu.Lock()
	w.stopped = true
	w.signal()
	w.mu.Unlock()
	w.running.Wait()
}
