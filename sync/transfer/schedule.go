package transfer

import (
	"container/heap"
	"context"
	"fmt"
	"slices"

	filesync "sftpconnector/sync"
)

// schedule is the jobs of a queue, and says which of them is next. It copies nothing and
// answers nobody. run.mu guards it.
type schedule struct {
	ctx context.Context // of copying

	jobs         map[string]*job // by their keys
	small        jobs            // that wait to be begun
	large        jobs
	deferred     []*job // that found no room, and are tried alone
	everDeferred int    // how many ever were
	alone        bool   // one of them is
	copying      int
	copyLarge    int
	seq          int64
}

// place puts a file into the queue. It gives the answer if that is known at once. The
// caller holds s.mu.
func (s *schedule) place(c *Client, f File) *Result {
	key := f.key()
	held := s.jobs[key]
	if held == nil {
		s.jobs[key] = s.newJob(c, f)
		s.push(s.jobs[key])
		return nil
	}
	if owner := held.file.Entry.Name; owner != f.Entry.Name {
		return &Result{Entry: f.Entry, State: filesync.StateFailed, Err: &TakenError{Name: f.Name, Owner: owner}}
	}
	for j := held; ; j = j.next {
		switch {
		case j.has(c):
			return &Result{Entry: f.Entry} // another listing of the same file has it
		case !j.orphan && j.file.Entry.SameVersion(f.Entry): // an orphan gives nobody its file any more
			j.clients = append(j.clients, c)
			if j.at >= 0 {
				heap.Fix(s.heapOf(j), j.at)
			}
			return nil
		case j.next == nil:
			j.next = s.newJob(c, f)
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

func (s *schedule) newJob(c *Client, f File) *job {
	s.seq++
	j := &job{file: f, clients: []*Client{c}, seq: s.seq, at: -1}
	j.ctx, j.cancel = context.WithCancel(s.ctx)
	return j
}

func (s *schedule) heapOf(j *job) *jobs {
	if j.large() {
		return &s.large
	}
	return &s.small
}

func (s *schedule) push(j *job) { heap.Push(s.heapOf(j), j) }

// next gives the next job to be begun, which counts as begun then; nil if none may be.
func (s *schedule) next() *job {
	j := s.take()
	if j == nil {
		return nil
	}
	j.begun, j.alone = true, s.alone
	s.copying++
	if j.large() {
		s.copyLarge++
	}
	return j
}

func (s *schedule) take() *job {
	if s.alone {
		return nil
	}
	for _, h := range []*jobs{&s.small, &s.large} {
		for len(*h) > 0 && len((*h)[0].clients) == 0 { // nobody waits for it any more
			s.settle(heap.Pop(h).(*job))
		}
	}
	small, large := s.mayBegin(s.small), s.mayBegin(s.large)
	switch {
	case small && large && s.large[0].before(s.small[0]), large && !small:
		return heap.Pop(&s.large).(*job)
	case small:
		return heap.Pop(&s.small).(*job)
	case len(s.small)+len(s.large) == 0 && s.copying == 0 && len(s.deferred) > 0:
		j := s.deferred[0]
		s.deferred = s.deferred[1:]
		s.alone = true
		return j
	}
	return nil
}

// mayBegin reports whether the first of these jobs may be begun beside those that are.
// Urgent ones do not wait for files that take long.
func (s *schedule) mayBegin(waiting jobs) bool {
	if len(waiting) == 0 {
		return false
	}
	copies, large := MaxCopies, maxLarge
	if waiting[0].urgent() {
		copies, large = copies+maxUrgent, large+maxLarge
	}
	return s.copying < copies && (!waiting[0].large() || s.copyLarge < large)
}

// before reports whether j is to be begun before another one.
func (j *job) before(o *job) bool { return jobs{j, o}.Less(0, 1) }

// idle reports whether nothing waits to be begun, or is being copied.
func (s *schedule) idle() bool {
	return s.copying == 0 && len(s.small)+len(s.large)+len(s.deferred) == 0
}

// copied notes that a copier is through with a job.
func (s *schedule) copied(j *job) {
	s.copying--
	if j.large() {
		s.copyLarge--
	}
	if j.alone {
		s.alone = false
	}
}

// settle takes a job out of the queue. It gives those who wait for the answer; what
// follows it is next.
func (s *schedule) settle(j *job) []*Client {
	j.cancel()
	clients := j.clients
	j.clients = nil
	delete(s.jobs, j.file.key())
	for n := j.next; n != nil; n = n.next {
		if len(n.clients) > 0 {
			s.jobs[n.file.key()] = n
			s.push(n)
			break
		}
		n.cancel()
	}
	return clients
}

// dropAll takes a client off all jobs but those that are copied whole, and gives how many
// these were, and the jobs under way that nobody else waits for: their copiers answer. What
// nobody waits for and is not begun is passed over when its turn comes.
func (s *schedule) dropAll(c *Client) (dropped int, orphans []*job) {
	for _, first := range s.jobs {
		for j := first; j != nil; j = j.next {
			switch {
			case !j.has(c) || j.whole:
			case j.begun && len(j.clients) == 1:
				j.orphan = true
				orphans = append(orphans, j)
			default:
				s.drop(j, c)
				dropped++
			}
		}
	}
	return dropped, orphans
}

// dropCopies takes a client off the jobs whose copies do not end, and gives how many these
// were.
func (s *schedule) dropCopies(c *Client) (dropped int) {
	for _, first := range s.jobs {
		for j := first; j != nil; j = j.next {
			if j.has(c) && !j.whole {
				s.drop(j, c)
				dropped++
			}
		}
	}
	return dropped
}

// drop takes a client off a job.
func (s *schedule) drop(j *job, c *Client) {
	j.clients = slices.DeleteFunc(j.clients, func(other *Client) bool { return other == c })
	if j.at >= 0 { // it may be urgent no more
		heap.Fix(s.heapOf(j), j.at)
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
func (s *schedule) deferJob(j *job, refused bool) bool {
	limit := maxDeferredBegun
	if refused {
		limit = maxDeferred
	}
	if j.alone || s.everDeferred >= limit {
		return false
	}
	s.everDeferred++
	s.copied(j)
	j.begun = false
	s.deferred = append(s.deferred, j)
	return true
}
