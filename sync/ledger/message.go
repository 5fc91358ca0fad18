package ledger

import (
	"time"

	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

// Message gives a pass of the named connector as the API tells it. It lists no
// failures, because the ledger keeps these by file.
func (p Pass) Message(connector string) interapp.Pass {
	return interapp.Pass{
		Connector: connector, Space: interapp.SpaceOf(connector), Pass: p.ID, Mode: string(p.Mode), State: string(p.State),
		ConnectionStatus: string(p.Status.OrNotChecked()), Hint: p.Status.Hint(), Error: p.Error,
		Started: p.Started.UTC(), Finished: interapp.TimeOrNull(p.Finished),
		Files: p.Files, Failures: []interapp.FileFailure{},
	}
}

// Mark gives a pass in short, as it is now.
func (p Pass) Mark(now time.Time) interapp.PassMark {
	m := interapp.PassMark{
		Pass: p.ID, Mode: string(p.Mode), State: string(p.State), Started: p.Started.UTC(), Files: p.Files.Copied, Bytes: p.Files.Bytes,
		Failed: p.Files.Failed + p.Files.Quarantined + p.Files.Conflict + p.Files.Unsafe,
	}
	switch {
	case p.State == filesync.Running:
		m.Seconds = now.Sub(p.Started).Seconds()
	case !p.Finished.IsZero(): // of one that was killed nobody knows
		m.Seconds = p.Finished.Sub(p.Started).Seconds()
	}
	m.Seconds = max(m.Seconds, 0) // the clock may have been set back
	return m
}

// Message gives a delivery or a failure as the API tells it.
func (f File) Message() interapp.File {
	if f.Record.ID == 0 {
		return f.failure()
	}
	d := f.Record.Delivery
	return interapp.File{
		Name: d.Source.Name, State: string(f.State), Size: d.Source.Size, ModTime: interapp.TimeOrNull(d.Source.ModTime),
		Target: d.Target.Name, Pass: d.Pass, DeliveredAt: interapp.TimeOrNull(d.At), Gone: f.Record.Gone, Unverified: f.Record.Unverified(),
	}
}

func (f File) failure() interapp.File {
	v := f.Record.Failure
	out := interapp.File{
		Name: v.Source.Name, State: string(f.State), Size: v.Source.Size, ModTime: interapp.TimeOrNull(v.Source.ModTime),
		Tries: v.Tries, Error: v.Error,
	}
	if !v.Quarantined { // A quarantined file waits for its release, not for a time.
		out.NextTry = interapp.TimeOrNull(v.Next)
	}
	return out
}

// Message is the entry as programs see it.
func (e AuditEntry) Message() interapp.AuditEntry {
	return interapp.AuditEntry{
		ID: e.ID, At: e.At, Who: e.Who, From: e.Address, Action: e.Action, Connector: e.Connector, Detail: e.Detail, OK: e.OK, Status: e.Status,
	}
}
