package connector

import (
	"errors"
	"maps"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
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
	Paused   *interapp.Pause // nil: it is not
	Totals   Totals
}

// Report looks at the connector.
func (c *Connector) Report() Report {
	h, held := c.health.get(), c.ends.held()
	inForce, next := c.planner.plan()
	c.mu.Lock()
	r := Report{
		Name: c.cfg.Name, Health: h, Config: c.cfg, Schedule: inForce,
		Next: next, Last: c.last, Skipped: c.skipped, Paused: c.paused, Totals: c.totals,
	}
	r.Totals.Passes, r.Totals.Errors = maps.Clone(c.totals.Passes), maps.Clone(c.totals.Errors)
	running := c.running
	c.mu.Unlock()
	if time.Now().Before(held) {
		r.Held = held
	}
	if running != nil {
		p := running.Snapshot()
		r.Running = &p
	}
	return r
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
