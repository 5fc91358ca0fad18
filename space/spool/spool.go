package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"sftpconnector/durable"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// Limits bound what clients may put into a spool.
type Limits struct {
	MaximumFileSize int64 // bytes; 0: none
	Quota           int64 // bytes of all uploads, those under way included; 0: none
	// KeepEach has each upload of a name imported, in the order in which they were
	// closed. Else an upload takes the place of one that is not imported yet.
	KeepEach bool
}

// Index keeps the rows of a spool. *ledger.Spool is one.
type Index interface {
	// Rows calls f for each row, in the order of the IDs.
	Rows(ctx context.Context, f func(ledger.SpoolRow) error) error
	// Change puts and drops rows all at once, durably.
	Change(ctx context.Context, put []ledger.SpoolRow, drop []int64) error
}

// Options are the settings of a spool.
type Options struct {
	Limits
	// Directory holds the objects. It is made if need be, with mode 0700.
	Directory string
	// Inbox is a directory whose files are taken over by Open: the inbox of an earlier
	// version, or what an operator has put there. It is made, too. Empty: there is none.
	Inbox string
	Index Index

	MaximumEntries int // uploads and directories; 0: 200,000. Empty ones cost no bytes, so the quota alone bounds nothing
	// Quiet is how long nothing may have touched a file before it is imported;
	// 0: 2 s. After Open it starts anew for all files.
	Quiet time.Duration
	// Remember is how long STAT and SETSTAT of an imported file are still
	// answered; 0: 60 s. rclone sets times after CLOSE and looks whether they hold.
	Remember time.Duration
	// IsTemporary tells the base names of files that are not finished, which
	// are never imported; nil: those of sync.TemporaryNames.
	IsTemporary func(base string) bool
	// OnChange, which may be nil, is called when a file has become ready to be
	// imported, once for all that did together. It must not block.
	OnChange func()
	Log      *slog.Logger
}

func (o *Options) defaults() error {
	o.MaximumEntries = cmp.Or(o.MaximumEntries, 200_000)
	o.Quiet = cmp.Or(o.Quiet, 2*time.Second)
	o.Remember = cmp.Or(o.Remember, time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.IsTemporary == nil {
		filter, err := filesync.NewFilter(filesync.FilterOptions{})
		if err != nil {
			return err
		}
		o.IsTemporary = func(base string) bool { return filter.Excluded(filesync.Entry{Name: base}) != "" }
	}
	return nil
}

// Spool is an open spool. It may be used concurrently. A directory and its index
// must have no more than one at a time.
type Spool struct {
	o         Options
	objects   *objects
	commits   group // of changes to the index
	tidying   group // of objects that are to be removed
	takeovers group // of what is in the inbox

	refusals *refusals

	mu     sync.Mutex // is never held while a disk or the ledger is written
	limits Limits
	tree   tree
	gone   memory
	soon   map[*file]bool // may become ready to be imported
	timer  *time.Timer
	closed bool

	end   context.CancelFunc
	tasks sync.WaitGroup
}

// Open opens a spool, takes over what is in the inbox, and removes the objects of
// uploads that nobody can go on with. What cannot be taken over stays in the inbox,
// which the log says.
func Open(ctx context.Context, o Options) (*Spool, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	objects, err := openObjects(o.Directory)
	if err == nil && o.Inbox != "" {
		if err = durable.MkdirAll(o.Inbox, 0o700); err != nil {
			objects.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	s := &Spool{
		o: o, objects: objects, limits: o.Limits, tree: newTree(),
		refusals: newRefusals(o.Log),
		soon:     map[*file]bool{}, closed: true,
		gone: memory{files: map[string]*gone{}},
	}
	s.commits.do, s.tidying.do = s.commit, s.tidy
	moving, err := s.load(ctx)
	if err == nil {
		err = s.reconcile()
	}
	if err == nil {
		err = s.takeOver(ctx, moving)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the spool: %w", err), objects.close())
	}
	ctx, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.takeovers.do = func() error { return s.takeOverAgain(ctx) }
	s.mu.Lock()
	s.closed = false
	for f := range s.soon {
		s.await(f, s.o.Quiet)
	}
	s.mu.Unlock()
	s.tasks.Go(func() { s.sweepNowAndThen(ctx) })
	return s, nil
}

// Close ends the spool, once what is under way is done. Handlers and Source fail
// from then on, so that another spool may be opened in its place while sessions
// of this one last; what is being uploaded is cut.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	writers := s.tree.writers()
	s.mu.Unlock()
	s.end()
	s.tasks.Wait()
	_ = s.takeovers.join() // which is over
	var err error
	for _, w := range writers {
		w.stop(errClosed)
		err = errors.Join(err, uploads{s}.leavePart(w))
	}
	// What nobody has waited for, what is to be removed then, and that it is.
	for _, g := range []*group{&s.commits, &s.tidying, &s.commits} {
		err = errors.Join(err, g.join())
	}
	return errors.Join(err, s.objects.close())
}

// SetLimits changes the limits, also of uploads under way: those that are past
// them fail with their next write.
func (s *Spool) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
}

// Usage is what the uploads of the spool hold, those under way included.
func (s *Spool) Usage() (bytes int64, files int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.bytes, s.tree.uploads()
}

// Room is how many uploads and directories a spool holds, of how many it may.
type Room struct {
	Entries, MaximumEntries int
	Full                    string // why it takes no more; "": it does
}

// Room tells how much room is left.
func (s *Spool) Room() Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Room{Entries: s.tree.entries(), MaximumEntries: s.o.MaximumEntries}
	err := s.room()
	if quota := s.limits.Quota; err == nil && quota > 0 && s.tree.bytes >= quota {
		err = errQuota(quota)
	}
	if err != nil {
		r.Full = err.Error()
	}
	return r
}

