// Package connector runs elements: each has one connector's configuration, its
// schedule, its Connection Status and its passes. A Set holds all of them.
//
// It knows stores only by the constructors that it is given.
package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sftpconnector/config"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// Source is a source whose directory can be tried.
type Source interface {
	filesync.Source
	// Probe reads the beginning of the source directory.
	Probe(ctx context.Context) error
}

// Parts are what elements are built of. All but the two constructors may be nil.
type Parts struct {
	// Source opens a connector's source, with the login in c that is valid now, and reports the stages of that.
	Source func(ctx context.Context, c *config.Connector, observe status.Observer) (Source, error)
	// Destination opens its destination, and reports the stages of that where it is
	// the SFTP server. Pending files are of the epoch.
	Destination func(ctx context.Context, c *config.Connector, epoch int64, observe status.Observer) (filesync.Destination, error)
	// Credentials fetches logins; nil: no connector has a credentials API.
	Credentials *Credentials
	// Lock makes sure that no other process runs a pass of the connector; it
	// answers ErrBusy when one does.
	Lock func(name string) (unlock func(), err error)
	// Now is the wall clock; nil: the machine's.
	Now func() time.Time
	Log *slog.Logger
	// OnPass is told of each pass that ended, OnHealth of each change of a
	// Connection Status (Checking is none), OnDelivered of each file. They must not block.
	OnPass      func(name string, p PassReport)
	OnHealth    func(name string, h Health)
	OnDelivered func(name string, d filesync.Delivered)
}

// Errors of elements.
var (
	// ErrBusy: another process runs a pass of the connector.
	ErrBusy = errors.New("another process runs a pass of this connector")
	// ErrStopped: the element was removed, or the program ends.
	ErrStopped = errors.New("the connector was stopped")
)

// Element is one connector at work. Its methods may be called concurrently.
type Element struct {
	cfg    *config.Connector
	parts  Parts
	memory *ledger.Connector
	filter *filesync.Filter
	common *pass.Shared
	src    *shared[Source]
	dst    *shared[filesync.Destination]
	slots  chan struct{} // has room for the requests that may run at a time
	health *health
	log    *slog.Logger

	mu       sync.Mutex
	sync     config.Schedule // in force: the file's, or what was set over it
	schedule schedule
	next     time.Time // of the next automatic pass; zero: none
	ran      time.Time // when the last automatic pass was due; zero: there was none
	changed  chan struct{}
	running  *Run        // the pass under way
	waiting  *Run        // the Apply that follows it
	last     *PassReport // the last that ended
	skipped  int64       // ticks that found a pass running
	srcHold  hold        // of logins at the source
	dstHold  hold        // of logins at the destination
	requests int         // under way, those that wait for their turn included
	forgot   time.Time   // when the retention was last applied
	pruning  bool        // it is being applied
	totals   Totals      // since the program started
	stopped  bool
	passes   sync.WaitGroup
	entering chan struct{}     // has room for one: the pass that is being started
	entered  int               // passes under way; entering guards it
	unlock   func()            // the lock that they share; entering guards it
	claimed  *ledger.Connector // what they write to; entering guards it
	epoch    atomic.Int64      // of the claim; 0: none yet
	ctx      context.Context   // of the passes
	cancel   context.CancelCauseFunc
}

// Totals count what an element did since the program started.
type Totals struct {
	Passes  map[filesync.Outcome]int64
	Files   int64
	Bytes   int64
	Errors  map[status.Word]int64 // passes and checks that ended in this status
	Failed  int64                 // files that failed, each time
	Skipped int64
}

// rootOf is the path of the source directory as patterns have it.
func rootOf(cfg *config.Connector) string { return filepath.ToSlash(cfg.Files.SourceDirectoryPath) }

// New makes an element, with what the ledger remembers of it. over is the
// schedule that was set over the file's, or "".
func New(cfg *config.Connector, parts Parts, memory ledger.Remembered, over string) (*Element, error) {
	filter, err := filesync.NewFilter(filesync.FilterOptions{
		Include: cfg.Files.Include, Exclude: cfg.Files.Exclude,
		MaximumSize: int64(cfg.Files.MaximumFileSize), MinimumAge: cfg.Files.MinimumAge.Std(),
		Root: rootOf(cfg),
	})
	if err != nil {
		return nil, fmt.Errorf("connector %s: %w", cfg.Name, err)
	}
	if parts.Log == nil {
		parts.Log = slog.New(slog.DiscardHandler)
	}
	e := &Element{
		cfg: cfg, parts: parts, memory: memory.Connector, filter: filter,
		common: pass.NewShared(int64(cfg.Files.BandwidthLimit)), slots: make(chan struct{}, maxRequests),
		entering: make(chan struct{}, 1), log: parts.Log.With("connector", cfg.Name),
		sync: cfg.Sync, changed: make(chan struct{}, 1),
		totals: Totals{Passes: map[filesync.Outcome]int64{}, Errors: map[status.Word]int64{}},
	}
	e.srcHold = newHold(sourceEnd, loginOf(cfg, sourceEnd), memory.Holds, time.Now())
	e.dstHold = newHold(destinationEnd, loginOf(cfg, destinationEnd), memory.Holds, time.Now())
	e.health = newHealth(e.healthChanged)
	e.src = newShared(e.openSource, func(s Source) { s.Close() })
	e.dst = newShared(e.openDestination, func(d filesync.Destination) { d.Close() })
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	if over != "" {
		if s, err := config.ParseSchedule(over); err == nil {
			e.sync = s
		}
	}
	if e.schedule, err = newSchedule(cfg.Name, e.sync, cfg.TimeZone.Location); err != nil {
		return nil, fmt.Errorf("connector %s: %w", cfg.Name, err)
	}
	e.next, e.ran = e.schedule.first(e.parts.now(), memory.LastStart), memory.LastStart
	if memory.Last != nil {
		last := remembered(*memory.Last)
		e.last = &last
	}
	return e, nil
}

