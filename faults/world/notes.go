//go:build linux

package world

import (
	"sync"

	"sftpconnector/faults/model"
	"sftpconnector/faults/powerfs"
	"sftpconnector/faults/schedule"
)

// Report is what a run has shown.
type Report struct {
	Violations []model.Violation
	Sums       Sums
}

// Sums are the figures of runs.
type Sums struct {
	Seeds      int            `json:"seeds"`
	Faults     map[string]int `json:"faults"` // by kind: those of schedules, and each call that was failed by a server or a disk
	Versions   int            `json:"versions"`
	Files      int            `json:"files"` // contents that were compared, at the end or as they appeared
	Bytes      int64          `json:"bytes"`
	Uploads    int            `json:"uploads"`
	Requests   int            `json:"requests"`
	Deliveries int            `json:"deliveries"`
	Passes     int            `json:"passes"`
	PowerCuts  int            `json:"power_cuts"`
	Kills      int            `json:"kills"`
	Lost       int            `json:"lost"` // writes and names that were forgotten at power cuts
	Seconds    float64        `json:"seconds"`
	Recovery   float64        `json:"recovery"` // the longest time from the last fault to a pass that got through, in intervals
	Use        []Use          `json:"-"`        // what the daemon used, in a run of minutes
}

// Add adds the figures of another run.
func (s *Sums) Add(o Sums) {
	if s.Faults == nil {
		s.Faults = map[string]int{}
	}
	for kind, n := range o.Faults {
		s.Faults[kind] += n
	}
	s.Seeds += o.Seeds
	s.Versions += o.Versions
	s.Files += o.Files
	s.Bytes += o.Bytes
	s.Uploads += o.Uploads
	s.Requests += o.Requests
	s.Deliveries += o.Deliveries
	s.Passes += o.Passes
	s.PowerCuts += o.PowerCuts
	s.Kills += o.Kills
	s.Lost += o.Lost
	s.Seconds += o.Seconds
	s.Recovery = max(s.Recovery, o.Recovery)
	s.Use = append(s.Use, o.Use...)
}

// notes are what a run finds while it goes on.
type notes struct {
	mu         sync.Mutex
	violations []model.Violation
	steps      map[string]int
	forgotten  int
	outages    map[string][]model.Span // by connector
	recovery   float64
	use        []Use
	passes     int
}

// recovered notes how many intervals a connector has taken to get through.
func (n *notes) recovered(intervals float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.recovery = max(n.recovery, intervals)
}

// ended notes the passes of a connector.
func (n *notes) ended(passes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.passes += passes
}

func (n *notes) violation(promise, detail string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.violations = append(n.violations, model.Violation{Promise: promise, Detail: detail})
}

func (n *notes) add(do schedule.Action, _ string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.steps == nil {
		n.steps = map[string]int{}
	}
	n.steps[string(do)]++
}

// count is how often a step was carried out.
func (n *notes) count(do schedule.Action) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.steps[string(do)]
}

func (n *notes) lost(l powerfs.Lost) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgotten += l.Writes + l.Names + l.Truncations
}

// outage notes a time in which a connector could deliver nothing.
func (n *notes) outage(of string, span model.Span) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outages == nil {
		n.outages = map[string][]model.Span{}
	}
	n.outages[of] = append(n.outages[of], span)
}
