package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
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

// Parts are what connectors are built of. All but the two constructors may be nil.
type Parts struct {
	// Source opens a connector's source, with the login in c that is valid now, and reports the stages of that.
	Source func(ctx context.Context, cfg *config.Connector, observe status.Observer) (Source, error)
	// Destination opens its destination, and reports the stages of that where it is
	// the SFTP server. Pending files are of the epoch.
	Destination func(ctx context.Context, cfg *config.Connector, epoch int64, observe status.Observer) (filesync.Destination, error)
	// HostKey asks the server of a connector for its host key. Without an error it is
	// remembered then, if trust is not nil; if it is not to be, ErrNotTrusted is in the chain.
	HostKey func(ctx context.Context, cfg *config.Connector, trust *interapp.TrustRequest) (interapp.ServerHostKey, error)
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

// Errors of connectors.
var (
	// ErrBusy: another process runs a pass of the connector.
	ErrBusy = errors.New("another process runs a pass of this connector")
	// ErrStopped: the connector was removed, or the program ends.
	ErrStopped = errors.New("the connector was stopped")
)

// Connector is one connector at work. Its methods may be called concurrently.
type Connector struct {
	cfg       *config.Connector
	parts     Parts
	ledger    *ledger.Connector
	filter    *filesync.Filter
	passState *pass.Shared
	ends      *ends
	claim     *claim
	planner   *planner
	pruner    *pruner
	slots     chan struct{} // has room for the requests that may run at a time
	listing   chan struct{} // has room for one listing
	pausing   chan struct{} // has room for one change of the pause
	health    *health
	log       *slog.Logger

	mu       sync.Mutex
	running  *Run            // the pass under way
	waiting  *Run            // the Apply that follows it
	last     *PassReport     // the last that ended
	left     []interapp.File // by the last pass over the whole source; nil: there was none
	skipped  int64           // automatic passes that found another one running
	requests int             // under way, those that wait for their turn included
	totals   Totals          // since the program started
	stopped  bool
	paused   *interapp.Pause // nil: it is not
	passes   sync.WaitGroup  // and what else stop waits for
	ctx      context.Context // of the passes
	cancel   context.CancelCauseFunc
}

// Totals count what a connector did since the program started.
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

// New makes a connector, with what the ledger remembers of it. over is the
// schedule that was set over the file's, or "".
func New(cfg *config.Connector, parts Parts, past ledger.Remembered, over string) (*Connector, error) {
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
	c := &Connector{
		cfg: cfg, parts: parts, ledger: past.Connector, filter: filter,
		passState: pass.NewShared(int64(cfg.Files.BandwidthLimit)), slots: make(chan struct{}, maxRequests), listing: make(chan struct{}, 1), pausing: make(chan struct{}, 1),
		claim: newClaim(cfg, parts, past.Connector), log: parts.Log.With("connector", cfg.Name),
		totals: Totals{Passes: map[filesync.Outcome]int64{}, Errors: map[status.Word]int64{}},
	}
	c.ends = newEnds(cfg, parts, past, c.claim.epoch.Load, c.log)
	c.health = newHealth(c.healthChanged)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.pruner = &pruner{ledger: past.Connector, retention: cfg.Retention.Std(), now: parts.now, log: c.log, ctx: c.ctx}
	if c.planner, err = newPlanner(cfg, over, past.LastStart, parts.now); err != nil {
		return nil, fmt.Errorf("connector %s: %w", cfg.Name, err)
	}
	c.setPause(past.WasPaused)
	c.health.paused = healthOf(c.paused)
	if past.Last != nil {
		last := remembered(*past.Last)
		c.last = &last
	}
	return c, nil
}

// Name is the connector's name.
func (c *Connector) Name() string { return c.cfg.Name }

// Config is the connector's configuration; it must not be changed.
func (c *Connector) Config() *config.Connector { return c.cfg }

// Ledger is the connector's part of the ledger.
func (c *Connector) Ledger() *ledger.Connector { return c.ledger }

// followSchedule starts the automatic passes until ctx ends. A hold from before the program started is
// the Connection Status until a pass tries the login again.
func (c *Connector) followSchedule(ctx context.Context) {
	if err := c.ends.refusal(); err != nil {
		c.health.report(err)
	}
	if h := c.health.get(); h.Status == status.Paused {
		c.log.Info("connection status", "status", h.Status, "since", h.Since, "error", h.Error, "hint", h.Hint)
	}
	for c.planner.await(ctx) {
		c.tick()
	}
}

// tick starts the automatic pass that is due, unless one runs already or the
// server refused us a short while ago.
func (c *Connector) tick() {
	held := c.ends.held()
	tell := func() {}
	defer func() { tell() }() // without the lock
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped, c.paused != nil:
	case c.running != nil:
		c.skipped++
		c.totals.Skipped++
		skipped, since := c.skipped, c.running.started
		tell = func() {
			c.log.Info("tick skipped: the pass before it still runs", "skipped", skipped, "running_since", since)
		}
	case time.Now().Before(held):
		tell = func() { c.log.Debug("tick passed over: the server refused the login", "until", held) }
	default:
		c.start(newRun(filesync.Automatic))
	}
}

