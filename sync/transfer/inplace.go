package transfer

import (
	"context"
	"errors"
	"strings"
	"time"

	filesync "sftpconnector/sync"
)

// A destination that writes files under their own names (Options.InPlace) leaves
// a part of one there when the program is killed or the connection breaks. To
// know it from somebody else's file, each is journaled before it is begun, and
// marked once it is open, before anything is written to it. What stands under the
// name of one that was not marked is ours only if it is empty.

// isInPlace reports whether the delivery is one that was about to be begun so.
func isInPlace(d filesync.Delivery) bool { return strings.HasPrefix(d.PendingID, filesync.InPlaceID) }

// replacesStanding reports whether what stands is the very file that was to be replaced.
func replacesStanding(d filesync.Delivery, standing filesync.StatResult) bool {
	return standing.Err == nil && d.Replaces != nil && d.Replaces.SameVersion(standing.Entry)
}

// intendInPlace journals that a file is about to be begun under its own name.
func (r *run) intendInPlace(f *finished) (err error) {
	if !f.client.o.InPlace {
		return nil
	}
	d := f.delivery
	d.PendingID, d.InPlace, d.At, d.Replaces = filesync.InPlaceID, new(true), time.Now(), f.file.Replaces
	f.intent, err = r.intents.ask(r.ctx, d)
	return err
}

// maybeCreated reports whether a file that could not be begun was created, by what stands
// under its name: a server may answer that it failed to do what it did. An empty file
// that was not there before, or had something in it, is left to the next pass, which
// finds out by the intent: it is ours if it is empty still. Another program may
// be about to write to it now.
func (r *run) maybeCreated(ctx context.Context, f *finished) bool {
	if f.intent == 0 || f.file.Replaces != nil && f.file.Replaces.Size == 0 {
		return false
	}
	stats, err := r.dst.Stat(ctx, []string{f.file.Name})
	if err != nil || errors.Is(stats[0].Err, filesync.ErrUnseen) {
		return true
	}
	return stats[0].Err == nil && stats[0].Entry.Mode.IsRegular() && stats[0].Entry.Size == 0
}

// markOpened journals that the file is open; it is given up if that fails.
func (r *run) markOpened(ctx context.Context, f *finished) error {
	if f.intent == 0 {
		return nil
	}
	_, err := r.opened.ask(r.ctx, f.intent)
	if err != nil {
		r.giveUp(ctx, f, newExtents(f, 0), err)
	}
	return err
}

// markAllOpened journals it for many. There is nothing to answer.
func (r *run) markAllOpened(ctx context.Context, intents []int64) ([]struct{}, error) {
	return make([]struct{}, len(intents)), r.ledger.MarkOpened(ctx, intents)
}

// dropIntents ends the intents of files that are whole, or were never begun. A failure
// leaves it to the next pass, which finds nothing to do.
func (r *run) dropIntents(files ...*finished) {
	var ids []int64
	for _, f := range files {
		if f.intent != 0 {
			ids = append(ids, f.intent)
			f.intent = 0
		}
	}
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), graceTime)
	defer cancel()
	if err := r.ledger.Drop(ctx, ids); err != nil {
		r.warnOfIntents(err)
	}
}

// dropBroken ends the intents of files that are gone, or of which a part is there. Without
// an answer of the destination it is left to the next pass.
func (r *run) dropBroken(files ...*finished) {
	var begun []filesync.Delivery
	for _, f := range files {
		if f.intent != 0 {
			d := f.delivery
			d.Replaces = f.file.Replaces
			begun = append(begun, d)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), graceTime)
	defer cancel()
	if err := r.lost.forget(ctx, begun); err != nil {
		r.warnOfIntents(err)
		return
	}
	r.dropIntents(files...)
}

// warnOfIntents says that intents stay, of files of which nothing became.
func (r *run) warnOfIntents(err error) {
	r.log.Warn("intents not dropped", "error", err,
		"hint", "The next pass looks at these files and drops them. If this comes again, mend what the error says of the destination, or of the disk of data_directory.")
}
