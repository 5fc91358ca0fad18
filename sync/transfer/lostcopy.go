package transfer

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	filesync "sftpconnector/sync"
)

// A new version of a file can destroy the copy of the last one without taking its
// place: one that is written under its own name and is cut off, or one that gets its
// name in two steps (REMOVE, RENAME), of which the second fails. The source may have
// neither version any more by then, so that the record of the last one has to go.

// forgetLost forgets the deliveries whose copies were to be replaced by these, and do
// not stand any more. It gives those back of which the destination does not tell just
// now what stands: their intents have to stay.
func (r *run) forgetLost(ctx context.Context, failed []filesync.Delivery) (unseen []filesync.Delivery, err error) {
	failed = slices.DeleteFunc(slices.Clone(failed), func(d filesync.Delivery) bool { return d.Replaces == nil })
	if len(failed) == 0 {
		return nil, nil
	}
	names, paths, keys := make([]string, len(failed)), make([]string, len(failed)), make([]string, len(failed))
	for i, d := range failed {
		names[i], paths[i], keys[i] = d.Target.Name, d.Source.Name, d.Key
	}
	standing, err := r.dst.Stat(ctx, names)
	if err != nil {
		return nil, err
	}
	byPath, err := r.ledger.Find(ctx, paths)
	if err != nil {
		return nil, err
	}
	byKey, err := r.ledger.Owners(ctx, keys)
	if err != nil {
		return nil, err
	}
	lost := map[int64]string{}
	for i, d := range failed {
		if !isSeen(standing[i]) {
			unseen = append(unseen, d)
		}
		if !isGone(*d.Replaces, standing[i]) {
			continue
		}
		for _, rec := range []filesync.Record{byPath[i], byKey[i]} {
			if rec.ID != 0 && rec.Delivery.Target.Name == d.Target.Name && isGone(rec.Delivery.Target, standing[i]) {
				lost[rec.ID] = d.Target.Name
			}
		}
	}
	if len(lost) == 0 {
		return unseen, nil
	}
	rows := make([]int64, 0, len(lost))
	for row, name := range lost {
		rows = append(rows, row)
		r.log.Warn("the last copy was replaced by a version that could not be delivered", "file", name)
	}
	return unseen, r.ledger.Lost(ctx, rows)
}

// withoutFile gives the deliveries of conflicts under whose names no file is seen: a
// server may tell of a conflict when it has removed the last copy already. A file that
// stands is somebody else's, and untouched by us.
func (r *run) withoutFile(ctx context.Context, conflicts []filesync.Delivery) (without []filesync.Delivery, err error) {
	if len(conflicts) == 0 {
		return nil, nil
	}
	names := make([]string, len(conflicts))
	for i, d := range conflicts {
		names[i] = d.Target.Name
	}
	standing, err := r.dst.Stat(ctx, names)
	if err != nil {
		return nil, err
	}
	for i, d := range conflicts {
		if standing[i].Err != nil {
			without = append(without, d)
		}
	}
	return without, nil
}

// isSeen reports whether the destination told what stands, or that nothing does.
func isSeen(standing filesync.StatResult) bool {
	return standing.Err == nil || errors.Is(standing.Err, fs.ErrNotExist) && !errors.Is(standing.Err, filesync.ErrUnseen)
}

// isGone reports whether something else stands where a file was, or nothing.
func isGone(was filesync.Entry, standing filesync.StatResult) bool {
	if standing.Err != nil {
		return isSeen(standing)
	}
	return !was.Agrees(standing.Entry)
}
