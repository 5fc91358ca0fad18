// Package plan decides what becomes of one file of a source. It asks nobody: the
// facts come in, a decision comes out, and whoever calls it does what that says.
//
// Facts are gathered in steps, as each costs more than the one before: what the
// listing and the ledger say, whether the file has stood still, what stands at the
// destination. Decide is called with what is known, and answers with the next question
// if that does not suffice.
package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	filesync "sftpconnector/sync"
)

// Rules are the settings of a pass that decide about files.
type Rules struct {
	Mode filesync.Mode
	// Settle is how long a file has to stand still. SecondLook says that the pass looks
	// at files again which have stood still for less.
	Settle     time.Duration
	SecondLook bool
	AfterCopy  bool // originals are removed or moved
	Flat       bool // all files are in one directory at the destination
	Overwrite  bool // files at the destination that are not ours are replaced
	// Once leaves a delivered version alone that is missing at the destination: its
	// receiver may have taken it away.
	Once bool
	// KeepBoth gives a file whose name is taken another one.
	KeepBoth bool
	// InPlace says that the destination writes files under their own names.
	InPlace bool
}

// BringsBack reports whether files that were delivered and are missing at the
// destination are copied again.
func (r Rules) BringsBack() bool { return r.Mode.Ensures() && !r.Once }

// Facts are what is known of one file.
type Facts struct {
	Now      time.Time
	Listed   filesync.Entry
	Record   filesync.Record // what the ledger has of its path
	Excluded string          // why the filters leave it out; "" if they do not
	TooYoung time.Duration   // for so much longer it has to stay unmodified
	// Checkpoint says that an interrupted copy of this version can go on.
	Checkpoint bool
	// NotDurable is why a copy of this version, which has its name, cannot be made
	// durable; nil if there is none.
	NotDurable error

	// Stillness says whether the file has stood still; nil: that was not asked yet.
	Stillness *Stillness

	// Destination is the name that the file would get, and Standing what stands there;
	// nil: that was not asked yet.
	Destination string
	Standing    *filesync.StatResult
	// Owner is the file that the name belongs to, where names of different files can
	// be one: in a flat layout, or where case does not count. OwnersCopy is what stands
	// under its name, which may differ from Destination in case; nil where that was not
	// asked, as the owner's file is at the source.
	Owner      filesync.Record
	OwnersCopy *filesync.StatResult
}

// Stillness says whether a file has stood still for Rules.Settle.
type Stillness struct {
	Ready       bool
	Left        time.Duration // it has to stand still for so much longer; 0: that is not known
	Reason      string        // why it is not ready
	TimeChanges int           // passes in a row that found another time at the same size
}

// Action is what is to be done about a file.
type Action string

// The actions.
const (
	Leave   Action = "leave"   // nothing; State and Reason say why
	Observe Action = "observe" // find out whether it stands still, and decide again
	Await   Action = "await"   // look at it again when Left is over
	Examine Action = "examine" // find out what stands at the destination, and decide again
	Copy    Action = "copy"    // copy it; Replaces is what may be replaced
	Adopt   Action = "adopt"   // record what stands at the destination as its copy
)

// Decision is what becomes of a file, and why.
type Decision struct {
	Action Action
	State  filesync.State
	Reason string
	Err    error  // behind Reason, where a caller tells errors apart
	Hint   string // what to do about it; "" where Err tells
	Left   time.Duration
	// Replaces is what stands at the destination and may be replaced; nil for nothing.
	Replaces *filesync.Entry
	// Held says that the file is left alone for now, as something failed earlier; Stuck,
	// that waiting will not make it ready.
	Held, Stuck bool
	// Delivered says that the file needs nothing, as this version was delivered before;
	// Target is where it stands, "" if that was not asked.
	Delivered bool
	Target    string
	// Mended says that an earlier failure of the file is none any more. Owes says that
	// its original is to be removed or moved now. NewConflict is one that the ledger
	// does not have yet.
	Mended, Owes, NewConflict bool
}

// Decide decides about one file.
func Decide(r Rules, f Facts) Decision {
	switch {
	case f.Excluded != "":
		return leave(filesync.StateExcluded, f.Excluded)
	case f.Record.Delivered(f.Listed):
		return decideDelivered(r, f)
	}
	return decideNew(r, f)
}

func leave(state filesync.State, reason string) Decision {
	return Decision{Action: Leave, State: state, Reason: reason}
}

// decideDelivered decides about a version that was delivered before. It comes to the
// destination again if it is missing there and the pass brings it back; else only its
// after_copy may be open.
func decideDelivered(r Rules, f Facts) Decision {
	rec, owes := f.Record, mayOwe(r, f.Record)
	if rec.After == filesync.AfterRefused && rec.FailureID != 0 && rec.Failure.Conflict {
		d := leave(filesync.StateConflict, rec.Failure.Error)
		d.Hint = HintCompare
		return d
	}
	if !r.BringsBack() && !owes && rec.FailureID == 0 {
		return delivered(r, f)
	}
	if d, held := held(r, f); r.BringsBack() && held {
		return d
	}
	if f.Standing == nil {
		return Decision{Action: Examine}
	}
	if BelongsToAnother(r, f) {
		return NameTaken(r, f.Destination, f.Owner.Delivery.Source.Name)
	}
	d := byDestination(r, f)
	there := d.Delivered
	if !r.BringsBack() {
		// Its reader may have taken it away: only its after_copy was open.
		d = delivered(r, f)
	}
	d.Owes = owes && (there || r.Once)
	d.Mended = rec.FailureID != 0 && (there || !r.BringsBack())
	return d
}

