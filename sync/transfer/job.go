package transfer

import (
	"container/heap"
	"context"
	"fmt"
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
	answer := c.r.place(c, f)
	c.r.dispatch()
	c.r.mu.Unlock()
	if answer != nil {
		c.answer(*answer)
	}
	return nil
}

// place puts a file into the queue. It gives the answer if that is known at once. The
// caller holds r.mu.
func (r *run) place(c *Client, f File) *Result {
	key := f.key()
	held := r.jobs[key]
	if held == nil {
		r.jobs[key] = r.newJob(c, f)
		r.push(r.jobs[key])
		return nil
	}
	if owner := held.file.Entry.Name; owner != f.Entry.Name {
		return &Result{Entry: f.Entry, State: filesync.StateFailed, Err: &TakenError{Name: f.Name, Owner: owner}}
	}
	for j := held; ; j = j.next {
		switch {
		case j.has(c):
			return &Result{Entry: f.Entry} // another listing of the same file has it
		case j.file.Entry.SameVersion(f.Entry):
			j.clients = append(j.clients, c)
			if j.at >= 0 {
				heap.Fix(r.heapOf(j), j.at)
			}
			return nil
		case j.next == nil:
			j.next = r.newJob(c, f)
			j.next.anew = true
			return nil
		}
	}
}

// TakenError says that a name belongs to another file that is on its way to it.
type TakenError struct{ Name, Owner string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("the name %s at the destination belongs to %s", e.Name, e.Owner)
}

func (r *run) newJob(c *Client, f File) *job {
	r.seq++
	j := &job{file: f, clients: []*Client{c}, seq: r.seq, at: -1}
	j.ctx, j.cancel = context.WithCancel(r.ctx)
	return j
}

func (r *run) heapOf(j *job) *jobs {
	if j.large() {
		return &r.large
	}
	return &r.small
}

func (r *run) push(j *job) { heap.Push(r.heapOf(j), j) }

// dispatch begins the jobs that may be begun. The caller holds r.mu.
func (r *run) dispatch() {
	for r.err == nil {
		j := r.take()
		if j == nil {
			break
		}
		j.begun, j.alone = true, r.alone
		r.copying++
		if j.large() {
			r.copyLarge++
		}
		r.copiers.Go(func() { r.work(j) })
	}
	r.flushIfQuiet()
}

// take gives the next job to be begun; nil if none may be. The caller holds r.mu.
func (r *run) take() *job {
	if r.alone {
		return nil
	}
	for _, h := range []*jobs{&r.small, &r.large} {
		for len(*h) > 0 && len((*h)[0].clients) == 0 { // nobody waits for it any more
			r.settle(heap.Pop(h).(*job))
		}
	}
	small, large := r.mayBegin(r.small), r.mayBegin(r.large)
	switch {
	case small && large && r.large[0].before(r.small[0]), large && !small:
		return heap.Pop(&r.large).(*job)
	case small:
		return heap.Pop(&r.small).(*job)
	case len(r.small)+len(r.large) == 0 && r.copying == 0 && len(r.deferred) > 0:
		j := r.deferred[0]
		r.deferred = r.deferred[1:]
		r.alone = true
		return j
	}
	return nil
}

// mayBegin reports whether the first of these jobs may be begun beside those that are.
// Urgent ones do not wait for files that take long. The caller holds r.mu.
func (r *run) mayBegin(waiting jobs) bool {
	if len(waiting) == 0 {
		return false
	}
	copies, large := MaxCopies, maxLarge
	if waiting[0].urgent() {
		copies, large = copies+maxUrgent, large+maxLarge
	}
	return r.copying < copies && (!waiting[0].large() || r.copyLarge < large)
}

// before reports whether j is to be begun before another one.
func (j *job) before(o *job) bool { return jobs{j, o}.Less(0, 1) }

// flushIfQuiet tells the committer that nothing more is coming for now. The caller
// holds r.mu.
func (r *run) flushIfQuiet() {
	if r.copying > 0 || len(r.small)+len(r.large)+len(r.deferred) > 0 {
		return
	}
	for c := range r.clients {
		if !c.waits {
			return
		}
	}
	select {
	case r.flush <- struct{}{}:
	default:
	}
}

// copied notes that a copier is through with a job. The caller holds r.mu.
func (r *run) copied(j *job) {
	r.copying--
	if j.large() {
		r.copyLarge--
	}
	if j.alone {
		r.alone = false
	}
}

// settle takes a job out of the queue. It gives those who wait for the answer; what
// follows it is next. The caller holds r.mu.
func (r *run) settle(j *job) []*Client {
	j.cancel()
	clients := j.clients
	j.clients = nil
	delete(r.jobs, j.file.key())
	for n := j.next; n != nil; n = n.next {
		if len(n.clients) > 0 {
			r.jobs[n.file.key()] = n
			r.push(n)
			break
		}
		n.cancel()
	}
	return clients
}

// drop takes a client off all jobs but those that are copied whole, and gives the jobs
// under way that nobody else waits for: their copiers answer. What nobody waits for and
// is not begun is passed over when its turn comes. The caller holds r.mu.
func (r *run) drop(c *Client) (orphans []*job) {
	for _, first := range r.jobs {
		for j := first; j != nil; j = j.next {
			switch {
			case !j.has(c) || j.whole:
			case j.begun && len(j.clients) == 1:
				orphans = append(orphans, j)
			default:
				r.withdraw(j, c)
			}
		}
	}
	r.dispatch()
	return orphans
}

// withdraw takes a client off a job. The caller holds r.mu.
func (r *run) withdraw(j *job, c *Client) {
	j.clients = slices.DeleteFunc(j.clients, func(other *Client) bool { return other == c })
	if j.at >= 0 { // it may be urgent no more
		heap.Fix(r.heapOf(j), j.at)
	}
	c.answered()
}

// abandonCopies takes a client off the jobs whose copies do not end. The caller holds
// r.mu.
func (r *run) abandonCopies(c *Client) {
	for _, first := range r.jobs {
		for j := first; j != nil; j = j.next {
			if j.has(c) && !j.whole {
				r.withdraw(j, c)
			}
		}
	}
}

// Files that are written side by side take the room of a full destination from
// each other, until all of them give it up. Those that found none while others
// were written are deferred, and tried one by one once nothing else is to be copied.
// These are how many at most: a refusal costs little, so that there may be more of those.
const (
	maxDeferred      = 256 // that were refused
	maxDeferredBegun = 64  // that were begun
)

// deferJob keeps a file that found no room beside others for later, once. It reports
// whether it did.
func (r *run) deferJob(j *job, overlapped bool, err error) bool {
	limit := maxDeferredBegun
	if isRefusal(err) {
		limit = maxDeferred
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !overlapped || j.alone || r.everDeferred >= limit {
		return false
	}
	r.everDeferred++
	r.copied(j)
	j.begun = false
	r.deferred = append(r.deferred, j)
	r.dispatch()
	return true
}

// answer gives a pass its answer about a file.
func (c *Client) answer(result Result) {
	c.s.Done(result)
	<-c.slots
	c.r.pulse.Add(1)
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.answered()
}

// answered notes that one thing that the client waits for is done. The caller holds
// r.mu.
func (c *Client) answered() {
	c.pending--
	if c.pending == 0 {
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
