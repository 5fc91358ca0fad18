package pass

import (
	"context"
	"slices"

	filesync "sftpconnector/sync"
)

// verifyEarlier asks the source again about files that were delivered unverified: it may
// have been out of reach, or unable to tell, for a moment only. What was read is the
// version that was listed before if a look after the last byte tells the same one, and a
// later look shows no less than one right behind it does. So a file whose listing and
// whose look by itself both tell that version now is verified, and owes its after_copy as
// one that was delivered before that was asked for. Where the source still does not tell,
// it stays unverified. recs are those of the entries, and are changed.
//
// Not so where the far end is the destination: what is not known there is the copy.
func (dc *decider) verifyEarlier(ctx context.Context, entries []filesync.Entry, recs []filesync.Record) error {
	if dc.o.Mode == filesync.Survey || dc.o.Once || dc.noTelling.Load() {
		return nil
	}
	var at []int
	var ask []filesync.Entry
	var names []string
	for i, e := range entries {
		d := recs[i].Delivery
		if recs[i].Unverified() && recs[i].Delivered(e) && e.Mode.IsRegular() && d.Target.Size == d.Source.Size {
			at, ask, names = append(at, i), append(ask, e), append(names, e.Name)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	// By name: a mailbox lists a file still that it says does not exist.
	stats, err := dc.src.Stat(ctx, names)
	if err != nil {
		return err
	}
	read := map[int64]filesync.After{}
	for n, stat := range stats {
		if stat.Err == nil && stat.Entry.SameVersion(ask[n]) {
			read[recs[at[n]].ID] = filesync.AfterUnverified
		}
	}
	if len(read) == 0 {
		dc.noTelling.Store(true) // not of a hundred thousand files at each pass
		return nil
	}
	mine, err := dc.ledger.SetAfterIf(ctx, read, filesync.AfterNone)
	if err != nil {
		return err
	}
	for _, i := range at {
		if slices.Contains(mine, recs[i].ID) {
			recs[i].After = filesync.AfterNone
			dc.o.Log.Info("file verified", "file", entries[i].Name)
		}
	}
	return nil
}
