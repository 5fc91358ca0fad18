package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// PassReport is a pass as it is shown: one that ended, or one under way.
type PassReport struct {
	ID       string
	Mode     filesync.Mode
	Result   filesync.Result
	Status   status.Word // the Connection Status at its end
	Progress *filesync.Progress
}

// Run is a pass that was asked for. Wait for it, or look at it.
type Run struct {
	Mode filesync.Mode

	done   chan struct{}
	report PassReport
	err    error
	ledger *ledger.Connector // as it was claimed for this pass

	selection *filesync.Selection // of a request
	observe   *collector
	left      *leftFiles                              // of a pass over the whole source; nil until the connection stands
	began     func(progress func() filesync.Progress) // may be nil

	mu      sync.Mutex
	started time.Time  // zero while it waits for another pass
	id      string     // "" until it is in the ledger
	pass    *pass.Pass // nil until the connection stands
}

func newRun(mode filesync.Mode) *Run { return &Run{Mode: mode, done: make(chan struct{})} }

// Done is closed when the pass has ended.
func (r *Run) Done() <-chan struct{} { return r.done }

// Report is how the pass ended; only after Done. The error says that there was
// no pass at all: ErrBusy, ErrStopped, a *PausedError, or one of the ledger.
func (r *Run) Report() (PassReport, error) { return r.report, r.err }

// Wait waits for the end of the pass, or of ctx.
func (r *Run) Wait(ctx context.Context) (PassReport, error) {
	select {
	case <-r.done:
		return r.Report()
	case <-ctx.Done():
		return PassReport{}, context.Cause(ctx)
	}
}

// current is the pass; nil until the connection stands.
func (r *Run) current() *pass.Pass {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pass
}

// Snapshot is the pass at the moment, for a progress bar.
func (r *Run) Snapshot() PassReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := PassReport{ID: r.id, Mode: r.Mode}
	p.Result.Started = r.started
	if r.pass != nil {
		progress := r.pass.Progress()
		p.Progress = &progress
	}
	return p
}

func (r *Run) finish(p PassReport, err error) {
	r.report, r.err = p, err
	close(r.done)
}

// Apply validates the connection and makes sure that every matching file is at
// the destination. It joins an Apply that runs or waits, and follows an
// automatic pass. Its error is ErrStopped, or a *PausedError.
func (c *Connector) Apply() (*Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusePaused(); err != nil {
		return nil, err
	}
	switch {
	case c.stopped:
		return nil, ErrStopped
	case c.running == nil:
		r := newRun(filesync.Apply)
		c.start(r)
		return r, nil
	case c.running.Mode == filesync.Apply:
		return c.running, nil
	case c.waiting == nil:
		c.waiting = newRun(filesync.Apply)
	}
	return c.waiting, nil
}

// Sync starts an automatic pass at once, whatever the schedule, or gives the
// pass under way.
func (c *Connector) Sync() (*Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusePaused(); err != nil {
		return nil, err
	}
	if c.stopped {
		return nil, ErrStopped
	}
	if c.running == nil {
		c.start(newRun(filesync.Automatic))
	}
	return c.running, nil
}

// start runs a pass. The caller holds c.mu, and no pass runs.
func (c *Connector) start(r *Run) {
	r.mu.Lock()
	r.started = time.Now()
	r.mu.Unlock()
	c.running = r
	c.passes.Go(func() {
		report, err := c.pass(c.ctx, r)
		c.ended(r, report, err)
	})
}

