package sync

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"

	"sftpconnector/status"
)

// Entry is what a store says of one file or directory.
type Entry struct {
	// Name is the slash-separated path below the store's root, never rooted,
	// never with "." or "..". A Lister hands over what the server sent; the
	// walk drops names that ValidName refuses.
	Name    string
	Size    int64       // bytes; negative when the server did not say
	ModTime time.Time   // whole seconds over SFTP 3; zero when the server did not say
	Mode    fs.FileMode // the type bits and the permissions
	// Version names the contents, where the source can: equal for equal contents
	// under a name, never used again for others. It is opaque, and empty where only
	// size and time tell versions apart.
	Version string
}

// SameVersion reports whether both entries are the same version of a file. Where
// both have a Version, that alone decides. Else they are of equal size and of equal
// modification time to the second, which is all that SFTP 3 can tell apart.
func (e Entry) SameVersion(o Entry) bool {
	if e.Version != "" && o.Version != "" {
		return e.Version == o.Version
	}
	return e.Size == o.Size && e.ModTime.Unix() == o.ModTime.Unix()
}

// Agrees reports whether nothing that both entries tell is different: a size or a
// time that one of them does not have is unknown.
func (e Entry) Agrees(o Entry) bool {
	if e.Size < 0 || o.Size < 0 {
		e.Size, o.Size = 0, 0
	}
	if e.ModTime.IsZero() || o.ModTime.IsZero() {
		e.ModTime, o.ModTime = time.Time{}, time.Time{}
	}
	return e.SameVersion(o)
}

// Lister streams the entries of one directory, in no given order, without "."
// and "..". An error is the last thing that it yields. The names it yields are
// paths below the root, and are as the far side sent them: the caller checks them.
// The root itself is the directory "".
type Lister interface {
	List(ctx context.Context, dir string) iter.Seq2[Entry, error]
}

// Source is where files come from. Its methods may be called concurrently.
// Errors of the connection carry a *status.Error; errors of one file satisfy
// errors.Is with fs.ErrNotExist or fs.ErrPermission where the server says so.
type Source interface {
	Lister
	// Stat looks at names again, following symbolic links, and answers with one
	// StatResult for each, in their order. The error is one of the whole source.
	Stat(ctx context.Context, names []string) ([]StatResult, error)
	// Fetch reads the bytes [from, e.Size) of e into w, in any order, and
	// returns what the source says of the file after the last byte: the zero Entry
	// if it does not tell. A file that turns out shorter than e.Size is ErrChanged.
	Fetch(ctx context.Context, e Entry, from int64, w io.WriterAt) (Entry, error)
	Close() error
}

// StatResult is what Stat says of one name.
type StatResult struct {
	Entry Entry
	Err   error // fs.ErrNotExist when there is nothing of that name
}

// Relister is a Source of which Stat may tell a file's size or time in another way
// than List does: in seconds, say, where a listing has minutes.
type Relister interface {
	// Relist looks again at entries of listings, one of the same directory beside
	// the other, and tells of each as List would now: what differs has changed.
	// The answers are in the entries' order; the error is one of the whole source.
	Relist(ctx context.Context, entries []Entry) ([]StatResult, error)
}

// LocalSource is a Source whose files are files of this machine that nobody writes to.
// A LinkingDestination may take them without reading them.
type LocalSource interface {
	// Link calls link with the path of the version e, so that it gives the file another
	// name. The file keeps its own until RemoveIf of e. Link answers as Fetch does:
	// ErrChanged or fs.ErrNotExist when e is not there any more, which may be found
	// after link was called. An error of link is answered as it is.
	Link(ctx context.Context, e Entry, link func(path string) error) (Entry, error)
}

// LinkingDestination is a Destination that may be on the file system of a LocalSource.
type LinkingDestination interface {
	// BeginLink is Begin of a file that is whole already: the pending file is a hard
	// link to the file from, which gets the owner, the mode and what else a new file
	// would have there. Nothing can be written to it and it has no checkpoints. The
	// error is errors.ErrUnsupported, and nothing is left, where the file has to be
	// copied.
	BeginLink(ctx context.Context, from string, e Entry) (Pending, error)
}

