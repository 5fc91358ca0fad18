package sync

import (
	"context"
	"time"
)

// A destination that writes files under their own names (Options.InPlace) leaves
// a part of one there when the program is killed or the connection breaks. To
// know it from somebody else's file, each is journaled before it is begun.

// inPlaceID is the id of a file in the journal that has no pending name.
const inPlaceID = "in place"

// foretell journals that a file is about to be begun under its own name.
func (p *Pass) foretell(ctx context.Context, f *finished) (err error) {
	if !p.o.InPlace {
		return nil
	}
	d := f.delivery
	d.PendingID, d.At = inPlaceID, time.Now()
	f.foretold, err = p.ledger.Intend(ctx, []Delivery{d})
	return err
}

// settledInPlace ends that for files that are whole, gone, or kept with a
// checkpoint. A failure leaves it to the next pass, which finds nothing to do.
func (p *Pass) settledInPlace(ctx context.Context, files ...*finished) {
	var ids []int64
	for _, f := range files {
		if f.foretold != 0 {
			ids = append(ids, f.foretold)
			f.foretold = 0
		}
	}
	if len(ids) == 0 {
		return
	}
	if err := p.ledger.Drop(ctx, ids); err != nil {
		p.o.Log.Warn("intents not dropped", "error", err)
	}
}

// partOfOurs reports whether what stands under a file's own name is the part of
// it that an interrupted copy has left, with a checkpoint.
func (p *Pass) partOfOurs(e, standing Entry) bool {
	_, kept := p.resumes.find(e)
	return p.o.InPlace && kept && standing.Mode.IsRegular() && standing.Size <= e.Size
}
