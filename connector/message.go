package connector

import (
	"sftpconnector/interapp"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Message gives the state of a connector as the API tells it.
func (r Report) Message() interapp.Connector {
	return interapp.Connector{
		Name: r.Name, Direction: string(r.Config.Direction),
		ConnectionStatus: string(r.Health.Status), Since: r.Health.Since.UTC(), Hint: r.Health.Hint, Error: r.Health.Error,
		Schedule: r.Schedule.String(), NextPass: interapp.TimeOrNull(r.Next), HeldUntil: interapp.TimeOrNull(r.Held), SkippedTicks: r.Skipped,
		Running: r.RunningMessage(), LastPass: r.LastMessage(), Paused: r.Paused,
	}
}

// RunningMessage gives the pass under way; nil when none is.
func (r Report) RunningMessage() *interapp.Running {
	p := r.Running
	if p == nil {
		return nil
	}
	return &interapp.Running{Pass: p.ID, Mode: string(p.Mode), Started: p.Result.Started.UTC(), Progress: p.Progress}
}

// LastMessage gives the last pass that ended; nil when there was none.
func (r Report) LastMessage() *interapp.Pass {
	if r.Last == nil {
		return nil
	}
	last := r.Last.Message(r.Name)
	return &last
}

// Message gives a pass of the named connector as the API tells it. A pass
// without an outcome is running, or queued if it has no id either.
func (p PassReport) Message(connector string) interapp.Pass {
	r := p.Result
	out := interapp.Pass{
		Connector: connector, Space: interapp.SpaceOf(connector), Pass: p.ID, Mode: string(p.Mode), State: string(r.Outcome),
		ConnectionStatus: string(p.Status.OrNotChecked()), Hint: p.hint(),
		Started: r.Started.UTC(), Finished: interapp.TimeOrNull(r.Finished),
		Files: r.Files, Failures: make([]interapp.FileFailure, 0, len(r.Failures)),
	}
	if r.Err != nil {
		out.Error = r.Err.Error()
	}
	switch {
	case r.Outcome != "":
	case p.ID == "":
		out.State = "queued"
	default:
		out.State = string(filesync.Running)
	}
	for _, f := range r.Failures {
		out.Failures = append(out.Failures, interapp.FileFailure{Name: f.Name, Error: f.Error, Hint: f.Hint})
	}
	return out
}

// hint says what to check next. The hint of the error itself is preferred, as
// it may know more than the Connection Status.
func (p PassReport) hint() string {
	if err := p.Result.Err; status.Is(err, p.Status) {
		return status.HintOf(err)
	}
	return p.Status.Hint()
}

// Event gives a pass that ended or is under way, with its progress.
func (p PassReport) Event(connector string) interapp.PassEvent {
	return interapp.PassEvent{Pass: p.Message(connector), Progress: p.Progress}
}

// Event gives a change of the Connection Status of the named connector.
func (h Health) Event(connector string) interapp.StatusEvent {
	return interapp.StatusEvent{
		Connector: connector, Space: interapp.SpaceOf(connector),
		ConnectionStatus: string(h.Status), Since: h.Since.UTC(), Hint: h.Hint, Error: h.Error,
	}
}