// Prover is a Destination that may prove after a crash that a file got its name,
// whatever its readers have done with it since. Publish leaves the proof of an entry
// with a Version, in one step with the name, where the file system can do that. Begin
// with a Checkpoint answers ErrPublished where the proof stands.
type Prover interface {
	// Recorded removes the proofs of published files, as the ledger has them now. What
	// cannot be removed is left to Sweep, and NeedsSweep tells of it.
	Recorded(ctx context.Context, batch []Pending)
}

// Linker is a Source with symbolic links.
type Linker interface {
	// Resolve follows the link e to its end and returns the entry that it
	// points to, under e's own name, and that entry's path below the root
	// with every link resolved. ErrOutside when it leaves the root, ErrLoop when it
	// has no end.
	Resolve(ctx context.Context, e Entry) (target Entry, real string, err error)
}

// Locator is a Source that can tell where a directory lies.
type Locator interface {
	// Locate gives the path below the root, with every link resolved, of a
	// directory of the server, which need not exist yet. A relative dir starts
	// at the root. inside is false when it lies elsewhere.
	Locate(ctx context.Context, dir string) (name string, inside bool, err error)
}

// Consumer is a Source whose originals may go. An error that leaves no doubt
// that the original was not touched is marked with Untouched.
type Consumer interface {
	// RemoveIf removes the file if it is still the version e, and answers
	// ErrChanged if it is another; fs.ErrNotExist if there is none. One that knows
	// more than the second of a time compares all that e has of it.
	RemoveIf(ctx context.Context, e Entry) error
	// MoveIf does the same for a move to the directory dir, a path on the
	// server. What stands there under the same name is never overwritten.
	MoveIf(ctx context.Context, e Entry, dir string) error
}

// Destination is where files go. Its methods may be called concurrently.
// An error that concerns the whole destination (unreachable, full) carries a
// *status.Error; any other is one file's. A destination behind a connection
// does not open that again: once it is lost, every call answers with an error
// that is ErrDisconnected, too, and another Destination has to be opened.
type Destination interface {
	// Stat says what stands under each of the names, in their order.
	Stat(ctx context.Context, names []string) ([]StatResult, error)
	// Open opens a file that stands at the destination for reading.
	Open(ctx context.Context, name string) (File, error)
	// Begin starts a file that is to have e's name, size and time. The
	// directories above it are made. With resume it goes on with the pending
	// file of that Checkpoint, and fails with fs.ErrNotExist when that is gone, or a
	// file stands where its directory was. After any other error it may be there.
	Begin(ctx context.Context, e Entry, resume *Checkpoint) (Pending, error)
	// Sync makes the contents and times of the batch durable. It answers
	// with one error for each, nil where all is well.
	Sync(ctx context.Context, batch []Pending) []error
	// Publish gives each pending file its name, durably. The standing file is
	// replaced only if it is the one that the publication expects; else
	// ErrConflict for that one.
	Publish(ctx context.Context, batch []Publication) []error
	// Persist makes files that stand at the destination already durable,
	// with their names. It answers with one error for each.
	Persist(ctx context.Context, names []string) []error
	// Sweep removes the pending files that passes before this one left
	// behind, but for those that keep names by their id; durably where it can.
	Sweep(ctx context.Context, keep func(id string) bool) error
	// Probe checks that files can be written here, and leaves nothing behind.
	Probe(ctx context.Context) error
	// FoldsCase reports whether names that differ only in case are one file here.
	// It may try with a file of its own if mayWrite is set.
	FoldsCase(mayWrite bool) bool
	Close() error
}

// Replacer is a Destination that may have to write files under their own names,
// and so has to know sooner than at Publish what it may replace. Begin of such
// a one answers ErrConflict when something stands under the name.
type Replacer interface {
	// BeginReplacing is Begin of a file that replaces the standing one, if that
	// is still the version standing; else ErrConflict.
	BeginReplacing(ctx context.Context, e, standing Entry) (Pending, error)
}

// SweepRequester is a Destination that may know of pending files that it could not
// remove, or that may have been made by what failed.
type SweepRequester interface {
	// NeedsSweep reports whether there may be some since it was asked last.
	NeedsSweep() bool
}

// Roomer is a Destination that can tell how much room is left. A pass asks it
// before it begins a file: one that does not fit is not begun.
type Roomer interface {
	// Room tells the room of the file system that a directory is on. The
	// directory is a path below the root, "" for that itself, and need not be
	// there yet. An error says that nothing is known.
	Room(ctx context.Context, dir string) (Room, error)
}

