package transfer

import (
	"context"
	"log/slog"
	"slices"
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

// inPlaceJournal journals such files. Those that are begun beside each other are journaled
// together.
type inPlaceJournal struct {
	ctx     context.Context // of all copies
	ledger  Ledger
	lost    *lostCopies
	log     *slog.Logger
	intents *grouped[filesync.Delivery, int64]
	opened  *grouped[int64, struct{}]
}

func newInPlaceJournal(ctx context.Context, ledger Ledger, lost *lostCopies, log *slog.Logger) *inPlaceJournal {
	j := &inPlaceJournal{ctx: ctx, ledger: ledger, lost: lost, log: log, intents: newGrouped(ledger.IntendInPlace)}
	j.opened = newGrouped(func(ctx context.Context, intents []int64) ([]struct{}, error) { // there is nothing to answer
		return make([]struct{}, len(intents)), ledger.MarkOpened(ctx, intents)
	})
	return j
}

// intend journals that a file is about to be begun under its own name.
func (j *inPlaceJournal) intend(f *finished) (err error) {
	if !f.client.o.InPlace {
		return nil
	}
	d := f.delivery
	d.PendingID, d.InPlace, d.At, d.Replaces = filesync.InPlaceID, new(true), time.Now(), f.file.Replaces
	f.intent, err = j.intents.ask(j.ctx, d)
	return err
}

// markOpened journals that the file is open.
func (j *inPlaceJournal) markOpened(f *finished) error {
	if f.intent == 0 {
		return nil
	}
	_, err := j.opened.ask(j.ctx, f.intent)
	return err
}

// drop ends the intents of files that are whole, or were never begun. A failure
// leaves it to the next pass, which finds nothing to do.
func (j *inPlaceJournal) drop(files ...*finished) {
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), graceTime)
	defer cancel()
	if err := j.ledger.Drop(ctx, ids); err != nil {
		j.warn(err)
	}
}

// dropBroken ends the intents of files that are gone, or of which a part is there. Without
// an answer of the destination it is left to the next pass.
func (j *inPlaceJournal) dropBroken(files ...*finished) {
	var begun []filesync.Delivery
	for _, f := range files {
		if f.intent != 0 {
			d := f.delivery
			d.Replaces = f.file.Replaces
			begun = append(begun, d)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), graceTime)
	defer cancel()
	unseen, err := j.lost.forget(ctx, begun)
	if err != nil {
		j.warn(err)
		return
	}
	var ended []*finished
	for _, f := range files {
		if !slices.ContainsFunc(unseen, func(d filesync.Delivery) bool { return d.Target.Name == f.delivery.Target.Name }) {
			ended = append(ended, f)
		}
	}
	j.drop(ended...)
}

// warn says that intents stay, of files of which nothing became.
func (j *inPlaceJournal) warn(err error) {
	j.log.Warn("intents not dropped", "error", err,
		"hint", "The next pass looks at these files and drops them. If this comes again, mend what the error says of the destination, or of the disk of data_directory.")
}