// SetSchedule changes automatic_sftp_file_sync until the file says something
// else. The change is in the ledger when it returns.
func (c *Connector) SetSchedule(ctx context.Context, s config.Schedule) error {
	compiled, err := newSchedule(c.cfg.Name, s, c.cfg.TimeZone.Location)
	if err != nil {
		return err
	}
	if err := c.ledger.SetSchedule(ctx, s.String(), c.cfg.Sync.String()); err != nil {
		return err
	}
	c.planner.set(s, compiled)
	c.log.Info("schedule set", "automatic_sftp_file_sync", s.String())
	return nil
}

// UseFileSchedule forgets what SetSchedule has set: the file's schedule counts.
func (c *Connector) UseFileSchedule(ctx context.Context) error {
	compiled, err := newSchedule(c.cfg.Name, c.cfg.Sync, c.cfg.TimeZone.Location)
	if err != nil {
		return err
	}
	if err := c.ledger.SetSchedule(ctx, "", ""); err != nil {
		return err
	}
	if inForce, _ := c.planner.plan(); inForce != c.cfg.Sync {
		c.planner.set(c.cfg.Sync, compiled)
		c.log.Info("schedule of the file", "automatic_sftp_file_sync", c.cfg.Sync.String())
	}
	return nil
}

// shownRuns is how many of the next runs of a schedule are shown.
const shownRuns = 5

// Schedule gives the schedule in force, with its next runs.
func (c *Connector) Schedule() interapp.Schedule {
	inForce, _ := c.planner.plan()
	out := interapp.Schedule{AutomaticSFTPFileSync: inForce.String(), Next: c.planner.upcoming(nil, shownRuns)}
	if file := c.cfg.Sync.String(); file != out.AutomaticSFTPFileSync {
		out.InFile = file
	}
	return out
}

// PreviewSchedule gives the next runs of a schedule that is not set.
func (c *Connector) PreviewSchedule(s config.Schedule) (interapp.Schedule, error) {
	compiled, err := newSchedule(c.cfg.Name, s, c.cfg.TimeZone.Location)
	if err != nil {
		return interapp.Schedule{}, err
	}
	return interapp.Schedule{AutomaticSFTPFileSync: s.String(), Next: c.planner.upcoming(&compiled, shownRuns)}, nil
}

// Retry releases quarantined files: the named ones, or all for none.
func (c *Connector) Retry(ctx context.Context, paths []string) ([]string, error) {
	return c.ledger.Retry(ctx, paths)
}

// stop ends the pass under way and waits for it; ErrStopped is its cause.
func (c *Connector) stop() {
	c.mu.Lock()
	c.stopped = true
	if c.waiting != nil {
		c.waiting.finish(PassReport{}, ErrStopped)
		c.waiting = nil
	}
	c.mu.Unlock()
	c.cancel(stopped{})
	c.passes.Wait()
	c.pruner.tasks.Wait()
}

// stopped is the cause of a pass that was ended from outside.
type stopped struct{}

func (stopped) Error() string { return ErrStopped.Error() }

func (stopped) Is(target error) bool { return target == ErrStopped || target == context.Canceled }

// healthChanged logs the beginning of a fault, with its cause and what to do, or its
// end, with how long it lasted.
func (c *Connector) healthChanged(h, was Health) {
	attrs := []any{"status", h.Status}
	if was.Error != "" && was.Status != h.Status {
		attrs = append(attrs, "was", was.Status, "lasted", h.Since.Sub(was.Since).Round(time.Second))
	}
	switch {
	case h.Error == "":
		c.log.Info("connection status", attrs...)
	case h.Status == status.Paused: // which somebody wants
		c.log.Info("connection status", append(attrs, "error", h.Error, "hint", h.Hint)...)
	default:
		c.log.Warn("connection status", append(attrs, "error", h.Error, "hint", h.Hint)...)
	}
	if c.parts.OnHealth != nil && h.Status != was.Status {
		c.parts.OnHealth(c.cfg.Name, h)
	}
}
