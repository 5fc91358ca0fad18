package pass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
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
	// CheckpointStep is after how many bytes of a large file a checkpoint of it is
	// saved; 0 for the default.
	CheckpointStep int64
	// InPlace says that the destination writes files under their own names.
	InPlace bool
	// Fresh takes every file for a new one: what stands at the destination under
	// the same name, size and time is not taken for it.
	Fresh bool
	// Discerning says that the source's RemoveIf tells contents apart, not only
	// sizes and times: it leaves what was never read for a new file. So does Fetch.
	Discerning bool
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

// How much a pass does side by side. Listing and copying wait for the far
// side most of the time, so these are many; large files are few, as each is
// split over the connection's channels by itself.
const (
	listers      = 48
	comparers    = 2
	copiers      = 256
	askedCopiers = 32 // of a Request: many run side by side
	largeCopies  = 4
	largeFile    = 8 << 20
	removers     = 16
	chunkSize    = 512
	defaultStall = 5 * time.Minute
)

// Pass is one pass over a source. Make one with New and Run it once.
type Pass struct {
	o      Options
	rules  plan.Rules
	src    *reopening
	dst    filesync.Destination
	ledger filesync.Ledger
	shared *Shared
	looks  *Looks
	claims *claims

	tally
	rows       *filesync.Seen // of the ledger, that the listing came across
	incomplete atomic.Bool    // the listing missed something; rows.Unlisted says where
	resumes    resumes
	second     waiting
	relisting  atomic.Bool  // the source is listed again, for the second look
	relisted   atomic.Int64 // files that the second listing found
	elsewhere  elsewhere
	missed     sync.Map     // names that were listed and have gone since
	released   int64        // claims of this pass that were; shared.claims guards it
	skip       []string     // directories that are never walked
	entries    atomic.Int64 // that were listed
	handed     atomic.Int64 // bytes that the listings keep of their names
	sweeping   atomic.Bool
	littered   atomic.Bool           // a pending file could not be removed
	began      int64                 // the last trouble that was met before
	noTelling  atomic.Bool           // the source could not tell of files that are unverified
	beside     bool                  // others were under way when it began
	noRoom     atomic.Pointer[error] // the first file's that did not fit
	misfits    atomic.Int64          // files that did not fit
	aside      aside                 // files that are to be tried alone
	asking     singleflight.Group    // for the room of a directory
	once       sync.Once             // for OnReached

	// Of files that are written in place.
	foretold  *grouped[filesync.Delivery, int64]
	confirmed *grouped[int64, struct{}]

	chunks chan []filesync.Entry
	jobs   chan job
	done   chan *finished
	after  chan []filesync.Record
	large  chan struct{}
	abort  context.CancelCauseFunc // ends the pass

	maxEntries int // in one directory
}

// New makes a pass. The first source is open already; open makes another one
// when that is lost. shared is the connector's.
func New(first filesync.Source, open OpenSource, dst filesync.Destination, ledger filesync.Ledger, shared *Shared, o Options) *Pass {
	o.CheckpointStep = cmp.Or(o.CheckpointStep, checkpointStep)
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pass{
		o: o, src: newReopening(first, open, o), dst: dst, ledger: ledger,
		shared: shared, looks: shared.looks, claims: &shared.claims,
		maxEntries: maxEntries,
		rows:       filesync.NewSeen(),
		elsewhere:  elsewhere{wake: make(chan struct{}, 1)},
		chunks:     make(chan []filesync.Entry, 2*listers),
		jobs:       make(chan job, 4*copiers),
		done:       make(chan *finished, maxBatch),
		after:      make(chan []filesync.Record, 4),
		large:      make(chan struct{}, largeCopies),
	}
	p.rules = plan.Rules{
		Mode: o.Mode, Settle: o.Settle, SecondLook: o.AwaitSettle, AfterCopy: o.AfterCopy.Any(), Flat: o.Flat,
		Overwrite: o.Overwrite, Once: o.Once, Fresh: o.Fresh, KeepBoth: o.KeepBoth, InPlace: o.InPlace,
	}
	p.foretold, p.confirmed = newGrouped(ledger.Foretell), newGrouped(p.confirmAll)
	return p
}