// ended notes the end of a pass and starts the Apply that waits for it.
func (c *Connector) ended(r *Run, report PassReport, err error) {
	var left []interapp.File
	if err == nil {
		c.count(report)
		if o := report.Result.Outcome; r.left != nil && (o == filesync.Succeeded || o == filesync.Partial) {
			left = r.left.of(report.ID)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = nil
	if err == nil {
		c.last = &report
	}
	if left != nil {
		c.left = left
	}
	r.finish(report, err)
	if next := c.waiting; next != nil && !c.stopped {
		c.waiting = nil
		c.start(next)
	}
}

// count takes a pass into the totals, and tells of it.
func (c *Connector) count(p PassReport) {
	c.mu.Lock()
	c.totals.Passes[p.Result.Outcome]++
	c.totals.Files += p.Result.Files.Copied
	c.totals.Bytes += p.Result.Files.Bytes
	c.totals.Failed += p.Result.Files.Failed
	if p.Result.Outcome == filesync.Failed {
		c.totals.Errors[p.Status]++
	}
	c.mu.Unlock()
	if c.parts.OnPass != nil {
		c.parts.OnPass(c.cfg.Name, p)
	}
}

// pass does one pass, from the lock to the ledger.
func (c *Connector) pass(ctx context.Context, r *Run) (PassReport, error) {
	id, unclean, err := c.claim.enter(ctx, r)
	if err != nil {
		if errors.Is(err, ErrBusy) {
			c.log.Warn("pass not started", "mode", r.Mode, "error", err)
		} else if ctx.Err() == nil {
			c.health.report(ofLedger(err))
		}
		return PassReport{}, err
	}
	defer c.claim.leave()
	r.mu.Lock()
	r.id = id
	r.mu.Unlock()
	result := c.connectAndRun(ctx, r, id, unclean)
	late, cancel := closing(ctx)
	defer cancel()
	result, word := c.deliverable(late, r, result)
	p := PassReport{ID: id, Mode: r.Mode, Result: result, Status: word}
	if err := r.ledger.FinishPass(late, id, result, p.Status); err != nil {
		c.health.report(ofLedger(fmt.Errorf("pass %s not recorded: %w", id, err)))
	}
	c.pruner.forget()
	p.log(c.log)
	return p, nil
}

// How often a pass begins anew when its destination is lost: in a row, where
// a file that arrives starts the count anew, and in all.
const (
	maxTries    = 4
	maxAllTries = 20
)

// connectAndRun opens both ends and lets the pass run between them. The
// Connection Status follows from how that goes. A pass whose destination is lost
// begins anew: the ledger has what was delivered.
func (c *Connector) connectAndRun(ctx context.Context, r *Run, id string, sweep bool) filesync.Result {
	c.health.checking()
	if r.Mode == filesync.Apply {
		c.ends.clearHolds()
	}
	var done filesync.Result
	for all, inRow := 1, 1; ; all, inRow = all+1, inRow+1 {
		result := c.runOnce(ctx, r, id, sweep)
		if result.Files.Copied > 0 {
			inRow = 1
		}
		if all == 1 {
			result.Started = r.started
			done = result
		} else {
			done = result.Join(done)
		}
		if !again(result.Err, all > 1) || ctx.Err() != nil || inRow >= maxTries || all >= maxAllTries {
			if all > 1 {
				c.ends.requireSweep(ctx)
			}
			return c.health.conclude(ctx, done)
		}
		c.health.report(result.Err)
		c.log.Info("destination lost, the pass begins anew", "pass", id, "error", result.Err)
		sweep = true
		select {
		case <-ctx.Done():
			return c.health.conclude(ctx, done)
		case <-time.After(backoff.Connection.Wait(inRow)):
		}
	}
}

// How long the ledger may take for the end of a pass. While the connector runs, that is
// longer than the ledger itself waits for another program's lock: so the error names it.
const (
	recordWithin = 45 * time.Second
	graceTime    = 5 * time.Second // once the connector is stopped
)

// closing gives a context for what is recorded at the end of a pass.
func closing(ctx context.Context) (late context.Context, cancel func()) {
	late, cancelLate := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(graceTime):
			cancelLate()
		case <-late.Done():
		}
	})
	return late, func() { stop(); cancelLate() }
}

// again reports whether a pass that ended so is to begin anew: its destination
// was lost and, once that has happened, cannot be had for a moment. A server that
// refuses the login will do so the next moment too.
func again(err error, lost bool) bool {
	switch {
	case isRefusal(err), errors.Is(err, ErrHeld):
		return false
	case errors.Is(err, filesync.ErrDisconnected):
		return true
	}
	switch status.Of(err) {
	case status.ConnectionRefused, status.ConnectionTimedOut, status.ConnectionLost, status.DestinationUnavailable:
		return lost && err != nil
	}
	return false
}

