package pass

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
	"sftpconnector/sync/transfer"
)

// Options are the settings of a pass.
type Options struct {
	ID     string // of the pass
	Mode   filesync.Mode
	Filter *filesync.Filter
	// Selection narrows a Request down; nil for all files.
	Selection *filesync.Selection
	// Settle is how long a file has to stand still; AwaitSettle lets the pass
	// wait for the second look, once for all files.
	Settle      time.Duration
	AwaitSettle bool
	FollowLinks bool
	// Skip is a directory below the source that is never walked; "" for none.
	Skip      string
	Flat      bool // all files in one directory at the destination
	Overwrite bool // replace files at the destination that are not ours
	// Once leaves a delivered version alone that is missing at the destination, in
	// every mode: its receiver may have taken it away.
	Once bool
	// Rerun says that this pass has run before, and lost its destination.
	Rerun bool
	// RoomHold is for how long at most a file is left alone of whose size another one
	// found no room, though there seemed to be some; 0: for as long as one that failed.
	RoomHold time.Duration
	// CheckpointStep is after how many bytes of a large file a checkpoint of it is
	// saved; 0 for the default.
	CheckpointStep int64
	// InPlace says that the destination writes files under their own names.
	InPlace bool
	// KeepBoth gives a file whose name is taken at the destination another one,
	// "x (2).csv".
	KeepBoth  bool
	AfterCopy filesync.AfterCopy
	// Sweep removes what a killed pass left at the destination.
	Sweep bool
	// Stall ends a pass that makes no progress for so long; 0 for the default.
	Stall time.Duration
	Log   *slog.Logger
	// Release takes the source back that a pass was given or has opened, lost if
	// its connection is. nil: it is closed.
	Release func(s filesync.Source, lost bool)
	// OnReached, which may be nil, is called once the source directory could be
	// read; OnLost when the connection is lost, and with nil when it is back.
	OnReached func()
	OnLost    func(error)
	// OnDelivered and OnDecision may be nil. They are called from several
	// goroutines and must not block.
	OnDelivered func(filesync.Delivered)
	OnDecision  func(filesync.Decision)
}

// How much a pass does side by side. Listing waits for the far side most of the time.
const (
	listers      = 48
	comparers    = 2
	chunkSize    = 512
	defaultStall = 5 * time.Minute
	graceTime    = 5 * time.Second // for what is done after a pass was cancelled
)

// Pass is one pass over a source. Make one with New and Run it once.
type Pass struct {
	*report
	*lister
	*decider
	shared  *Shared
	watched atomic.Pointer[transfer.Client] // the queue, for the watchdog
	joining atomic.Bool                     // the pass waits for its turn, or recovers
	began   int64                           // the number of the last failure before
}

// New makes a pass. The first source is open already; open makes another one
// when that is lost. shared is the connector's.
func New(first filesync.Source, open transfer.OpenSource, dst filesync.Destination, ledger Ledger, shared *Shared, o Options) *Pass {
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	src := transfer.NewReopeningSource(first, open, o.Release, o.OnLost)
	r := &report{
		o: o, tracker: &shared.tracker, observations: shared.observations, rows: filesync.NewSeen(),
		rules: plan.Rules{
			Mode: o.Mode, Settle: o.Settle, SecondLook: o.AwaitSettle, AfterCopy: o.AfterCopy.Any(), Flat: o.Flat,
			Overwrite: o.Overwrite, Once: o.Once, KeepBoth: o.KeepBoth, InPlace: o.InPlace,
		},
	}
	return &Pass{
		report:  r,
		lister:  &lister{report: r, src: src, maxEntries: maxEntries, chunks: make(chan []filesync.Entry, 2*listers)},
		decider: &decider{report: r, src: src, dst: dst, ledger: ledger},
		shared:  shared,
	}
}

// Progress is a look at the pass from outside; it may be called at any time.
func (p *Pass) Progress() filesync.Progress { return p.progress() }