// decideNew decides about a version that was not delivered before.
func decideNew(r Rules, f Facts) Decision {
	if f.NotDurable != nil { // its reader may have taken the copy
		d := leave(filesync.StateFailed, fmt.Sprintf("its copy stands, and cannot be made durable yet: %v", f.NotDurable))
		d.Err, d.Held = fmt.Errorf("its copy stands, and cannot be made durable yet: %w", f.NotDurable), true
		return d
	}
	if d, held := held(r, f); held {
		return d
	}
	if f.TooYoung > 0 {
		return leave(filesync.StateWaiting, fmt.Sprintf("modified at %s, files.minimum_age asks for %s more",
			f.Listed.ModTime.UTC().Format(time.RFC3339), f.TooYoung.Round(time.Second)))
	}
	if f.Stillness == nil {
		return Decision{Action: Observe}
	}
	// A survey waits for nothing: it tells what a pass would do once the file stands still.
	if s := *f.Stillness; !s.Ready && !(r.Mode == filesync.Survey && s.Left > 0) {
		return unready(r, s)
	}
	if f.Standing == nil {
		return Decision{Action: Examine}
	}
	if BelongsToAnother(r, f) {
		return NameTaken(r, f.Destination, f.Owner.Delivery.Source.Name)
	}
	d := byDestination(r, f)
	if d.Action == Copy && !f.Stillness.Ready {
		d.Reason += fmt.Sprintf("; it has to stand still for %s", r.Settle)
	}
	return d
}

// unready decides about a file that has not stood still for long enough.
func unready(r Rules, s Stillness) Decision {
	switch {
	case r.SecondLook && s.Left > 0:
		return Decision{Action: Await, State: filesync.StateWaiting, Reason: s.Reason, Left: s.Left}
	case s.TimeChanges >= filesync.MaxDiscards:
		d := leave(filesync.StateFailed, fmt.Sprintf("it has another time at each look, %d passes in a row, and the same size", s.TimeChanges))
		d.Hint, d.Stuck = HintDiscards, true
		return d
	}
	return leave(filesync.StateWaiting, s.Reason)
}

// held decides about a version that failed before and is not tried now.
func held(r Rules, f Facts) (d Decision, held bool) {
	last := f.Record.Failure
	switch {
	case f.Record.FailureID == 0 || last.Conflict || !last.Source.SameVersion(f.Listed):
		return d, false
	case last.Quarantined:
		d = leave(filesync.StateQuarantined, fmt.Sprintf("failed %d times: %s", last.Tries, last.Error))
		d.Err, d.Hint = fmt.Errorf("quarantined: %s", last.Error), "Mend the cause, then release it with 'sftp-connector retry'."
		return d, true
	case r.Mode.Ensures(), !f.Now.Before(last.Next), f.Now.Before(last.At): // a clock that was set back puts nothing off
		return d, false
	}
	next := last.Next.UTC().Format(time.RFC3339)
	d = leave(filesync.StateFailed, fmt.Sprintf("tried %d times, next at %s: %s", last.Tries, next, last.Error))
	d.Err, d.Hint, d.Held = errors.New(last.Error), "It is tried again at "+next+", or on Apply.", true
	return d, true
}

// BelongsToAnother reports whether the name at the destination is another file's. It
// is free once that file is gone from the source, unless what stands there may be all
// there is of it.
func BelongsToAnother(r Rules, f Facts) bool {
	if f.Owner.ID == 0 || f.Owner.Delivery.Source.Name == f.Listed.Name {
		return false
	}
	removed := f.Owner.After == filesync.AfterDone // by us
	return !f.Owner.Gone && !removed || lastCopy(r, f, removed)
}

// NameTaken is the decision about a file whose name belongs to another one, which is
// no fault of its own.
func NameTaken(r Rules, name, owner string) Decision {
	d := leave(filesync.StateFailed, fmt.Sprintf("the name %s at the destination belongs to %s", name, owner))
	d.Hint = "Rename one of them, or remove the one at the destination that is not needed any more."
	if r.Flat {
		d.Hint = "Rename one of them, or use files.layout: tree."
	}
	return d
}

// lastCopy reports whether what stands under a name may be all there is of its
// owner's file, and stays: we removed the original, or it is gone from the source
// and the two names only fold to one, so that nobody meant one file to follow the
// other. files.on_conflict: overwrite says that it may.
func lastCopy(r Rules, f Facts, removed bool) bool {
	if !removed && (r.Flat || r.Overwrite) {
		return false
	}
	return f.OwnersCopy != nil && f.OwnersCopy.Err == nil && Wrote(f.Owner, f.Owner.Delivery.Target.Name, f.OwnersCopy.Entry)
}