// room says whether one more upload or directory may be made. The caller holds s.mu.
func (s *Spool) room() error {
	if s.tree.entries() >= s.o.MaximumEntries {
		return errEntries(s.o.MaximumEntries)
	}
	if s.tree.names >= maxNames {
		return errNames
	}
	return nil
}

// State is what becomes of an upload.
type State string

// The states of an upload.
const (
	Uploading   State = "uploading"   // a client has it open for writing
	Interrupted State = "interrupted" // its connection was lost; a client may go on with it
	Waiting     State = "waiting"     // was touched less than Quiet ago, or waits for another of its name
	Ready       State = "ready"       // to be imported
	Temporary   State = "temporary"   // waits for its final name
	Unsafe      State = "unsafe"      // has a name that no destination takes; an operator has put it there
)

// File is an upload, for status pages.
type File struct {
	Name    string // slash path below the top of the spool
	Size    int64
	ModTime time.Time // zero while it is not received
	State   State
	Since   time.Time // of the State
}

// Files gives all uploads, by name. A name may have several: one that is being
// uploaded beside those that were received.
func (s *Spool) Files() []File {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	out := make([]File, 0, s.tree.uploads())
	for f := range s.tree.files() {
		name := f.path()
		for i, o := range f.received {
			state, since := f.state(o, now, s.o.Quiet)
			if i > 0 {
				state, since = Waiting, o.touched
			} else if f.held() {
				state, since = Waiting, f.partSince
			}
			out = append(out, File{name, o.size, o.modTime, state, since})
		}
		switch {
		case f.part != nil && f.writer != nil:
			out = append(out, File{Name: name, Size: f.part.size, State: Uploading, Since: f.partSince})
		case f.part != nil:
			out = append(out, File{Name: name, Size: f.part.size, State: Interrupted, Since: f.partSince})
		}
	}
	slices.SortStableFunc(out, func(x, y File) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// Probe checks that the spool is open, and that its objects are where they were.
func (s *Spool) Probe(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	err := ctx.Err()
	switch {
	case err != nil:
	case closed:
		return &status.Error{Word: status.ConnectionLost, Op: "open the spool", Target: s.o.Directory, Err: errors.New("the spool was closed")}
	default:
		err = s.objects.probe()
	}
	if err != nil {
		return &status.Error{Word: status.SourceDirectoryNotFound, Op: "open the spool", Target: s.o.Directory, Err: err}
	}
	return nil
}

// sameDirectory checks that what was opened still stands under its path.
func sameDirectory(root *os.Root, path string) error {
	opened, err := root.Stat(".")
	if err != nil {
		return err
	}
	var there fs.FileInfo
	if there, err = os.Stat(path); err == nil && !os.SameFile(opened, there) {
		err = errors.New("another directory stands there now")
	}
	return err
}
