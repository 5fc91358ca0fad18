package sync

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"sftpconnector/status"
)

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
type Counts struct {
	Seen        int64
	Copied      int64
	Present     int64
	Waiting     int64
	Excluded    int64
	Failed      int64
	Conflict    int64
	Quarantined int64
	Unsafe      int64
	Unverified  int64 // of the copied ones: the source did not confirm what was read
	Bytes       int64
}

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

// maxFailures bounds the failures that a result lists; the counts have them all.
const maxFailures = 1000

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
	Err       error
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

// Progress is a moment of a pass under way.
type Progress struct {
	Seen        int64
	FilesDone   int64
	FilesFound  int64
	BytesDone   int64
	BytesFound  int64
	ListingDone bool
	Doing       string
}

// tally counts what becomes of files. It may be used concurrently.
type tally struct {
	seen, copied, present, waiting, excluded    atomic.Int64
	failed, conflict, quarantined, unsafe       atomic.Int64
	unverified, stuck, irregular                atomic.Int64
	bytes, filesFound, bytesFound, bytesWritten atomic.Int64
	compared                                    atomic.Int64 // bytes of adopted files
	again                                       atomic.Int64
	listed                                      atomic.Bool

	mu       sync.Mutex
	failures []FileFailure
	doing    string
}

func (t *tally) counts() Counts {
	return Counts{
		Seen: t.seen.Load(), Copied: t.copied.Load(), Present: t.present.Load(),
		Waiting: t.waiting.Load(), Excluded: t.excluded.Load(), Failed: t.failed.Load(),
		Conflict: t.conflict.Load(), Quarantined: t.quarantined.Load(), Unsafe: t.unsafe.Load(),
		Unverified: t.unverified.Load(), Bytes: t.bytes.Load(),
	}
}

func (t *tally) progress() Progress {
	t.mu.Lock()
	doing := t.doing
	t.mu.Unlock()
	return Progress{
		Seen: t.seen.Load(), FilesDone: t.copied.Load(), FilesFound: t.filesFound.Load(),
		BytesDone: t.bytesWritten.Load(), BytesFound: t.bytesFound.Load(),
		ListingDone: t.listed.Load(), Doing: doing,
	}
}

// pulse is all that moves while a pass makes progress.
type pulse struct {
	progress Progress
	counts   Counts
	compared int64
}

func (t *tally) pulse() pulse { return pulse{t.progress(), t.counts(), t.compared.Load()} }

// at says what the pass is doing, for the watchdog and the pages.
func (t *tally) at(doing string) {
	t.mu.Lock()
	t.doing = doing
	t.mu.Unlock()
}

func (t *tally) listFailure(f FileFailure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < maxFailures {
		t.failures = append(t.failures, f)
	}
}

// clean reports whether nothing went wrong with any file.
func (c Counts) clean() bool {
	return c.Failed == 0 && c.Conflict == 0 && c.Quarantined == 0 && c.Unsafe == 0
}

// fruitless reports whether there are files of which none could be delivered, now or
// before. irregular are those that are no files to be read: pipes, devices, sockets.
func (c Counts) fruitless(irregular int64) bool {
	bad := !c.clean() || c.Seen > 0 && c.Seen == irregular
	return bad && c.Copied == 0 && c.Present == 0 && c.Waiting == 0
}

// hintName is the advice for names that no destination, or not this one, takes.
const hintName = "Have it renamed at the source."

// hint says what to do about one file's failure.
func hint(err error) string {
	own, advised := errors.AsType[interface {
		error
		Hint() string
	}](err)
	switch {
	case advised && own.Hint() != "":
		return own.Hint()
	case errors.Is(err, fs.ErrPermission):
		return "Have the server's administrator let this user read it (in direction upload: write it), and see that this machine lets the program do its part."
	case errors.Is(err, fs.ErrNotExist):
		return "The file went away while the pass ran; nothing needs to be done."
	case errors.Is(err, ErrConflict):
		return "Remove or rename the file at the destination, or set files.on_conflict: overwrite."
	case isUnsafe(err):
		return hintName
	case errors.Is(err, ErrOutside):
		return "Only links inside the source directory are followed; move the file there, or set files.symlinks: skip."
	case errors.Is(err, ErrLimit):
		return "Split the directory, or exclude it."
	case errors.Is(err, errNoSize):
		return "Without a size nobody can tell whether a copy is whole, so none is made: have the server's administrator see why it tells none."
	case errors.Is(err, ErrChanged):
		return "It is copied once it stands still."
	}
	if w, ok := errors.AsType[*status.Error](err); ok {
		return w.Advice()
	}
	return "See the error; it is tried again on its own."
}