// byDestination decides by what stands under a name that the file may have.
func byDestination(r Rules, f Facts) Decision {
	again := f.Record.Delivered(f.Listed)
	switch err := f.Standing.Err; {
	case errors.Is(err, fs.ErrNotExist):
		return copyOver(f, nil)
	case errors.Is(err, filesync.ErrConflict):
		return newConflict(f, err)
	case errors.Is(err, fs.ErrInvalid): // a name that the destination cannot hold
		d := leave(filesync.StateUnsafe, err.Error())
		d.Err, d.Hint = err, HintName
		return d
	case err != nil:
		d := leave(filesync.StateFailed, "")
		d.Err = fmt.Errorf("look at the destination: %w", err)
		d.Reason = d.Err.Error()
		return d
	}
	s := f.Standing.Entry
	ours := Wrote(f.Record, f.Destination, s) || Wrote(f.Owner, f.Owner.Delivery.Target.Name, s) // whose name it is by its key, in whatever case
	switch {
	case s.Mode.IsDir():
		return newConflict(f, fmt.Errorf("a directory: %w", filesync.ErrConflict))
	case ours && again:
		d := delivered(r, f)
		d.Reason, d.Target = "stands at the destination", f.Destination
		return d
	case !ours && !again && f.Listed.Version == "" && s.Mode.IsRegular() && s.SameVersion(f.Listed):
		return Decision{Action: Adopt, State: filesync.StatePresent, Target: f.Destination, Reason: "the same name, size and time stand at the destination"}
	case !ours && !again && r.InPlace && f.Checkpoint && s.Mode.IsRegular() && s.Size <= f.Listed.Size: // a part of it, from an interrupted copy
		return copyOver(f, nil)
	case !ours && !r.Overwrite, r.KeepBoth && !again: // came after the look for a free name
		return newConflict(f, fmt.Errorf("%w (%d bytes of %s)", filesync.ErrConflict, s.Size, s.ModTime.UTC().Format(time.RFC3339)))
	}
	return copyOver(f, &s)
}

// copyOver decides that a file is copied, in the place of what stands there, if
// anything does.
func copyOver(f Facts, replaces *filesync.Entry) Decision {
	d := Decision{Action: Copy, State: filesync.StateNew, Reason: "not delivered yet", Replaces: replaces}
	switch {
	case f.Record.Delivered(f.Listed) && replaces != nil:
		d.Reason = "edited at the destination, and files.on_conflict is overwrite"
	case f.Record.Delivered(f.Listed):
		d.Reason = "delivered before, missing at the destination"
	case f.Record.ID != 0 && f.Record.After != filesync.AfterDone:
		d.State, d.Reason = filesync.StateChanged, "its size or time changed since it was delivered"
	}
	return d
}

// newConflict is Conflict of a file, which the ledger may have already.
func newConflict(f Facts, err error) Decision {
	d, last := Conflict(err), f.Record.Failure
	d.NewConflict = f.Record.FailureID == 0 || !last.Conflict || !last.Source.SameVersion(f.Listed)
	return d
}

// Conflict is the decision about a file that is left, as another one has its name.
func Conflict(err error) Decision {
	d := leave(filesync.StateConflict, err.Error())
	d.Err = err
	return d
}

// delivered decides that a version needs nothing, as it was delivered.
func delivered(r Rules, f Facts) Decision {
	rec := f.Record
	reason := "delivered " + rec.Delivery.At.UTC().Format(time.RFC3339)
	if rec.Unverified() {
		reason += "; the server did not confirm the copy, so its original is left"
	}
	if r.AfterCopy && (rec.After == filesync.AfterOwed || rec.After == filesync.AfterTrying || rec.After == filesync.AfterCompare) {
		reason += "; its original could not be removed or moved yet"
	}
	d := leave(rec.State(), reason)
	d.Delivered = true
	if r.Once {
		d.Target = rec.Delivery.Target.Name // it is not asked whether it stands there still
	}
	return d
}

// mayOwe reports whether a file that was delivered earlier could owe its after_copy:
// that was asked for only later, or has failed so far. An automatic pass has been at
// it already by then.
func mayOwe(r Rules, rec filesync.Record) bool {
	if !r.AfterCopy {
		return false
	}
	switch rec.After {
	case filesync.AfterNone:
		return true
	case filesync.AfterOwed, filesync.AfterCompare:
		return r.BringsBack()
	}
	return false
}

// Wrote reports whether a record explains what stands under a name: we wrote, or
// adopted, this very version of it, as far as that is told.
func Wrote(r filesync.Record, name string, standing filesync.Entry) bool {
	return r.ID != 0 && r.Delivery.Target.Name == name && standing.Mode.IsRegular() && r.Delivery.Target.Agrees(standing)
}

// Advice for what only people can mend.
const (
	HintName     = "Have it renamed at the source."
	HintCompare  = "The file was at the destination before us; its original is left. Compare the two by hand, and remove the wrong one."
	HintDiscards = "If nobody writes to the file, its server tells of it in a way that cannot be relied on: have its administrator look at the times and sizes that it gives."
)