// Name is the connector's name.
func (e *Element) Name() string { return e.cfg.Name }

// Config is the connector's configuration; it must not be changed.
func (e *Element) Config() *config.Connector { return e.cfg }

// Memory is the connector's part of the ledger.
func (e *Element) Memory() *ledger.Connector { return e.memory }

// run starts the automatic passes until ctx ends.
func (e *Element) run(ctx context.Context) {
	e.tellHeld()
	for ctx.Err() == nil {
		e.mu.Lock()
		next := e.next
		e.mu.Unlock()
		left := next.Sub(e.parts.now())
		if !next.IsZero() && left <= 0 {
			e.tick(next)
			continue
		}
		e.wait(ctx, next.IsZero(), left)
	}
}

// wait waits until the next pass is due by the time that timers go by, or
// something about it has changed. forever: none is planned.
func (e *Element) wait(ctx context.Context, forever bool, left time.Duration) {
	var due <-chan time.Time
	if !forever {
		timer := time.NewTimer(left)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-e.changed:
	case <-due:
	}
}

// tick starts the automatic pass that is due, unless one runs already or the
// server refused us a short while ago.
func (e *Element) tick(due time.Time) {
	now := e.parts.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.next.Equal(due) {
		return // the schedule was changed
	}
	// A machine that slept wakes up late: what it missed is not made up.
	if e.next = e.schedule.next(due); !e.next.IsZero() && e.next.Before(now) {
		e.next = e.schedule.next(now)
	}
	e.ran = due
	switch {
	case e.stopped:
	case e.running != nil:
		e.skipped++
		e.totals.Skipped++
		e.log.Info("tick skipped: the pass before it still runs", "skipped", e.skipped, "running_since", e.running.started)
	case time.Now().Before(e.held()):
		e.log.Debug("tick passed over: the server refused the login", "until", e.held())
	default:
		e.start(newRun(filesync.Automatic))
	}
}

// SetSchedule changes automatic_sftp_file_sync until the file says something
// else. The change is in the ledger when it returns.
func (e *Element) SetSchedule(ctx context.Context, s config.Schedule) error {
	compiled, err := newSchedule(e.cfg.Name, s, e.cfg.TimeZone.Location)
	if err != nil {
		return err
	}
	if err := e.memory.SetSchedule(ctx, s.String(), e.cfg.Sync.String()); err != nil {
		return err
	}
	e.mu.Lock()
	e.sync, e.schedule = s, compiled
	e.next = compiled.next(e.parts.now())
	e.mu.Unlock()
	e.wake()
	e.log.Info("schedule set", "automatic_sftp_file_sync", s.String())
	return nil
}

// wake has run look again when the next pass is due.
func (e *Element) wake() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// Retry releases quarantined files: the named ones, or all for none.
func (e *Element) Retry(ctx context.Context, paths []string) ([]string, error) {
	return e.memory.Retry(ctx, paths)
}

// stop ends the pass under way and waits for it; ErrStopped is its cause.
func (e *Element) stop() {
	e.mu.Lock()
	e.stopped = true
	if e.waiting != nil {
		e.waiting.finish(PassReport{}, ErrStopped)
		e.waiting = nil
	}
	e.mu.Unlock()
	e.cancel(stopped{})
	e.passes.Wait()
}

// stopped is the cause of a pass that was ended from outside.
type stopped struct{}

func (stopped) Error() string { return ErrStopped.Error() }

func (stopped) Is(target error) bool { return target == ErrStopped || target == context.Canceled }

// healthChanged logs the beginning of a fault, with its cause and what to do, or its
// end, with how long it lasted.
func (e *Element) healthChanged(h, was Health) {
	attrs := []any{"status", h.Status}
	if was.Error != "" && was.Status != h.Status {
		attrs = append(attrs, "was", was.Status, "lasted", h.Since.Sub(was.Since).Round(time.Second))
	}
	if h.Error == "" {
		e.log.Info("connection status", attrs...)
	} else {
		e.log.Warn("connection status", append(attrs, "error", h.Error, "hint", h.Hint)...)
	}
	if e.parts.OnHealth != nil && h.Status != was.Status {
		e.parts.OnHealth(e.cfg.Name, h)
	}
}
