// Package convert turns what the connectors and the ledger know into the
// messages of the API, so that the API and `--json` say the same. Times are
// UTC, and lists are never nil.
package convert

import (
	"time"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// FromReport gives the state of a connector.
func FromReport(r connector.Report) interapp.Connector {
	return interapp.Connector{
		Name: r.Name, Direction: string(r.Config.Direction),
		ConnectionStatus: string(r.Health.Status), Since: r.Health.Since.UTC(), Hint: r.Health.Hint, Error: r.Health.Error,
		Schedule: r.Schedule.String(), NextPass: moment(r.Next), HeldUntil: moment(r.Held), SkippedTicks: r.Skipped,
		Running: running(r), LastPass: lastPass(r),
	}
}

func running(r connector.Report) *interapp.Running {
	p := r.Running
	if p == nil {
		return nil
	}
	return &interapp.Running{Pass: p.ID, Mode: string(p.Mode), Started: p.Result.Started.UTC(), Progress: fromProgress(p.Progress)}
}

func lastPass(r connector.Report) *interapp.Pass {
	if r.Last == nil {
		return nil
	}
	last := FromPass(r.Name, *r.Last)
	return &last
}

func fromProgress(p *filesync.Progress) *interapp.Progress {
	if p == nil {
		return nil
	}
	out := interapp.Progress(*p)
	return &out
}

// FromPass gives a pass that ended, or one that Element.Look saw: without an
// outcome it is running, and without an id queued.
func FromPass(name string, p connector.PassReport) interapp.Pass {
	r := p.Result
	out := interapp.Pass{
		Connector: name, Space: SpaceOf(name), Pass: p.ID, Mode: string(p.Mode), State: string(r.Outcome),
		ConnectionStatus: word(p.Status), Hint: hint(p.Status, r.Err), Error: text(r.Err),
		Started: r.Started.UTC(), Finished: moment(r.Finished),
		Files: fromCounts(r.Files), Failures: make([]interapp.FileFailure, 0, len(r.Failures)),
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

// FromLedgerPass gives a pass of the past. The ledger keeps failures by file,
// not by pass: there are none in it.
func FromLedgerPass(name string, p ledger.Pass) interapp.Pass {
	return interapp.Pass{
		Connector: name, Space: SpaceOf(name), Pass: p.ID, Mode: string(p.Mode), State: string(p.State),
		ConnectionStatus: word(p.Status), Hint: p.Status.Hint(), Error: p.Error,
		Started: p.Started.UTC(), Finished: moment(p.Finished),
		Files: fromCounts(p.Files), Failures: []interapp.FileFailure{},
	}
}

// hint is what to check next about a pass that ended in w, with err.
func hint(w status.Word, err error) string {
	if status.Is(err, w) {
		return status.HintOf(err)
	}
	return w.Hint()
}

// word is w, or Not Checked for a pass that did not get to say.
func word(w status.Word) string {
	if w == "" {
		w = status.NotChecked
	}
	return string(w)
}

func fromCounts(c filesync.Counts) interapp.Counts { return interapp.Counts(c) }

// FromCheck gives the outcome of a check.
func FromCheck(r connector.CheckReport) interapp.Check {
	out := interapp.Check{
		Connector: r.Connector, ConnectionStatus: string(r.Status), Hint: r.Hint, Error: r.Error,
		Stages: make([]interapp.Stage, 0, len(r.Stages)),
	}
	for _, s := range r.Stages {
		out.Stages = append(out.Stages, interapp.Stage(s))
	}
	return out
}

// FromFile gives a row of the ledger: a delivery, or a failure.
func FromFile(f ledger.File) interapp.File {
	if f.Record.ID == 0 {
		return fromFailure(f)
	}
	d := f.Record.Delivery
	return interapp.File{
		Name: d.Source.Name, State: string(f.State), Size: d.Source.Size, ModTime: moment(d.Source.ModTime),
		Target: d.Target.Name, Pass: d.Pass, DeliveredAt: moment(d.At), Gone: f.Record.Gone, Unverified: f.Record.Unverified(),
	}
}

func fromFailure(f ledger.File) interapp.File {
	v := f.Record.Failure
	out := interapp.File{
		Name: v.Source.Name, State: string(f.State), Size: v.Source.Size, ModTime: moment(v.Source.ModTime),
		Tries: v.Tries, Error: v.Error,
	}
	if !v.Quarantined { // which waits for nothing but its release
		out.NextTry = moment(v.Next)
	}
	return out
}

// moment is t in UTC, or nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