// Room is the room of a file system, in bytes.
type Room struct {
	Free  int64 // that we may use
	Total int64
	// Remote says that it is of another machine: whose programs need of it what, is
	// that one's business.
	Remote bool
}

// File is an open file of a destination.
type File interface {
	io.ReaderAt
	io.Closer
}

// Pending is a file that is being written, invisible under its own name until
// it is published. WriteAt may be called concurrently for different ranges.
type Pending interface {
	io.WriterAt
	// ID tells this pending file from all others of its destination, now and later.
	ID() string
	// Checkpoint makes the bytes [0, prefix) durable, so that a later Begin
	// can go on from there. The caller knows that they were all written. The
	// answer's prefix is shorter where the far side has not acknowledged all of them.
	Checkpoint(ctx context.Context, prefix int64) (Checkpoint, error)
	// Finish ends the writing: the file has e's size and gets its time. It answers
	// with the version that will stand under e's name: e itself, but where the
	// destination does not let times be set or keeps them coarser.
	Finish(ctx context.Context) (Entry, error)
	// Abort removes the pending file, durably where the destination can. fs.ErrNotExist
	// says that there was none to remove: somebody else has removed it, or has given it
	// its name. After Publish it does nothing.
	Abort(ctx context.Context) error
	// Keep closes the pending file and leaves it for a later Begin with its Checkpoint.
	Keep() error
}

// Standing is a Pending of a destination that may tell other things of a file than
// Finish expected, once it has its name: a time of its own, or none at all.
type Standing interface {
	// Stands is what the destination says of the file since Publish gave it its
	// name, as later looks will find it. ok is false where it did not say, or the
	// file was taken away at once.
	Stands() (e Entry, ok bool)
}

// Checkpoint names an interrupted copy and the prefix of it that is durable.
type Checkpoint struct {
	ID     string
	Prefix int64 // bytes
}

// InPlaceID begins the ids of files in the journal that were about to be begun
// under their own names. What stands there then is a part of one, whatever its
// time, if it is no larger.
const InPlaceID = "in place"

// Publication is one finished file on its way to its name.
type Publication struct {
	Pending Pending
	// Replaces is what stands under the name and may be replaced; nil when
	// nothing may stand there.
	Replaces *Entry
}

// Errors on which a pass decides.
var (
	// ErrChanged: the file is no longer the version that was listed.
	ErrChanged = errors.New("changed while it was copied")
	// ErrPublished: the file is pending no more, as it got its name.
	ErrPublished = errors.New("the file has its name already")
	// ErrConflict: a file that is not ours stands under the name.
	ErrConflict = errors.New("another file stands at the destination under this name")
	// ErrOutside: a symbolic link leaves the source directory.
	ErrOutside = errors.New("the symbolic link leaves the source directory")
	// ErrLoop: a symbolic link leads back to itself.
	ErrLoop = errors.New("too many levels of symbolic links")
	// ErrFull: there is no room for this file; a smaller one may fit.
	ErrFull = errors.New("no space left at the destination")
	// ErrLink: the original is a symbolic link, which is not removed or moved.
	ErrLink = errors.New("is a symbolic link; its original is left")
	// ErrUnseen: the destination does not let us look. It comes with fs.ErrNotExist, as
	// nothing that was not seen is overwritten; something may be there all the same.
	ErrUnseen = errors.New("the server does not let us look")
	// ErrDisconnected: the connection to the destination was lost.
	ErrDisconnected = errors.New("the connection to the destination was lost")
	// ErrBeginAnew: what was read or written of this file so far is worth nothing,
	// through no fault of the file's own. The copy is to begin again at its start.
	ErrBeginAnew = errors.New("the copy has to begin anew")
	// ErrLimit: a listing went past what one directory or one tree may hold.
	ErrLimit = errors.New("past the limit")
)

// IsUnavailable reports whether err concerns the whole source or destination, so that
// going on with other files makes no sense.
func IsUnavailable(err error) bool {
	_, ok := errors.AsType[*status.Error](err)
	return ok
}

// Untouched marks an error of a Consumer: the original was surely not touched.
func Untouched(err error) error { return &untouched{err} }

// IsUntouched reports whether err was marked with Untouched.
func IsUntouched(err error) bool {
	_, marked := errors.AsType[*untouched](err)
	return marked
}

type untouched struct{ error }

func (u *untouched) Unwrap() error { return u.error }
