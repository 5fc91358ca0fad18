package sync

import "time"

// Record is what the ledger knows of one path. The zero Record knows nothing.
type Record struct {
	// ID is the row of the last delivery; 0 when the path was never delivered.
	ID       int64
	Delivery Delivery
	// After is how far after_copy has come for that delivery.
	After After
	// Gone says that the last complete listing did not have the file.
	Gone bool
	// FailureID is the row of Failure; 0 when the path is not failing.
	FailureID int64
	Failure   Failure
}

// Delivered reports whether the record holds this version of the file as
// delivered. A delivery whose original we removed is closed: the same version
// coming again is a new file.
func (r Record) Delivered(e Entry) bool {
	return r.ID != 0 && r.After != AfterDone && r.Delivery.Source.SameVersion(e)
}

// State is StateDelivered, or StatePresent of a file that stood at the destination before.
func (r Record) State() State {
	if r.Delivery.Adopted {
		return StatePresent
	}
	return StateDelivered
}

// Unverified reports whether the source did not confirm what was read.
func (r Record) Unverified() bool { return r.ID != 0 && r.After == AfterUnverified }

// Delivery is one file version at the destination.
type Delivery struct {
	Source Entry // as it was listed; Source.Name is the path
	// Target is the standing file: its name below the destination, size, time.
	Target Entry
	// Key is what other files must not share: the folded target name where
	// names can collide (flat layout, a destination that folds case), else "".
	Key string
	// Adopted says that the file stood at the destination already.
	Adopted bool
	Pass    string
	At      time.Time
	// Sequence grows from one write of a connector to the next: of an intent, and of a
	// record. The ledger gives it; 0 before version 5.
	Sequence int64
	// PendingID names the pending file of an intent.
	PendingID string
	// InPlace says of an intent whether its file was written under its own name; nil of
	// one that an older program has journaled.
	InPlace *bool
	// Opened says of an intent that was journaled before its file was begun under its
	// own name that the file has been opened.
	Opened bool
	// Replaces is what stood under the name of an intent, and goes for this file;
	// nil for nothing.
	Replaces *Entry
	// After is the after_copy that is owed for it.
	After After
}

// After says how far after_copy has come.
type After int

// The steps of after_copy.
const (
	AfterNone    After = iota // nothing is owed
	AfterOwed                 // to be done; not tried yet, or surely not done
	AfterTrying               // was being done: uncertain until somebody looks
	AfterDone                 // the original is gone; the row is closed
	AfterCompare              // owed, but contents must be compared first (an adopted file)
	AfterRefused              // will not be done: the contents differ, or it is a link
	// AfterUnverified will not be done: the source did not confirm, after the last
	// byte, that the file was still the version that was listed.
	AfterUnverified
)

// Failure is a file version that could not be delivered.
type Failure struct {
	Source      Entry
	Tries       int
	Next        time.Time // when an automatic pass tries again
	Quarantined bool
	Conflict    bool
	// Discards is how many passes in a row have read the file and discarded it, as the
	// source said something else of it after the last byte than before the first.
	Discards int
	Error    string
	At       time.Time
}

// Interrupted is a copy that can go on.
type Interrupted struct {
	Source     Entry
	Checkpoint Checkpoint
	InPlace    *bool // whether it is written under its own name; nil: unknown
}

// GoesOn reports whether it is written as copies are now: under their own names, or not.
func (i Interrupted) GoesOn(inPlace bool) bool { return i.InPlace == nil || *i.InPlace == inPlace }

// MaxDiscards is after how many discards in a row a file counts as failed.
const MaxDiscards = 3

// MaxTries is how often a file is tried before it is quarantined.
const MaxTries = 5
