package sshclient

import (
	"time"

	"sftpconnector/status"
)

// stages reports the stages of a connection, each with the time since the one
// before it ended. A nil *stages reports nothing.
type stages struct {
	observe status.Observer
	since   time.Time
	pending []status.Stage
}

func newStages(observe status.Observer) *stages {
	return &stages{observe: observe, since: time.Now()}
}

// lap ends the stage that is running and gives its time.
func (s *stages) elapsed() int64 {
	now := time.Now()
	ms := now.Sub(s.since).Milliseconds()
	s.since = now
	return ms
}

// passed ends a stage well.
func (s *stages) passed(stage, detail string) {
	if s == nil {
		return
	}
	s.hold(stage, detail)
	s.release("")
}

// hold ends a stage well, but keeps the report until its detail is complete.
func (s *stages) hold(stage, detail string) {
	if s == nil {
		return
	}
	s.pending = append(s.pending, status.Stage{Stage: stage, OK: true, MS: s.elapsed(), Detail: detail})
}

// release reports what is held; more belongs to the detail of the handshake.
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

// again gives up what is held: the stages start over, and their time runs on.
func (s *stages) again() {
	if s == nil {
		return
	}
	for _, p := range s.pending {
		s.since = s.since.Add(-time.Duration(p.MS) * time.Millisecond)
	}
	s.pending = nil
}

// failed reports the stage that ended it all.
func (s *stages) failed(stage string, err error) {
	if s == nil {
		return
	}
	s.release("")
	s.observe.Report(status.Stage{Stage: stage, MS: s.elapsed(), Detail: err.Error()})
}
