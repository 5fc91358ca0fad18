package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sftpconnector/config"
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

	started time.Time
	done    chan struct{}
	report  PassReport
	err     error
	id      string
	pass    *pass.Pass

	selection *filesync.Selection // of a request
	observe   *collector
	began     func(progress func() filesync.Progress) // may be nil
}

func newRun(mode filesync.Mode) *Run { return &Run{Mode: mode, done: make(chan struct{})} }

// Done is closed when the pass has ended.
func (r *Run) Done() <-chan struct{} { return r.done }

// Report is how the pass ended; only after Done. The error says that there was
// no pass at all: ErrBusy, ErrStopped, or one of the ledger.
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

func (r *Run) finish(p PassReport, err error) {
	r.report, r.err = p, err
	close(r.done)
}

// Apply validates the connection and makes sure that every matching file is at
// the destination. It joins an Apply that runs or waits, and follows an
// automatic pass.
func (e *Element) Apply() (*Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped:
		return nil, ErrStopped
	case e.running == nil:
		r := newRun(filesync.Apply)
		e.start(r)
		return r, nil
	case e.running.Mode == filesync.Apply:
		return e.running, nil
	case e.waiting == nil:
		e.waiting = newRun(filesync.Apply)
	}
	return e.waiting, nil
}

// Sync starts an automatic pass at once, whatever the schedule, or gives the
// pass under way.
func (e *Element) Sync() (*Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return nil, ErrStopped
	}
	if e.running == nil {
		e.start(newRun(filesync.Automatic))
	}
	return e.running, nil
}

// start runs a pass. The caller holds e.mu, and no pass runs.
func (e *Element) start(r *Run) {
	r.started = time.Now()
	e.running = r
	e.passes.Go(func() {
		report, err := e.pass(e.ctx, r)
		e.ended(r, report, err)
	})
}

// ended notes the end of a pass and starts the Apply that waits for it.
func (e *Element) ended(r *Run, report PassReport, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running = nil
	if err == nil {
		e.last = &report
		e.count(report)
	}
	r.finish(report, err)
	if next := e.waiting; next != nil && !e.stopped {
		e.waiting = nil
		e.start(next)
	}
}

// count takes a pass into the totals.
func (e *Element) count(p PassReport) {
	e.totals.Passes[p.Result.Outcome]++
	e.totals.Files += p.Result.Files.Copied
	e.totals.Bytes += p.Result.Files.Bytes
	e.totals.Failed += p.Result.Files.Failed
	if p.Result.Outcome == filesync.Failed {
		e.totals.Errors[p.Status]++
	}
	if e.parts.OnPass != nil {
		e.parts.OnPass(e.cfg.Name, p)
	}
}

// pass does one pass, from the lock to the ledger.
func (e *Element) pass(ctx context.Context, r *Run) (PassReport, error) {
	id, unclean, err := e.enter(ctx, r)
	if err != nil {
		if errors.Is(err, ErrBusy) {
			e.log.Warn("pass not started", "mode", r.Mode, "error", err)
		} else if ctx.Err() == nil {
			e.health.report(ofLedger(err))
		}
		return PassReport{}, err
	}
	defer e.leave()
	e.mu.Lock()
	r.id = id
	e.mu.Unlock()
	result := e.connectAndRun(ctx, r, id, unclean)
	late, cancel := closing(ctx)
	defer cancel()
	result, word := e.deliverable(late, r.Mode, result)
	p := PassReport{ID: id, Mode: r.Mode, Result: result, Status: word}
	if err := e.memory.FinishPass(late, id, result, p.Status); err != nil {
		e.health.report(ofLedger(fmt.Errorf("pass %s not recorded: %w", id, err)))
	}
	e.forget()
	e.logPass(p)
	return p, nil
}

// enter records the start of a pass. The first of those that run side by side
// takes the lock against other processes.
func (e *Element) enter(ctx context.Context, r *Run) (id string, unclean bool, err error) {
	select {
	case e.entering <- struct{}{}:
		defer func() { <-e.entering }()
	case <-ctx.Done():
		return "", false, context.Cause(ctx)
	}
	alone := e.entered == 0
	if alone && e.parts.Lock != nil {
		if e.unlock, err = e.parts.Lock(e.cfg.Name); err != nil {
			return "", false, err
		}
	}
	if err = e.memory.Bind(ctx, sourceOf(e.cfg)); err == nil {
		id, unclean, err = e.memory.StartPass(ctx, r.Mode, r.started, alone)
	}
	if err != nil {
		if alone {
			e.free()
		}
		return "", false, err
	}
	e.entered++
	return id, unclean, nil
}

// leave ends what enter began.
func (e *Element) leave() {
	e.entering <- struct{}{}
	defer func() { <-e.entering }()
	if e.entered--; e.entered == 0 {
		e.free()
	}
}

