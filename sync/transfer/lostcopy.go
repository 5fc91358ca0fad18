package transfer

import (
	"context"
	"log/slog"
	"slices"

	filesync "sftpconnector/sync"
)

// A new version of a file can destroy the copy of the last one without taking its
// place: one that is written under its own name and is cut off, or one that gets its
// name in two steps (REMOVE, RENAME), of which the second fails. The source may have
// neither version any more by then, so that the record of the last one has to go.

// lostCopies forgets such records.
type lostCopies struct {
	dst    filesync.Destination
	ledger Ledger
	log    *slog.Logger
}

// forget forgets the deliveries whose copies were to be replaced by these, and do
// not stand any more. It gives those back of which the destination does not tell just
// now what stands: their intents have to stay.
func (l *lostCopies) forget(ctx context.Context, failed []filesync.Delivery) (unseen []filesync.Delivery, err error) {
	failed = slices.DeleteFunc(slices.Clone(failed), func(d filesync.Delivery) bool { return d.Replaces == nil })
	if len(failed) == 0 {
		return nil, nil
	}
	names, paths, keys := make([]string, len(failed)), make([]string, len(failed)), make([]string, len(failed))
	for i, d := range failed {
		names[i], paths[i], keys[i] = d.Target.Name, d.Source.Name, d.Key
	}
	standing, err := l.dst.Stat(ctx, names)
	if err != nil {
		return nil, err
	}
	byPath, err := l.ledger.Find(ctx, paths)
	if err != nil {
		return nil, err
	}
	byKey, err := l.ledger.Owners(ctx, keys)
	if err != nil {
		return nil, err
	}
	lost := map[int64]string{}
	for i, d := range failed {
		if standing[i].Err != nil && !isMissing(standing[i]) {
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
		l.log.Warn("the last copy was replaced by a version that could not be delivered", "file", name,
			"hint", "The source's version is copied in a later pass. If the source has none any more, have it provided there again: the destination has lost both.")
	}
	return unseen, l.ledger.Lost(ctx, rows)
}

// withoutFile gives the deliveries of conflicts under whose names no file is seen: a
// server may tell of a conflict when it has removed the last copy already. A file that
// stands is somebody else's, and untouched by us.
func (l *lostCopies) withoutFile(ctx context.Context, conflicts []filesync.Delivery) (without []filesync.Delivery, err error) {
	if len(conflicts) == 0 {
		return nil, nil
	}
	names := make([]string, len(conflicts))
	for i, d := range conflicts {
		names[i] = d.Target.Name
	}
	standing, err := l.dst.Stat(ctx, names)
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

// isGone reports whether something else stands where a file was, or nothing.
func isGone(was filesync.Entry, standing filesync.StatResult) bool {
	return isMissing(standing) || standing.Err == nil && !was.Agrees(standing.Entry)
}