// Run does the pass. It gives the source back, and closes nothing else that it was given.
// When ctx ends, it stops at the next safe point: what was copied whole is
// committed, a large interrupted copy is kept for the next pass.
func (p *Pass) Run(ctx context.Context) filesync.Result {
	started := time.Now()
	p.began = p.tracker.now()
	ctx, p.abort = context.WithCancelCause(ctx)
	defer p.abort(nil)
	stop := p.watch(ctx)

	needsSweep, err := p.joinAndRun(ctx)
	stop()
	l, ok := p.dst.(filesync.SweepRequester)
	left := errors.Is(err, filesync.ErrDisconnected) || needsSweep || ok && l.NeedsSweep()
	if left {
		p.requireSweep(ctx)
	}
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	r := filesync.Result{Started: started, Finished: time.Now(), Files: p.counts(), Again: p.again.Load(), ToCopy: p.filesFound.Load(), Failures: p.failures, Incomplete: p.incomplete.Load(), Left: left, Err: err}
	r.Stuck, r.Fruitless = p.stuck.Load(), err == nil && r.Again == 0 && fruitless(r.Files, p.irregular.Load())
	if err == nil && p.o.Mode != filesync.Survey && p.o.Mode != filesync.Request {
		p.tracker.logEnded(p.report, p.began)
	}
	switch {
	case err == nil && clean(r.Files):
		r.Outcome = filesync.Succeeded
	case err == nil:
		r.Outcome = filesync.Partial
	case errors.Is(err, context.Canceled):
		r.Outcome = filesync.Cancelled
	default:
		r.Outcome = filesync.Failed
	}
	return r
}

// clean reports whether nothing went wrong with any file.
func clean(c filesync.Counts) bool {
	return c.Failed == 0 && c.Conflict == 0 && c.Quarantined == 0 && c.Unsafe == 0
}

// fruitless reports whether there are files of which none was delivered by this
// pass or before it. irregular is how many of the files seen are pipes, devices
// or sockets, which nobody can read.
func fruitless(c filesync.Counts, irregular int64) bool {
	bad := !clean(c) || c.Seen > 0 && c.Seen == irregular
	return bad && c.Copied == 0 && c.Present == 0 && c.Waiting == 0
}

// requireSweep notes that pending files could not be removed any more.
func (p *Pass) requireSweep(ctx context.Context) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	if err := p.ledger.RequireSweep(late); err != nil {
		p.o.Log.Warn("pending files may be left at the destination", "error", err)
	}
}

// joinAndRun runs the pass as one of those that use the connector's queue. A Survey
// copies nothing, and does not. needsSweep says that pending files may have been left.
func (p *Pass) joinAndRun(ctx context.Context) (needsSweep bool, err error) {
	if p.o.Mode == filesync.Survey {
		defer p.lister.src.Close()
		return false, p.run(ctx)
	}
	p.joining.Store(true)
	queue, err := p.shared.queue.Join(ctx, transfer.Ends{Source: p.lister.src, Destination: p.dst, Ledger: p.ledger}, p, transfer.Options{
		Pass: p.o.ID, Mode: p.o.Mode, Overwrite: p.o.Overwrite, Once: p.o.Once, InPlace: p.o.InPlace,
		AfterCopy: p.o.AfterCopy, Sweep: p.o.Sweep, Rerun: p.o.Rerun, RoomHold: p.o.RoomHold,
		CheckpointStep: p.o.CheckpointStep, Log: p.o.Log,
	})
	p.joining.Store(false)
	if err != nil {
		return false, err
	}
	p.queue, p.dst, p.lister.src, p.decider.src = queue, queue.Destination(), queue.Source(), queue.Source()
	p.watched.Store(queue)
	err = p.run(ctx)
	return queue.Leave(), err
}

