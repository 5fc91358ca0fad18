package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Queue is the one queue of a connector. Its methods may be called concurrently.
type Queue struct {
	limiter    *rate.Limiter // nil: no limit
	room       room
	notDurable notDurable

	mu  sync.Mutex
	run *run // nil while no pass has joined
}

// New makes a queue that reads at most so many bytes a second; 0 is no limit.
func New(bytesPerSecond int64) *Queue { return &Queue{limiter: newLimiter(bytesPerSecond)} }

// Ends are what files are copied between, and the ledger that knows of it.
type Ends struct {
	Source      *ReopeningSource
	Destination filesync.Destination
	Ledger      Ledger
}

// Options are the settings of one pass that the queue acts by.
type Options struct {
	Pass      string // its id
	Mode      filesync.Mode
	Overwrite bool // files at the destination that are not ours may be replaced
	Once      bool // what was delivered is not looked for again
	InPlace   bool // the destination writes files under their own names
	AfterCopy filesync.AfterCopy
	Sweep     bool // what a killed pass left at the destination is removed first
	Rerun     bool // the pass has run before, and lost its destination
	// RoomHold is for how long at most a file is left alone of whose size another one
	// found no room, though there seemed to be some; 0: for as long as one that failed.
	RoomHold time.Duration
	// CheckpointStep is after how many bytes of a large file a checkpoint of it is
	// saved; 0 for the default.
	CheckpointStep int64
	Log            *slog.Logger
}

// Submitter is a pass, as the queue sees it. Its methods are called from several
// goroutines, never under a lock.
type Submitter interface {
	// DecideAgain decides anew about a file, as others have delivered since it was submitted.
	// ok is false if it is not to be copied any more, which the pass has counted then.
	DecideAgain(ctx context.Context, e filesync.Entry) (f File, ok bool, err error)
	// Done tells what became of a file, once for each that was submitted.
	Done(Result)
	// Recovered tells of a delivery that an earlier pass, or an earlier run of this one,
	// had begun and that turned out to stand.
	Recovered(filesync.Delivery)
	// OriginalLeft tells that an original could not be removed or moved; OriginalDiffers,
	// that it is not what was adopted as its copy, which is a conflict.
	OriginalLeft(e filesync.Entry, err error, hint string)
	OriginalDiffers(e filesync.Entry, err error, failureID int64)
	// Doing tells what is done now; Wrote, that so many bytes were written, or that so
	// many are worth nothing if negative.
	Doing(what string)
	Wrote(n int64)
	// End ends the pass: the source, the destination or the ledger is out of reach.
	End(error)
}

// File is a file that is to be copied or adopted, as it was decided.
type File struct {
	Entry filesync.Entry
	// Name is the name at the destination. Key is what no other file may share: the
	// folded name where names can collide, else "".
	Name, Key string
	// Replaces is what stands there and may be replaced; nil for nothing.
	Replaces *filesync.Entry
	// Adopts is what stands there and is the file already, which is recorded instead of
	// copied; nil for nothing.
	Adopts *filesync.Entry
	// Checkpoint is of an interrupted copy of this version; nil for none.
	Checkpoint *filesync.Checkpoint
	// Decided is Client.Now of the moment before the facts of the decision were read.
	Decided int64
	// Owner is the row of the delivery that the Key belonged to then; 0 for none.
	Owner int64
}

func (f *File) key() string { return cmp.Or(f.Key, f.Name) }

// Result is what became of a file.
type Result struct {
	Entry filesync.Entry
	// State is StateDelivered, StateFailed, StateConflict or StateWaiting; "" if the file
	// was decided about anew and is not to be copied, or another version of it was.
	State    filesync.State
	Delivery filesync.Delivery // of a delivered one
	Row      int64             // in the ledger, of the delivery; 0 for none
	// Joined says that another pass had submitted the file: it has the delivery.
	Joined    bool
	Took      time.Duration // from the start of the copy to the commit
	Failure   int64         // in the ledger; 0 for none
	Err       error
	Hint      string // "" where Err tells
	Discarded bool   // the copy was thrown away, as the file changed while it was read
	Stuck     bool   // time and again
	Gone      bool   // the source has it no more
	NoRoom    bool   // at the destination
	Begun     bool   // it was begun, and found none; else it was refused
}