// Progress is a look at the pass from outside; it may be called at any time.
func (p *Pass) Progress() filesync.Progress { return p.progress() }

// Run does the pass. It gives the source back, and closes nothing else that it was given.
// When ctx ends, it stops at the next safe point: what was copied whole is
// committed, a large interrupted copy is kept for the next pass.
func (p *Pass) Run(ctx context.Context) filesync.Result {
	started := time.Now()
	p.began = p.shared.told.now()
	defer p.src.Close()
	ctx, p.abort = context.WithCancelCause(ctx)
	defer p.abort(nil)
	stop := p.watch(ctx)

	err := p.run(ctx)
	stop()
	if l, ok := p.dst.(filesync.Litterer); errors.Is(err, filesync.ErrDisconnected) || p.littered.Load() || ok && l.Littered() {
		p.litter(ctx)
	}
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	r := filesync.Result{Started: started, Finished: time.Now(), Files: p.counts(), Again: p.again.Load(), ToCopy: p.filesFound.Load(), Failures: p.failures, Incomplete: p.incomplete.Load(), Err: err}
	r.Stuck, r.Fruitless = p.stuck.Load(), err == nil && r.Again == 0 && r.Files.Fruitless(p.irregular.Load())
	if err == nil && p.o.Mode != filesync.Survey && p.o.Mode != filesync.Request {
		p.shared.told.over(p)
	}
	switch {
	case err == nil && r.Files.Clean():
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

// litter notes that pending files could not be removed any more.
func (p *Pass) litter(ctx context.Context) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := p.ledger.Littered(late); err != nil {
		p.o.Log.Warn("pending files may be left at the destination", "error", err)
	}
}

// run is the pass, step by step.
func (p *Pass) run(ctx context.Context) error {
	if p.o.Mode != filesync.Survey {
		defer p.shared.leave(p)
		if err := p.shared.enter(ctx, p, p.recoverLast); err != nil {
			return err
		}
		var err error
		if p.resumes.kept, err = p.ledger.Checkpoints(ctx); err != nil {
			return err
		}
		// Where the pass brings back what is missing at the destination, an
		// original goes only after a look at its copy.
		if p.o.Mode != filesync.Request && !p.rules.BringsBack() {
			if err := p.afterEarlier(ctx); err != nil {
				return err
			}
		}
	}
	if err := p.setAside(ctx); err != nil {
		return err
	}
	if p.o.Mode != filesync.Request {
		p.looks.begin()
	}
	started := time.Now()
	if err := p.stages(ctx); err != nil {
		return err
	}
	if full := p.noRoom.Load(); full != nil {
		return *full
	}
	switch {
	case p.o.Mode == filesync.Request:
		return p.bygone(ctx)
	case p.o.Mode == filesync.Survey:
		return nil
	}
	p.looks.end()
	if err := p.dropResumes(ctx); err != nil {
		return err
	}
	return p.ledger.Gone(ctx, p.rows, started, time.Now())
}

// setAside finds the directories that are not walked: what was moved there
// would be copied again.
func (p *Pass) setAside(ctx context.Context) error {
	if p.o.Skip != "" {
		p.skip = append(p.skip, p.o.Skip)
	}
	if p.o.AfterCopy.MoveTo == "" {
		return nil
	}
	name, inside, err := p.src.Locate(ctx, p.o.AfterCopy.MoveTo)
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

// stages runs the steps side by side, each fed by the one before:
//
//	walk → chunks → compare → jobs → copy → done → commit → after
func (p *Pass) stages(ctx context.Context) error {
	// The back half outlives a cancelled front half for a moment, so that what
	// was copied whole is committed.
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	var back errgroup.Group
	back.Go(func() error {
		defer close(p.after)
		return p.commitAll(late)
	})
	back.Go(func() error { return p.afterAll(ctx, late) })

	front, fctx := errgroup.WithContext(ctx)
	front.Go(func() error {
		defer close(p.jobs)
		if err := p.listAndCompare(fctx, p.o.AwaitSettle); err != nil {
			return err
		}
		p.listed.Store(true)
		if err := p.secondLook(fctx); err != nil {
			return err
		}
		return p.awaitOthers(fctx)
	})
	workers := copiers
	if p.o.Mode == filesync.Request {
		workers = askedCopiers
	}
	for range workers {
		front.Go(func() error { return p.copyAll(fctx) })
	}
	err := front.Wait()
	close(p.done)
	return errors.Join(err, back.Wait())
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
func (p *Pass) resting() bool { return p.second.asleep.Load() || p.sweeping.Load() }

// watch ends a pass that makes no progress. One that waits for others makes
// theirs.
func (p *Pass) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		tick := time.NewTicker(p.o.Stall / 8)
		defer tick.Stop()
		last, since := p.pulse(), time.Now()
		var others int64
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			was := others
			others = p.shared.othersPulse(p)
			if now := p.pulse(); now != last || p.resting() || p.elsewhere.waits.Load() && others != was {
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

// fail records that a file could not be done: its state, its try, its place
// in the result. What is not the file's own fault is not a try.
func (p *Pass) fail(ctx context.Context, e filesync.Entry, err error) {
	if p.o.Mode == filesync.Request && errors.Is(err, fs.ErrNotExist) && p.vanished(ctx, e) {
		p.miss(e)
		return
	}
	p.failed.Add(1)
	p.list(e.Name, err.Error(), hint(err))
	p.decide(e, filesync.StateFailed, err.Error())
	if p.o.Mode == filesync.Survey {
		return
	}
	if errors.Is(err, fs.ErrNotExist) && p.vanished(ctx, e) {
		return
	}
	p.try(ctx, e, err)
}

// miss notes that a listed file has gone from the source: another pass may have
// delivered and removed it.
func (p *Pass) miss(e filesync.Entry) {
	p.missed.Store(e.Name, true)
	p.exclude(e, "it went away meanwhile")
}

// vanished reports whether the source has the file no more. Some servers list
// names that they cannot open.
func (p *Pass) vanished(ctx context.Context, e filesync.Entry) bool {
	looks, err := p.src.Relist(ctx, []filesync.Entry{e})
	return err == nil && errors.Is(looks[0].Err, fs.ErrNotExist)
}

// try counts a try of the file in the ledger.
func (p *Pass) try(ctx context.Context, e filesync.Entry, err error) {
	found, ferr := p.ledger.Find(ctx, []string{e.Name})
	if ferr != nil {
		p.abort(ferr)
		return
	}
	f := filesync.Failure{Source: e, Tries: 1, Error: err.Error(), At: time.Now()}
	if last := found[0]; last.FailureID != 0 && !last.Failure.Conflict && last.Failure.Source.SameVersion(e) {
		f.Tries += last.Failure.Tries
		if (p.o.Mode == filesync.Request || p.o.Rerun) && f.At.Before(last.Failure.Next) {
			f.Tries-- // many requests in a row are no more than one try, nor are the runs of a pass
		}
	}
	f.Quarantined = f.Tries >= filesync.MaxTries
	f.Next = f.At.Add(filesync.RetryAfter(f.Tries))
	if ferr := p.record(ctx, f); ferr != nil {
		p.abort(ferr)
	}
}

// record writes a failure and notes that its file was seen.
func (p *Pass) record(ctx context.Context, f filesync.Failure) error {
	ids, err := p.ledger.Fail(ctx, []filesync.Failure{f})
	if err != nil {
		return err
	}
	p.rows.AddFailures(ids)
	return nil
}

// decide tells the observer of a decision.
func (p *Pass) decide(e filesync.Entry, s filesync.State, reason string) {
	p.decideTarget(e, s, "", reason)
}

// decideTarget is decide for a file that is at the destination under that name.
func (p *Pass) decideTarget(e filesync.Entry, s filesync.State, target, reason string) {
	if p.o.OnDecision != nil {
		p.o.OnDecision(filesync.Decision{Entry: e, State: s, Target: target, Reason: reason})
	}
}

// decideRecorded is decideTarget for a file that the ledger has as delivered.
func (p *Pass) decideRecorded(e filesync.Entry, r filesync.Record, target, reason string) {
	if p.o.OnDecision != nil {
		p.o.OnDecision(filesync.Decision{Entry: e, State: r.State(), Target: target, Reason: reason, Unverified: r.Unverified()})
	}
}
