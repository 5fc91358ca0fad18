package transfer

import (
	"context"
	"slices"

	filesync "sftpconnector/sync"
)

// job is one file on its way to a name. run.mu guards what changes of it, but for
// what only its copier has.
type job struct {
	file    File
	clients []*Client // who have submitted it; the first has the delivery
	next    *job      // another version of the file, that follows
	begun   bool
	whole   bool // it is copied, and is being committed
	orphan  bool // its last pass leaves, and its copy is being cancelled
	anew    bool // has to be decided about again before it is begun
	alone   bool // it found no room beside others
	seq     int64
	at      int // in its heap; -1: in none
	ctx     context.Context
	cancel  context.CancelFunc
}

func (j *job) large() bool { return j.file.Entry.Size >= largeFile }

// urgent reports whether somebody waits for it at a terminal or a program.
func (j *job) urgent() bool {
	return slices.ContainsFunc(j.clients, func(c *Client) bool { return c.o.Mode == filesync.Request })
}

func (j *job) has(c *Client) bool { return slices.Contains(j.clients, c) }

// jobs is a heap: urgent ones first, then in the order in which they came.
type jobs []*job

func (h jobs) Len() int { return len(h) }

func (h jobs) Less(a, b int) bool {
	if x, y := h[a].urgent(), h[b].urgent(); x != y {
		return x
	}
	return h[a].seq < h[b].seq
}

func (h jobs) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].at, h[b].at = a, b
}

// Push implements heap.Interface.
func (h *jobs) Push(x any) {
	j := x.(*job)
	j.at = len(*h)
	*h = append(*h, j)
}

// Pop implements heap.Interface.
func (h *jobs) Pop() any {
	last := len(*h) - 1
	j := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	j.at = -1
	return j
}

// Submit has a file copied. It waits while the pass has very many that have no answer.
func (c *Client) Submit(ctx context.Context, f File) error {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !c.writes.Load() {
		if err := c.r.ledger.WillWrite(ctx, c.o.Pass); err != nil {
			<-c.slots
			return err
		}
		c.writes.Store(true)
	}
	c.r.mu.Lock()
	c.pending++
	answer := c.r.schedule.place(c, f)
	c.r.dispatch()
	c.r.mu.Unlock()
	if answer != nil {
		c.answer(*answer)
	}
	return nil
}

// dispatch begins the jobs that may be begun. The caller holds r.mu.
func (r *run) dispatch() {
	for r.err == nil {
		j := r.schedule.next()
		if j == nil {
			break
		}
		r.copiers.Go(func() { r.work(j) })
	}
	r.flushIfQuiet()
}

// flushIfQuiet tells the committer that nothing more is coming for now. The caller
// holds r.mu.
func (r *run) flushIfQuiet() {
	if !r.schedule.idle() {
		return
	}
	for c := range r.clients {
		if !c.waits {
			return
		}
	}
	select {
	case r.committer.flush <- struct{}{}:
	default:
	}
}

// answer gives a pass its answer about a file.
func (c *Client) answer(result Result) {
	c.s.Done(result)
	<-c.slots
	c.r.pulse.Add(1)
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.answered(1)
}

// answered notes that so many things that the client waits for are done. The caller holds
// r.mu.
func (c *Client) answered(n int) {
	c.pending -= n
	if n > 0 && c.pending == 0 {
		select {
		case c.settled <- struct{}{}:
		default:
		}
	}
}

// wrote tells that so many bytes were written.
func (c *Client) wrote(n int64) {
	c.r.pulse.Add(1)
	c.s.Wrote(n)
}