// Client is a pass that has joined a queue.
type Client struct {
	r *run
	s Submitter
	o Options

	failures *failures
	disposer *disposer

	ctx    context.Context // of what is done for this pass alone; ends as it leaves
	cancel context.CancelFunc

	slots   chan struct{} // bounds the files that are submitted and have no answer
	settled chan struct{} // has room for one: pending is zero
	writes  atomic.Bool   // the ledger has noted that the pass writes

	// These are guarded by run.mu.
	pending   int   // files and originals without an answer
	delivered int64 // by jobs of this pass
	waits     bool  // nothing more is submitted
	left      bool
}

// How much is under way at a time.
const (
	// MaxCopies is how many files are copied at a time.
	MaxCopies  = 256
	maxUrgent  = 32 // more of them that a request waits for
	maxLarge   = 4  // of them of largeFile or more, each of which is split over channels
	largeFile  = 8 << 20
	maxBacklog = 4 * MaxCopies // files that one pass has submitted
)

// run is the life of a queue from the first pass that joins to the last that leaves.
type run struct {
	q      *Queue
	src    *ReopeningSource
	dst    filesync.Destination
	ledger Ledger
	log    *slog.Logger

	ctx    context.Context // of copying
	cancel context.CancelCauseFunc
	turn   chan struct{} // has room for one: who joins, or adopts
	ended  chan struct{} // closed when nothing is left of it

	after chan originals
	back  sync.WaitGroup // of what commits and disposes of originals
	// copiers are the jobs under way.
	copiers sync.WaitGroup

	copier      *copier
	committer   *committer
	lost        *lostCopies
	leftPending atomic.Bool  // a pending file could not be removed
	pulse       atomic.Int64 // changes as anything goes on
	recovered   bool         // whoever has the turn looks at it

	mu        sync.Mutex
	clients   map[*Client]struct{}
	schedule  schedule
	delivered int64 // by all passes
	err       error // why nothing more is copied
}

// Join adds a pass. The first to join recovers what a killed program left; the others
// wait for that. Passes that run side by side use the ends of the first of them. The
// source is the queue's from now on, which closes it; the destination is to stay open
// until all have left. A queue that has lost one of its ends is left by all before
// somebody joins it again. The client has to leave.
func (q *Queue) Join(ctx context.Context, ends Ends, s Submitter, o Options) (*Client, error) {
	o.CheckpointStep = cmp.Or(o.CheckpointStep, checkpointStep)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{s: s, o: o, slots: make(chan struct{}, maxBacklog), settled: make(chan struct{}, 1)}
	for {
		r, joined := q.join(c, ends)
		if joined {
			break
		}
		if err := r.awaitEnd(ctx); err != nil {
			ends.Source.Close()
			return nil, err
		}
	}
	if c.r.src != ends.Source {
		ends.Source.Close()
	}
	if err := c.enter(ctx); err != nil {
		c.Leave()
		return nil, err
	}
	return c, nil
}

// join adds a client to the run, or to a new one; not to one that is ending.
func (q *Queue) join(c *Client, ends Ends) (r *run, joined bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.run == nil {
		q.run = newRun(q, ends, c.o.Log)
	}
	r = q.run
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.clients == nil {
		return r, false
	}
	c.r = r
	c.failures = &failures{src: r.src, ledger: r.ledger, o: c.o, end: r.fail}
	c.disposer = &disposer{src: r.src, dst: r.dst, ledger: r.ledger, failures: c.failures, s: c.s, o: c.o, pulse: &r.pulse}
	c.ctx, c.cancel = context.WithCancel(r.ctx)
	r.clients[c] = struct{}{}
	return r, true
}