// runOnce opens both ends, or joins the passes that use them, and lets the pass run.
func (c *Connector) runOnce(ctx context.Context, r *Run, id string, sweep bool) filesync.Result {
	started := time.Now()
	src, dst, err := c.ends.open(ctx, r.Mode == filesync.Apply)
	if err != nil {
		return filesync.Result{Outcome: filesync.Failed, Started: started, Finished: time.Now(), Err: err}
	}
	o := c.options(r.Mode, id, sweep)
	o.Rerun = r.current() != nil
	if r.Mode != filesync.Request {
		r.left = &leftFiles{} // of this run: a pass that begins anew decides about all again
		o.OnDecision = r.left.decided
	}
	if r.observe != nil {
		o.Selection, o.OnDecision = r.selection, r.observe.decided
		o.OnDelivered = func(d filesync.Delivered) { r.observe.delivered(d); c.delivered(d) }
	}
	p := pass.New(src, c.ends.reopen, dst, r.ledger, c.passState, o)
	r.mu.Lock()
	r.pass = p
	r.mu.Unlock()
	if r.began != nil && !o.Rerun {
		r.began(func() filesync.Progress { return r.current().Progress() })
	}
	result := p.Run(ctx)
	c.ends.dst.release(dst, errors.Is(result.Err, filesync.ErrDisconnected))
	return result
}

// ofLedger says that the ledger did not take or give something.
func ofLedger(err error) error {
	return &status.Error{Word: status.LedgerUnavailable, Op: "use the ledger", Err: err}
}

// options are the settings of a pass.
func (c *Connector) options(mode filesync.Mode, id string, sweep bool) pass.Options {
	f := c.cfg.Files
	return pass.Options{
		ID: id, Mode: mode, Filter: c.filter,
		Settle: f.Settle.Std(), AwaitSettle: mode != filesync.Automatic || !c.planner.comesWithin(f.Settle.Std()),
		FollowLinks: f.Symlinks == config.FollowSymlinks,
		Skip:        below(f.SourceDirectoryPath, f.AfterCopy.MoveTo),
		Flat:        f.Layout == config.Flat, Overwrite: f.OnConflict == config.OverwriteOnConflict,
		Once:           c.cfg.Uploads() || c.cfg.Space != nil,
		CheckpointStep: checkpointStep(c.cfg),
		RoomHold:       roomHold(c.planner.interval()),
		InPlace:        c.cfg.Uploads() && f.UploadName == config.UploadDirect,
		KeepBoth:       c.cfg.Space != nil && c.cfg.Space.SameName == config.KeepBoth,
		AfterCopy:      filesync.AfterCopy{Remove: f.AfterCopy.Action == config.Delete, MoveTo: f.AfterCopy.MoveTo},
		Sweep:          sweep,
		Log:            c.log.With("pass", id),
		OnReached:      c.health.reached,
		OnLost:         c.health.report,
		OnDelivered:    c.delivered,
		Release:        func(s filesync.Source, lost bool) { c.ends.src.release(s.(Source), lost) },
	}
}

// roomHold has the next automatic pass look again whether a destination has room, unless
// passes are so frequent that it would be written to all the time. 0 is no bound: passes
// come by a cron expression, or never.
func roomHold(interval time.Duration) time.Duration {
	if interval == 0 {
		return 0
	}
	return max(interval/2, 10*time.Second)
}

// checkpointStep is short where the connection to the destination may break.
func checkpointStep(cfg *config.Connector) int64 {
	if cfg.Uploads() {
		return 32 << 20
	}
	return 0
}

func (c *Connector) delivered(d filesync.Delivered) {
	v := d.Delivery
	if !v.Adopted {
		c.log.Info("file delivered", "pass", v.Pass, "file", v.Source.Name, "bytes", v.Source.Size, "took", d.Took.Round(time.Millisecond))
	}
	if c.parts.OnDelivered != nil {
		c.parts.OnDelivered(c.cfg.Name, d)
	}
}

// log logs the end of a pass.
func (p PassReport) log(l *slog.Logger) {
	f := p.Result.Files
	attrs := []any{"pass", p.ID, "mode", p.Mode, "state", p.Result.Outcome, "status", p.Status,
		"took", p.Result.Finished.Sub(p.Result.Started).Round(time.Millisecond), "seen", f.Seen, "copied", f.Copied, "bytes", f.Bytes,
		"present", f.Present, "waiting", f.Waiting, "excluded", f.Excluded, "failed", f.Failed,
		"conflict", f.Conflict, "quarantined", f.Quarantined, "unsafe", f.Unsafe, "unverified", f.Unverified}
	if _, known := errors.AsType[*status.Error](p.Result.Err); !known && p.Result.Outcome == filesync.Failed {
		l.Error("pass ended", append(attrs, "error", fmt.Sprint(p.Result.Err))...)
		return
	}
	// What is wrong has its line already: when it began, not at each pass.
	l.Info("pass ended", attrs...)
}