// run is the pass, step by step.
func (p *Pass) run(ctx context.Context) (err error) {
	if p.queue != nil {
		p.checkpoints.inPlace = p.o.InPlace
		if p.checkpoints.kept, err = p.ledger.Checkpoints(ctx); err != nil {
			return err
		}
		// Where the pass brings back what is missing at the destination, an
		// original goes only after a look at its copy.
		if p.o.Mode != filesync.Request && !p.rules.BringsBack() {
			if err := p.queue.DisposeEarlier(ctx); err != nil {
				return err
			}
		}
	}
	if err := p.findSkipped(ctx); err != nil {
		return err
	}
	if p.o.Mode != filesync.Request {
		p.observations.begin()
	}
	since, err := p.ledger.Sequence(ctx)
	if err != nil {
		return err
	}
	if err := p.listAndSubmit(ctx); err != nil {
		return err
	}
	if full := p.noRoom.Load(); full != nil {
		return *full
	}
	switch {
	case p.o.Mode == filesync.Request:
		return p.deliveredEarlier(ctx)
	case p.o.Mode == filesync.Survey:
		return nil
	}
	p.observations.end()
	if err := p.dropCheckpoints(ctx); err != nil {
		return err
	}
	return p.ledger.Gone(ctx, p.rows, since, time.Now())
}

// listAndSubmit lists the source, decides about its files, has those copied that are to
// be, and waits for that.
//
//	list → chunks → decide → submit
func (p *Pass) listAndSubmit(ctx context.Context) error {
	if err := p.listAndCompare(ctx, p.o.AwaitSettle); err != nil {
		return err
	}
	p.listed.Store(true)
	if err := p.secondLook(ctx); err != nil {
		return err
	}
	if p.queue == nil {
		return nil
	}
	return p.queue.Wait(ctx)
}

// findSkipped finds the directories that are not walked: what was moved there
// would be copied again.
func (p *Pass) findSkipped(ctx context.Context) error {
	if p.o.Skip != "" {
		p.skip = append(p.skip, p.o.Skip)
	}
	if p.o.AfterCopy.MoveTo == "" {
		return nil
	}
	name, inside, err := p.lister.src.Locate(ctx, p.o.AfterCopy.MoveTo)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil
	case err != nil:
		return fmt.Errorf("find the directory of after_copy: %w", err)
	case inside && name == "":
		return errors.New("files.after_copy moves files to the source directory itself: name another one")
	case inside:
		p.skip = append(p.skip, name)
	}
	return nil
}

// listAndCompare lists the source and decides about its files. With await, those
// that have to stand still a little longer are put aside for the second look.
func (p *Pass) listAndCompare(ctx context.Context, await bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(p.chunks)
		return p.walk(ctx)
	})
	for range comparers {
		g.Go(func() error {
			for entries := range p.chunks {
				if err := p.compare(ctx, entries, await); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// resting reports whether the pass has reason to make no progress.
func (p *Pass) resting() bool { return p.second.asleep.Load() || p.joining.Load() }

// pulse is all that moves while a pass, or one that it waits for, makes progress.
type pulse struct {
	progress filesync.Progress
	counts   filesync.Counts
	entries  int64
	queue    int64
}

func (p *Pass) pulse() pulse {
	now := pulse{progress: p.progress(), counts: p.counts(), entries: p.entries.Load()}
	if q := p.watched.Load(); q != nil {
		now.queue = q.Pulse()
	}
	return now
}

// watch ends a pass that makes no progress.
func (p *Pass) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		tick := time.NewTicker(p.o.Stall / 8)
		defer tick.Stop()
		last, since := p.pulse(), time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if now := p.pulse(); now != last || p.resting() {
				last, since = now, time.Now()
				continue
			}
			if time.Since(since) >= p.o.Stall {
				p.abort(&status.Error{Word: status.ConnectionTimedOut, Op: "pass",
					Err: fmt.Errorf("no progress for %s; it stood at: %s", p.o.Stall, last.progress.Doing)})
				return
			}
		}
	}()
	return func() { cancel(); <-finished }
}