// awaitEnd waits until nothing is left of a run that is ending.
func (r *run) awaitEnd(ctx context.Context) error {
	timer := time.NewTimer(maxEnding)
	defer timer.Stop()
	select {
	case <-r.ended:
		return nil
	case <-timer.C:
		return &status.Error{Word: status.ConnectionTimedOut, Op: "wait for the copies of the last pass",
			Err: fmt.Errorf("they have not ended for %s", maxEnding)}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// maxEnding is how long it is waited for copies that do not end when they should.
const maxEnding = 5 * time.Minute

func newRun(q *Queue, ends Ends, log *slog.Logger) *run {
	r := &run{
		q: q, src: ends.Source, dst: ends.Destination, ledger: ends.Ledger, log: log,
		turn: make(chan struct{}, 1), ended: make(chan struct{}),
		after:   make(chan originals, 4),
		clients: map[*Client]struct{}{},
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.schedule = schedule{ctx: r.ctx, jobs: map[string]*job{}}
	r.lost = &lostCopies{r.dst, r.ledger, log}
	journal := newInPlaceJournal(r.ctx, r.ledger, r.lost, log)
	r.copier = &copier{
		ctx: r.ctx, src: r.src, dst: r.dst, ledger: r.ledger, journal: journal, limiter: q.limiter, room: &q.room, leftPending: &r.leftPending,
	}
	r.committer = &committer{
		dst: r.dst, ledger: r.ledger, copier: r.copier, journal: journal, lost: r.lost, room: &q.room, queue: r,
		done: make(chan *finished, maxBatch), flush: make(chan struct{}, 1),
	}
	if p, ok := r.dst.(filesync.Prover); ok {
		r.committer.proven = make(chan []filesync.Pending, 4)
		r.back.Go(func() {
			for batch := range r.committer.proven {
				p.Recorded(context.Background(), batch)
			}
		})
	}
	r.back.Go(func() {
		defer close(r.after)
		r.committer.commitAll(context.Background())
	})
	r.back.Go(func() { r.afterAll(context.Background()) })
	return r
}

// enter waits until what was left behind is recovered, or does that.
func (c *Client) enter(ctx context.Context) error {
	select {
	case c.r.turn <- struct{}{}:
		defer func() { <-c.r.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.r.recovered {
		return nil
	}
	v := recovery{
		src: c.r.src, dst: c.r.dst, ledger: c.r.ledger, lost: c.r.lost, notDurable: &c.r.q.notDurable, leftPending: &c.r.leftPending, s: c.s, o: c.o,
	}
	if err := v.run(ctx); err != nil {
		return err
	}
	c.r.recovered = true
	return nil
}

// Source is the source that the files are read from.
func (c *Client) Source() *ReopeningSource { return c.r.src }

// Destination is the destination that they are copied to.
func (c *Client) Destination() filesync.Destination { return c.r.dst }

// Pulse is a number that changes while the queue, or any pass of it, makes progress.
func (c *Client) Pulse() int64 { return c.r.pulse.Load() }

// Now is a number that changes as other passes deliver.
func (c *Client) Now() int64 {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	return c.r.delivered - c.delivered
}

// Wait waits until each file that was submitted has its answer, and the originals of
// those that were delivered are gone, as far as they may. It gives why the queue has
// ended, if it has.
func (c *Client) Wait(ctx context.Context) error {
	c.r.mu.Lock()
	c.waits = true
	c.r.flushIfQuiet()
	for c.pending > 0 {
		c.r.mu.Unlock()
		select {
		case <-c.settled:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.r.mu.Lock()
	}
	c.waits = false
	err := c.r.err
	c.r.mu.Unlock()
	return err
}

// Leave ends what nobody but this pass has asked for and is not copied yet, and the
// removal of its originals, waits for the rest, and leaves the queue. It does not wait
// for long for a copy that does not end when it should. It reports whether pending files
// may have been left at the destination.
func (c *Client) Leave() (needsSweep bool) {
	r := c.r
	r.mu.Lock()
	c.left = true
	dropped, orphans := r.schedule.dropAll(c)
	c.answered(dropped)
	r.dispatch()
	r.mu.Unlock()
	c.cancel()
	for _, j := range orphans {
		j.cancel()
	}
	late, cancel := context.WithTimeout(context.Background(), 2*graceTime)
	defer cancel()
	if c.Wait(late) != nil {
		r.mu.Lock()
		c.answered(r.schedule.dropCopies(c))
		r.mu.Unlock()
		_ = c.Wait(context.Background()) // what is being committed is committed
	}
	needsSweep = r.leftPending.Load()
	r.q.mu.Lock()
	r.mu.Lock()
	delete(r.clients, c)
	last := len(r.clients) == 0
	if last {
		r.clients = nil // nobody joins any more
	}
	hung := r.schedule.copying > 0
	r.mu.Unlock()
	r.q.mu.Unlock()
	switch {
	case last && hung:
		go r.end()
		return true
	case last:
		r.end()
	}
	return needsSweep
}

// end ends a run that everybody has left.
func (r *run) end() {
	r.cancel(errors.New("every pass has ended"))
	r.copiers.Wait()
	close(r.committer.done)
	r.back.Wait()
	r.src.Close()
	r.q.mu.Lock()
	r.q.run = nil
	r.q.mu.Unlock()
	close(r.ended)
}

// fail ends all copying, and with it the passes.
func (r *run) fail(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	clients := make([]*Client, 0, len(r.clients))
	for c := range r.clients {
		clients = append(clients, c)
	}
	r.mu.Unlock()
	r.cancel(err)
	for _, c := range clients {
		c.s.End(err)
	}
}
