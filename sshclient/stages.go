package sshclient

import (
	"time"

	"sftpconnector/status"
)

// stages reports the stages of a connection, each with the time since the end of the
// last one. A nil *stages reports nothing.
type stages struct {
	observe status.Observer
	since   time.Time
	pending []status.Stage
}

func newStages(observe status.Observer) *stages {
	return &stages{observe: observe, since: time.Now()}
}

// elapsed ends the current stage and gives its time in milliseconds.
func (s *stages) elapsed() int64 {
	now := time.Now()
	ms := now.Sub(s.since).Milliseconds()
	s.since = now
	return ms
}

// passed reports a stage that succeeded.
func (s *stages) passed(stage, detail string) {
	if s == nil {
		return
	}
	s.hold(stage, detail)
	s.release("")
}

// hold ends a stage that succeeded, and keeps its report until the detail is complete.
func (s *stages) hold(stage, detail string) {
	if s == nil {
		return
	}
	s.pending = append(s.pending, status.Stage{Stage: stage, OK: true, MS: s.elapsed(), Detail: detail})
}

// release reports the stages that are held. more is added to its detail.
func (s *stages) release(more string) {
	if s == nil {
		return
	}
	for _, p := range s.pending {
		if p.Stage == status.StageHandshake && more != "" {
			p.Detail += ", " + more
		}
		s.observe.Report(p)
	}
	s.pending = nil
}

// again drops the stages that are held. The stages start over, and their time runs on.
func (s *stages) again() {
	if s == nil {
		return
	}
	for _, p := range s.pending {
		s.since = s.since.Add(-time.Duration(p.MS) * time.Millisecond)
	}
	s.pending = nil
}

// failed reports the stage that failed.
func (s *stages) failed(stage string, err error) {
	if s == nil {
		return
	}
	s.release("")
	s.observe.Report(status.Stage{Stage: stage, MS: s.elapsed(), Detail: err.Error()})
}
