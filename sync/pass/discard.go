package pass

import (
	"context"
	"fmt"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// discard counts a file whose copy was thrown away because it changed while it was
// read. It waits for the next pass; when several in a row did so at the same size, it
// has failed: there is nothing that waiting would change.
func (p *Pass) discard(ctx context.Context, e filesync.Entry, cause error) error {
	p.looks.forget(e.Name)
	if p.o.Discerning { // the source knows: it is another file, of the same size and time perhaps
		p.wait(e, cause.Error())
		return nil
	}
	found, err := p.ledger.Find(ctx, []string{e.Name})
	if err != nil {
		return err
	}
	last := found[0].Failure
	f := filesync.Failure{Source: e, Discards: 1, Error: cause.Error(), At: time.Now()}
	if found[0].FailureID != 0 && !last.Conflict && last.Source.Size == e.Size {
		f.Discards += last.Discards
		f.Tries = last.Tries
		if p.o.Mode == filesync.Request || p.o.Rerun {
			f.Discards = max(1, last.Discards) // many requests in a row are no more than one pass
		}
	}
	if err := p.record(ctx, f); err != nil {
		return err
	}
	if f.Discards < filesync.MaxDiscards {
		p.wait(e, cause.Error())
		p.o.Log.Info("file waits", "file", e.Name, "reason", cause)
		return nil
	}
	text := fmt.Sprintf("read and discarded %d times in a row: %v", f.Discards, cause)
	p.failed.Add(1)
	p.stuck.Add(1)
	p.list(e.Name, text, plan.HintDiscards)
	p.decide(e, filesync.StateFailed, text)
	return nil
}
