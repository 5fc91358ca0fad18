package sync

import (
	"time"

	"sftpconnector/interapp"
)

// Mode says what a pass makes sure of.
type Mode string

// The modes of a pass.
const (
	// Automatic copies every ready version that was not delivered before.
	Automatic Mode = "automatic"
	// Apply also brings back what is missing at the destination, and tries
	// failed files at once.
	Apply Mode = "apply"
	// Request does what Apply does for the files of a Selection, beside other
	// passes of the connector.
	Request Mode = "request"
	// Survey decides about each file and does nothing.
	Survey Mode = "survey"
)

// Ensures reports whether the mode brings back what is missing at the destination.
func (m Mode) Ensures() bool { return m == Apply || m == Request }

// AfterCopy is what becomes of originals.
type AfterCopy struct {
	Remove bool
	MoveTo string // a directory on the server; "" for none
}

func (a AfterCopy) Any() bool { return a.Remove || a.MoveTo != "" }

// State is what a pass found of one file.
type State string

// The states of a file.
const (
	StateNew         State = "new"
	StateChanged     State = "changed"
	StateWaiting     State = "waiting"
	StateCopying     State = "copying"
	StateDelivered   State = "delivered"
	StatePresent     State = "present"
	StateFailed      State = "failed"
	StateQuarantined State = "quarantined"
	StateConflict    State = "conflict"
	StateExcluded    State = "excluded"
	StateUnsafe      State = "unsafe"
)

// Outcome is how a pass ended.
type Outcome string

// The outcomes of a pass. A pass under way is Running.
const (
	Running   Outcome = "running"
	Succeeded Outcome = "succeeded"
	Partial   Outcome = "partial" // some files failed, are quarantined, in conflict or unsafe, or a directory could not be read
	Failed    Outcome = "failed"  // could not run
	Cancelled Outcome = "cancelled"
)

// Counts are the files of a pass by what became of them.
type Counts = interapp.Counts

// FileFailure is one file, or directory, that a pass could not do.
type FileFailure struct {
	Name  string
	Error string
	Hint  string
	// Unlisted says that it is a directory, or a link to one, whose files are not known.
	Unlisted bool
	// Held says that the pass left it alone after it failed earlier; Hint is when it
	// is tried again.
	Held bool
}

// MaxFailures bounds the failures that a result lists; the counts have them all.
const MaxFailures = 1000

// Result is what a pass did. Err says why it failed or was cancelled.
type Result struct {
	Outcome  Outcome
	Started  time.Time
	Finished time.Time
	Files    Counts
	// Again is how many of the files seen a run before this one, of the same ID,
	// has copied: they are not counted as present.
	Again    int64
	ToCopy   int64 // files that had to be copied
	Failures []FileFailure
	// Incomplete says that the listing missed something: a directory that could
	// not be read, say.
	Incomplete bool
	// Stuck are files that this pass and the ones before it have read and discarded,
	// time and again.
	Stuck int64
	// Fruitless says that there are files, and that the pass could deliver none of
	// them, nor had it done so before.
	Fruitless bool
	// Left says that pending files may be left at the destination, which the next pass
	// removes.
	Left bool
	Err  error
}

// Join adds the run r of a pass that began anew to what the run before it did.
func (r Result) Join(before Result) Result {
	r.Started = before.Started
	// What was copied and then removed is not seen again, nor is all of the rest
	// if this run has not come far.
	r.Files.Seen = max(r.Files.Seen+before.Files.Copied-r.Again, before.Files.Seen)
	r.Files.Copied += before.Files.Copied
	r.Files.Bytes += before.Files.Bytes
	return r
}

// Delivered is told of each delivered file.
type Delivered struct {
	Delivery Delivery
	Took     time.Duration // from the start of the copy to the commit; 0 when adopted
}

// Decision is what a pass thinks of one file, and why.
type Decision struct {
	Entry  Entry
	State  State
	Target string // its name at the destination, where it stands there; else ""
	Reason string
	// Unverified says of a delivered one that the source did not confirm what was read.
	Unverified bool
}

// Progress is how far a pass under way has come.
type Progress = interapp.Progress