// free gives the lock back. The caller holds entering.
func (e *Element) free() {
	if e.unlock != nil {
		e.unlock()
		e.unlock = nil
	}
}

// sourceOf names what the paths of a connector's files are relative to.
func sourceOf(c *config.Connector) string {
	switch {
	case c.Space != nil:
		return "space:" + c.Space.Name
	case c.Uploads():
		to := fmt.Sprintf("%s@%s:%d", c.SFTP.Username, c.SFTP.Host, c.SFTP.Port)
		if api := c.SFTP.CredentialsAPI; api.Enabled() {
			to = api.SpaceID + "@" + api.URL
		}
		return "upload:" + c.Files.SourceDirectoryPath + " to " + to + "/" + c.Files.DestinationDirectoryPath
	case c.SFTP.CredentialsAPI.Enabled():
		return c.SFTP.CredentialsAPI.SpaceID + "@" + c.SFTP.CredentialsAPI.URL + "/" + c.Files.SourceDirectoryPath
	}
	return fmt.Sprintf("%s@%s:%d/%s", c.SFTP.Username, c.SFTP.Host, c.SFTP.Port, c.Files.SourceDirectoryPath)
}

// statusOf is the Connection Status that a pass ended with; a check at the same
// time may have found another one.
func (e *Element) statusOf(r filesync.Result) status.Word {
	if _, known := errors.AsType[*status.Error](r.Err); known || r.Err == nil {
		return status.Of(r.Err)
	}
	return e.health.word()
}

// How often a pass begins anew when its destination is lost: in a row, where
// a file that arrives starts the count anew, and in all.
const (
	maxRuns    = 4
	maxAllRuns = 20
)

// connectAndRun opens both ends and lets the pass run between them. The
// Connection Status follows from how that goes. A pass whose destination is lost
// begins anew: the ledger has what was delivered.
func (e *Element) connectAndRun(ctx context.Context, r *Run, id string, sweep bool) filesync.Result {
	e.health.checking()
	if r.Mode == filesync.Apply {
		e.letIn()
	}
	var done filesync.Result
	wait := time.Second
	for all, inRow := 1, 1; ; all, inRow = all+1, inRow+1 {
		result := e.runOnce(ctx, r, id, sweep)
		if result.Files.Copied > 0 {
			inRow, wait = 1, time.Second
		}
		if all == 1 {
			result.Started = r.started
			done = result
		} else {
			done = result.Join(done)
		}
		if !again(result.Err, all > 1) || ctx.Err() != nil || inRow >= maxRuns || all >= maxAllRuns {
			if all > 1 {
				e.litter(ctx)
			}
			return e.conclude(ctx, done)
		}
		e.health.report(result.Err)
		e.log.Info("destination lost, the pass begins anew", "pass", id, "error", result.Err)
		sweep = true
		select {
		case <-ctx.Done():
			return e.conclude(ctx, done)
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// How long the ledger may take for the end of a pass. While the connector runs, that is
// longer than the ledger itself waits for another program's lock: so the error names it.
const (
	recordWithin = 45 * time.Second
	lastWords    = 5 * time.Second // once the connector is stopped
)

// closing gives a context for what is recorded at the end of a pass.
func closing(ctx context.Context) (late context.Context, cancel func()) {
	late, cancelLate := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(lastWords):
			cancelLate()
		case <-late.Done():
		}
	})
	return late, func() { stop(); cancelLate() }
}

// litter has the next pass sweep once more: the far side may have done what it
// had in hand of a lost connection after this pass had swept.
func (e *Element) litter(ctx context.Context) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := e.memory.Littered(late); err != nil {
		e.log.Warn("pending files may be left at the destination", "error", err)
	}
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
func (e *Element) runOnce(ctx context.Context, r *Run, id string, sweep bool) filesync.Result {
	started := time.Now()
	src, dst, err := e.open(ctx, r.Mode == filesync.Apply)
	if err != nil {
		return filesync.Result{Outcome: filesync.Failed, Started: started, Finished: time.Now(), Err: err}
	}
	o := e.options(r.Mode, id, sweep)
	e.mu.Lock()
	o.Rerun = r.pass != nil
	e.mu.Unlock()
	if r.observe != nil {
		o.Selection, o.OnDecision = r.selection, r.observe.decided
		o.OnDelivered = func(d filesync.Delivered) { r.observe.delivered(d); e.delivered(d) }
	}
	pass := pass.New(src, e.reopen, dst, e.memory, e.common, o)
	e.mu.Lock()
	first := r.pass == nil
	r.pass = pass
	e.mu.Unlock()
	if r.began != nil && first {
		r.began(func() filesync.Progress { return e.progress(r) })
	}
	result := pass.Run(ctx)
	e.dst.release(dst, errors.Is(result.Err, filesync.ErrDisconnected))
	return result
}

