package transfer

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// recoverRemovals looks again at originals whose removal was under way. One
// that is gone is done. One of the same size and time may be what we copied or
// a new file: it goes only if the copy stands and has the same contents;
// without the copy its row is closed, so that it is copied again. Where the source
// itself tells versions apart, it goes.
func (v *recovery) recoverRemovals(ctx context.Context) error {
	var from int64
	for {
		recs, err := v.ledger.Outstanding(ctx, from, chunkSize)
		if err != nil || len(recs) == 0 {
			return err
		}
		from = recs[len(recs)-1].ID
		recs = slices.DeleteFunc(recs, func(r filesync.Record) bool { return r.After != filesync.AfterTrying })
		if len(recs) == 0 {
			continue
		}
		sources, targets := make([]filesync.Entry, len(recs)), make([]string, len(recs))
		for i, r := range recs {
			sources[i], targets[i] = r.Delivery.Source, r.Delivery.Target.Name
		}
		originals, err := v.src.Relist(ctx, sources)
		if err != nil {
			return err
		}
		copies, err := v.dst.Stat(ctx, targets)
		if err != nil {
			return err
		}
		byAfter := map[filesync.After][]int64{}
		for i, r := range recs {
			if after, known := v.removed(r, originals[i], copies[i]); known {
				byAfter[after] = append(byAfter[after], r.ID)
			}
		}
		if err := setAfter(ctx, v.ledger, byAfter); err != nil {
			return err
		}
	}
}

// removed says what became of a removal that was under way, by what stands at
// both ends; known is false while one of them does not tell.
func (v *recovery) removed(r filesync.Record, original, standing filesync.StatResult) (after filesync.After, known bool) {
	gone := func(k filesync.StatResult) bool { return errors.Is(k.Err, fs.ErrNotExist) }
	switch {
	case original.Err != nil:
		return filesync.AfterDone, gone(original)
	case !original.Entry.SameVersion(r.Delivery.Source):
		return filesync.AfterDone, true
	case original.Entry.Version != "":
		return filesync.AfterOwed, true // it is what was copied, whatever became of the copy
	case standing.Err != nil && !gone(standing):
		return filesync.AfterDone, false
	case standing.Err == nil && plan.Wrote(r, r.Delivery.Target.Name, standing.Entry):
		return filesync.AfterCompare, true
	case v.o.Once:
		return filesync.AfterOwed, true // its receiver may have taken the copy
	}
	return filesync.AfterDone, true
}
