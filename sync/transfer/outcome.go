package transfer

import (
	"cmp"
	"context"
	"errors"
	"io/fs"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// outcome is what became of a file of a batch that was about to get its name.
type outcome int

// The outcomes.
const (
	outcomeSettled      outcome = iota // it was recorded, or not begun
	outcomeNotPublished                // it was begun and has no name: what was left of it is removed
	outcomeUnknown                     // the destination does not let us find out now, or remove what is left
	outcomePublished                   // it stands under the name
	outcomeProven                      // it did, whatever stands there now
)

// outcomeOf finds out whether a file of a batch got its name, by what the
// ledger has of it and of the owner of that name, and by what stands there; what is left
// of one that did not is removed. Its error is one of the whole destination.
func (v *recovery) outcomeOf(ctx context.Context, f *interruptedFile) (outcome, error) {
	d := f.Delivery
	later := deliveredSince(d, f.rec) || deliveredSince(d, f.owner)
	inPlace := v.wasInPlace(d)
	if inPlace && (later || isRecorded(d, f.rec, f.standing) || isRecorded(d, f.owner, f.standing)) {
		return outcomeSettled, nil // what stands is whole, and recorded
	}
	if f.rec.Delivered(d.Source) && f.rec.Delivery.Pass == d.Pass || isInPlace(d) && replacesStanding(d, f.standing) {
		return outcomeSettled, nil // it was recorded, or never begun
	}
	if inPlace != v.o.InPlace {
		if later {
			return outcomeSettled, nil
		}
		return v.recoverByLook(d, inPlace, f.standing), nil
	}
	became, err := v.removePart(ctx, f)
	switch {
	case err == nil:
		return became, nil
	case filesync.IsUnavailable(err):
		return outcomeSettled, err
	case later: // another pass has found it since, and gone on from there
		return outcomeSettled, nil
	case errors.Is(err, filesync.ErrPublished):
		v.leftPending.Store(true) // the proof goes with the next sweep
		if isLater(f.rec, d) {
			return outcomeSettled, nil
		}
		return outcomeProven, nil
	case !errors.Is(err, fs.ErrNotExist) || errors.Is(err, filesync.ErrUnseen):
		return outcomeUnknown, nil // the pending file may be there
	case isLater(f.rec, d): // under another name, as a file of this one stood there
		return outcomeSettled, nil
	case isUnopened(d): // what stands is somebody else's
		return outcomeSettled, nil
	case f.standing.Err != nil || !f.standing.Entry.Agrees(d.Target),
		!confirmedBy(d, f.standing.Entry) && (v.o.Overwrite || isInPlace(d)):
		return outcomeNotPublished, nil
	}
	return outcomePublished, nil
}

// isUnopened reports whether a file was about to be begun under its own name, and nothing
// was written to it.
func isUnopened(d filesync.Delivery) bool { return isInPlace(d) && !d.Opened }

// removePart removes what is left of a file that has not got its name. Its error says why
// there is nothing to remove.
func (v *recovery) removePart(ctx context.Context, f *interruptedFile) (outcome, error) {
	d := f.Delivery
	part, id := d.Target, d.PendingID
	switch {
	case isUnopened(d):
		part.Size = 0
	case v.o.InPlace && f.standing.Err == nil && f.standing.Entry.Agrees(d.Target):
		// It looks whole, but its CLOSE may never have been answered, which is where
		// a server tells of WRITEs that it lost: it is written anew.
		id = filesync.InPlaceID
	}
	pending, err := v.dst.Begin(ctx, part, &filesync.Checkpoint{ID: id})
	if err != nil {
		return outcomeUnknown, err
	}
	switch err = pending.Abort(ctx); {
	case filesync.IsUnavailable(err):
		return outcomeUnknown, err
	case err == nil:
		return outcomeNotPublished, nil
	case !errors.Is(err, fs.ErrNotExist) && v.o.InPlace:
		return outcomeUnknown, nil
	case !errors.Is(err, fs.ErrNotExist):
		return outcomeNotPublished, nil // the name of what is left tells that it is pending
	}
	// It went between the two: whoever had begun it may have given it its name.
	stats, serr := v.dst.Stat(ctx, []string{d.Target.Name})
	if serr != nil {
		return outcomeUnknown, serr
	}
	f.standing = stats[0]
	return outcomeUnknown, err
}

// wasInPlace reports whether the file of an intent was written under its own name. An older
// program has journaled that of some only: then it was done as it is now.
func (v *recovery) wasInPlace(d filesync.Delivery) bool {
	if d.InPlace != nil {
		return *d.InPlace
	}
	return isInPlace(d) || v.o.InPlace
}

// recoverByLook finds out what became of a file by what stands under its name alone, as
// files.upload_name was another then. The destination would look for the pending file in
// the wrong place, and could take somebody else's file for it.
func (v *recovery) recoverByLook(d filesync.Delivery, inPlace bool, standing filesync.StatResult) outcome {
	if !inPlace {
		v.leftPending.Store(true) // what is not found here goes with the next sweep
	}
	switch agrees := standing.Err == nil && standing.Entry.Agrees(d.Target); {
	case isMissing(standing):
		return outcomeNotPublished
	case isUnopened(d) && standing.Err == nil && standing.Entry.Size > 0:
		return outcomeSettled // what stands is somebody else's
	case standing.Err == nil && (!inPlace && !agrees || standing.Entry.Size > d.Target.Size):
		return outcomeNotPublished
	case inPlace && standing.Err == nil && !agrees:
		v.o.Log.Warn("a part of a file may stand at the destination, from before files.upload_name was changed", "file", d.Target.Name,
			"hint", "Remove it there, or set upload_name: direct again until a pass has ended: it is removed and copied anew then.")
	}
	return outcomeUnknown
}

// isMissing reports whether nothing stands under a name, which the destination lets us see.
func isMissing(standing filesync.StatResult) bool {
	return errors.Is(standing.Err, fs.ErrNotExist) && !errors.Is(standing.Err, filesync.ErrUnseen)
}

// isRecorded reports whether what stands under the name is what the record says, and not
// what was to be written there.
func isRecorded(d filesync.Delivery, rec filesync.Record, standing filesync.StatResult) bool {
	return standing.Err == nil && !rec.Delivery.Source.SameVersion(d.Source) && plan.Wrote(rec, d.Target.Name, standing.Entry)
}

// deliveredSince reports whether the record is of a later delivery under the same name.
func deliveredSince(d filesync.Delivery, rec filesync.Record) bool {
	return rec.Delivery.Target.Name == d.Target.Name && isLater(rec, d)
}

// isLater reports whether the record is of a later delivery, under whatever name.
func isLater(rec filesync.Record, d filesync.Delivery) bool {
	return rec.ID != 0 && cmp.Or(cmp.Compare(rec.Delivery.Sequence, d.Sequence), rec.Delivery.At.Compare(d.At)) > 0
}

// confirmedBy reports whether the size that is told of what stands is the file's.
// Where no size is told, a file that is pending no more may have its name, or
// something else stands there: one that was to be replaced, or half of a file that
// was written in place. Those are written anew. Where nothing stood under the name,
// the delivery is recorded, and the original is left.
func confirmedBy(d filesync.Delivery, standing filesync.Entry) bool {
	return standing.Size >= 0 && standing.Size == d.Target.Size
}

// goesOn reports whether a part that was written in place is what was kept of the file,
// which the next copy goes on with.
func goesOn(d filesync.Delivery, kept filesync.Interrupted, rec, owner filesync.Record, standing filesync.StatResult) bool {
	return isInPlace(d) && kept.Checkpoint.ID != "" && kept.Source.SameVersion(d.Source) &&
		!deliveredSince(d, rec) && !deliveredSince(d, owner) &&
		standing.Err == nil && 0 <= standing.Entry.Size && standing.Entry.Size < d.Target.Size
}