// progress is a look at the run of a pass that is under way.
func (e *Element) progress(r *Run) filesync.Progress {
	e.mu.Lock()
	pass := r.pass
	e.mu.Unlock()
	return pass.Progress()
}

// conclude reports what a pass says about the connection.
func (e *Element) conclude(ctx context.Context, r filesync.Result) filesync.Result {
	_, known := errors.AsType[*status.Error](r.Err)
	switch {
	case ctx.Err() != nil:
		r.Outcome, r.Err = filesync.Cancelled, context.Cause(ctx)
		e.health.abandon()
	case r.Err == nil:
		e.health.valid(status.NothingDeliverable) // which deliverable decides about
	case known:
		e.health.report(r.Err)
	case ledger.Broken(r.Err):
		r.Err = ofLedger(r.Err)
		e.health.report(r.Err)
	default:
		e.health.abandon()
	}
	return r
}

// ofLedger says that the ledger did not take or give something.
func ofLedger(err error) error {
	return &status.Error{Word: status.LedgerUnavailable, Op: "use the ledger", Err: err}
}

// options are the settings of a pass.
func (e *Element) options(mode filesync.Mode, id string, sweep bool) pass.Options {
	f := e.cfg.Files
	return pass.Options{
		ID: id, Mode: mode, Filter: e.filter,
		Settle: f.Settle.Std(), AwaitSettle: e.awaitSettle(mode),
		FollowLinks: f.Symlinks == config.FollowSymlinks,
		Skip:        below(f.SourceDirectoryPath, f.AfterCopy.MoveTo),
		Flat:        f.Layout == config.Flat, Overwrite: f.OnConflict == config.OverwriteOnConflict,
		Once:           e.cfg.Uploads() || e.cfg.Space != nil,
		CheckpointStep: e.checkpointStep(),
		RoomHold:       e.roomHold(),
		InPlace:        e.cfg.Uploads() && f.UploadName == config.UploadDirect,
		KeepBoth:       e.cfg.Space != nil && e.cfg.Space.SameName == config.KeepBoth,
		AfterCopy:      filesync.AfterCopy{Remove: f.AfterCopy.Action == config.Delete, MoveTo: f.AfterCopy.MoveTo},
		Sweep:          sweep,
		Log:            e.log.With("pass", id),
		OnReached:      e.health.reached,
		OnLost:         e.health.report,
		OnDelivered:    e.delivered,
		Release:        func(s filesync.Source, lost bool) { e.src.release(s.(Source), lost) },
	}
}

// roomHold has the next automatic pass look again whether a destination has room, unless
// passes are so frequent that it would be written to all the time.
func (e *Element) roomHold() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.schedule.interval == 0 {
		return 0
	}
	return max(e.schedule.interval/2, 10*time.Second)
}

// checkpointStep is short where the connection to the destination may break.
func (e *Element) checkpointStep() int64 {
	if e.cfg.Uploads() {
		return 32 << 20
	}
	return 0
}

// awaitSettle reports whether a pass waits for the second look. An automatic
// one does not if the next one comes as soon.
func (e *Element) awaitSettle(mode filesync.Mode) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return mode != filesync.Automatic || e.next.IsZero() || time.Until(e.next) > e.cfg.Files.Settle.Std()
}

func (e *Element) delivered(d filesync.Delivered) {
	v := d.Delivery
	if !v.Adopted {
		e.log.Info("file delivered", "pass", v.Pass, "file", v.Source.Name, "bytes", v.Source.Size, "took", d.Took.Round(time.Millisecond))
	}
	if e.parts.OnDelivered != nil {
		e.parts.OnDelivered(e.cfg.Name, d)
	}
}

func (e *Element) logPass(p PassReport) {
	f := p.Result.Files
	attrs := []any{"pass", p.ID, "mode", p.Mode, "state", p.Result.Outcome, "status", p.Status,
		"took", p.Result.Finished.Sub(p.Result.Started).Round(time.Millisecond), "seen", f.Seen, "copied", f.Copied, "bytes", f.Bytes,
		"present", f.Present, "waiting", f.Waiting, "excluded", f.Excluded, "failed", f.Failed,
		"conflict", f.Conflict, "quarantined", f.Quarantined, "unsafe", f.Unsafe, "unverified", f.Unverified}
	if _, known := errors.AsType[*status.Error](p.Result.Err); !known && p.Result.Outcome == filesync.Failed {
		e.log.Error("pass ended", append(attrs, "error", fmt.Sprint(p.Result.Err))...)
		return
	}
	// What is wrong has its line already: when it began, not at each pass.
	e.log.Info("pass ended", attrs...)
}
