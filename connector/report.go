package connector

import (
	"errors"
	"maps"
	"time"

	"sftpconnector/config"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// Report is a connector at a moment, as pages, API and metrics show it.
type Report struct {
	Name     string
	Health   Health
	Config   *config.Connector
	Schedule config.Schedule
	Next     time.Time   // of the next automatic pass; zero: none
	Held     time.Time   // no automatic pass before, as the server refused the login; zero: not held
	Running  *PassReport // the pass under way; nil: none
	Last     *PassReport // the last pass that ended; nil: none
	Skipped  int64
	Totals   Totals
}

// Report looks at the connector.
func (c *Connector) Report() Report {
	h := c.health.get()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Report{
		Name: c.cfg.Name, Health: h, Config: c.cfg, Schedule: c.inForce,
		Next: c.next, Last: c.last, Skipped: c.skipped, Totals: c.totals,
	}
	r.Totals.Passes, r.Totals.Errors = maps.Clone(c.totals.Passes), maps.Clone(c.totals.Errors)
	if held := c.held(); time.Now().Before(held) {
		r.Held = held
	}
	if c.running != nil {
		r.Running = c.running.snapshot()
	}
	return r
}

// snapshot is a pass under way. The caller holds the connector's mu.
func (r *Run) snapshot() *PassReport {
	p := &PassReport{ID: r.id, Mode: r.Mode}
	p.Result.Started = r.started
	if r.pass != nil {
		progress := r.pass.Progress()
		p.Progress = &progress
	}
	return p
}

// Snapshot is the pass of r at the moment, for a progress bar.
func (c *Connector) Snapshot(r *Run) PassReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *r.snapshot()
}

// remembered is a pass of the program before. The ledger keeps failures by
// file, not by pass: there are none in it.
func remembered(p ledger.Pass) PassReport {
	r := filesync.Result{Outcome: p.State, Started: p.Started, Finished: p.Finished, Files: p.Files}
	if p.Error != "" {
		r.Err = errors.New(p.Error)
	}
	return PassReport{ID: p.ID, Mode: p.Mode, Result: r, Status: p.Status}
}
