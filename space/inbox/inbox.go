// Package inbox is the directory of one Space that uploads land in. Clients see
// it through Handlers, as the "/" of an SFTP session; the import sees it through
// Source, as files that were uploaded and may be taken away.
//
// A file that is being uploaded, or whose upload was cut, stands on the disk
// under a reserved name in its own directory: ".uploading." and the name that
// the client knows. CLOSE makes the contents durable, gives the file its plain
// name and makes that durable, before it is answered. So what has a plain name
// was closed by its writer, whatever happened to the program since. Clients see
// one name in both states, and cannot use reserved ones.
//
// A new upload of a name whose last one still waits does not touch that until it
// is complete itself: the older version may be imported meanwhile, and the newer
// one follows. If each is to be kept it waits behind the older one, under another
// reserved name (later.go). A client sees the one that it is writing. One that writes on a
// complete file writes on a copy: what was acknowledged stays until that is
// complete, and is not listed to the import while it is being written on.
//
// The disk is the truth. What is in memory besides is only what a disk does not
// tell: who writes, since when a file was left alone, and which content it was
// that the import has read. What an operator puts into the directory is taken
// for uploaded once it has stood still; what an operator removes by hand counts
// towards the quota until its name is used again, or the next Open.
package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"sftpconnector/durable"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Limits bound what clients may put into an inbox.
type Limits struct {
	MaximumFileSize int64 // bytes; 0: none
	Quota           int64 // bytes of all files, uploads under way included; 0: none
	// KeepEach has an upload wait until the one before it under the same name is
	// imported. Else it takes its place.
	KeepEach bool
}

// Options are the settings of an inbox.
type Options struct {
	Limits
	MaximumEntries int // files and directories; 0: 200,000. Empty ones cost no bytes, so the quota alone bounds nothing
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

// Inbox is an open inbox. It may be used concurrently. A directory must have no
// more than one at a time.
type Inbox struct {
	path string
	o    Options
	root *os.Root

	refusals    atomic.Int64
	tellRefused rate.Sometimes

	mu          sync.Mutex // is never held while a disk is flushed
	limits      Limits
	released    *sync.Cond // a claim was
	claimed     map[string]bool
	moving      map[string]bool // claimed with all that is below
	files       map[string]*file
	directories int
	bytes       int64
	waiting     int   // files that wait behind others of their name
	names       int64 // bytes of the names of all files
	generation  uint64
	told        map[string][]*told
	gone        memory
	soon        map[*file]bool
	timer       *time.Timer
	uses        uses
	closed      bool

	endSweeps context.CancelFunc
	sweeps    sync.WaitGroup
}

// Open opens the inbox in dir, makes that if need be, and counts what it holds.
func Open(dir string, o Options) (*Inbox, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	// Its name has to last as long as what is acknowledged in it.
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := durable.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make the inbox: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the inbox: %w", err)
	}
	b := &Inbox{
		path: dir, o: o, root: root, limits: o.Limits,
		tellRefused: rate.Sometimes{First: 10, Interval: time.Second},
		claimed:     map[string]bool{}, moving: map[string]bool{},
		files: map[string]*file{}, told: map[string][]*told{}, soon: map[*file]bool{},
		gone: memory{files: map[string]*gone{}}, uses: newUses(2 * o.MaximumEntries), endSweeps: func() {},
	}
	b.released = sync.NewCond(&b.mu)
	if err := b.count(root, ""); err != nil {
		b.Close()
		return nil, fmt.Errorf("count the inbox: %w", err)
	}
	b.advanceAll()
	ctx, end := context.WithCancel(context.Background())
	b.endSweeps = end
	b.sweeps.Go(func() { b.sweepNowAndThen(ctx) })
	return b, nil
}

// Close ends the inbox, once what is under way is done. Handlers and Source fail
// from then on, so that another inbox may be opened in its place while sessions
// of this one last; what is being uploaded is cut.
func (b *Inbox) Close() error {
	b.endSweeps()
	b.sweeps.Wait()
	defer b.claimTrees("")()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	if b.timer != nil {
		b.timer.Stop()
	}
	var writers []*writer
	for _, f := range b.files {
		if f.writer != nil {
			writers = append(writers, f.writer)
		}
	}
	b.mu.Unlock()
	var err error
	for _, w := range writers {
		w.stop(errClosed)
		err = errors.Join(err, b.leavePart(w))
	}
	return errors.Join(err, b.root.Close())
}

// SetLimits changes the limits, also of uploads under way: those that are past
// them fail with their next write.
func (b *Inbox) SetLimits(l Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limits = l
}

// Usage is what the files of the inbox hold, uploads under way included.
func (b *Inbox) Usage() (bytes int64, files int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes, len(b.files) + b.waiting
}

// Room is how many files and directories an inbox holds, of how many it may.
type Room struct {
	Entries, MaximumEntries int
	Full                    string // why it takes no more; "": it does
}

// Room tells how much room is left.
func (b *Inbox) Room() Room {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := Room{Entries: b.entries(), MaximumEntries: b.o.MaximumEntries}
	err := b.room()
	if quota := b.limits.Quota; err == nil && quota > 0 && b.bytes >= quota {
		err = errQuota(quota)
	}
	if err != nil {
		r.Full = err.Error()
	}
	return r
}

// State is what becomes of a file.
type State string

// The states of a file.
const (
	Uploading   State = "uploading"   // a client has it open for writing
	Interrupted State = "interrupted" // its connection was lost; a client may go on with it
	Waiting     State = "waiting"     // was touched less than Quiet ago
	Ready       State = "ready"       // to be imported
	Temporary   State = "temporary"   // waits for its final name
	Unsafe      State = "unsafe"      // has a name that no destination takes; an operator has put it there
)

// File is a file of the inbox, for status pages.
type File struct {
	Name    string // slash path below the inbox
	Size    int64
	ModTime time.Time // zero while it is not uploaded
	State   State
	Since   time.Time // of the State
}

// Files gives all files, by name. A name that is uploaded again while its last
// upload waits has two, and where each is kept as many as there are.
func (b *Inbox) Files() []File {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	out := make([]File, 0, len(b.files))
	for _, f := range b.files {
		if f.whole != nil {
			state, since := b.state(f, now)
			if f.held() {
				state, since = Waiting, f.partSince
			}
			out = append(out, File{f.name, f.whole.size, f.whole.modTime, state, since})
		}
		for _, l := range f.later {
			out = append(out, File{f.name, l.size, l.modTime, Waiting, l.since})
		}
		switch {
		case f.part != nil && f.writer != nil:
			out = append(out, File{Name: f.name, Size: f.part.size, State: Uploading, Since: f.partSince})
		case f.part != nil:
			out = append(out, File{Name: f.name, Size: f.part.size, State: Interrupted, Since: f.partSince})
		}
	}
	slices.SortStableFunc(out, func(x, y File) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// Probe checks that the inbox is where it was opened.
func (b *Inbox) Probe(ctx context.Context) error {
	opened, err := b.root.Stat(".")
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(b.path); err == nil && !os.SameFile(opened, there) {
			err = errors.New("another directory stands there now")
		}
	}
	if err != nil {
		return &status.Error{Word: status.SourceDirectoryNotFound, Op: "open the inbox", Target: b.path, Err: err}
	}
	return nil
}

// count takes what stands in a directory into the books.
func (b *Inbox) count(dir *os.Root, above string) error {
	return eachName(dir, func(base string) error {
		info, err := dir.Lstat(base)
		if err != nil {
			return err
		}
		name := join(above, base)
		plain, part := cutReserved(base)
		first, place, waits := cutLater(base)
		switch {
		case info.IsDir() && !part && !waits:
			b.directories++
			sub, err := dir.OpenRoot(base)
			if err != nil {
				return err
			}
			defer sub.Close()
			return b.count(sub, name)
		case !info.Mode().IsRegular():
			return nil
		case part:
			return b.countPart(dir, base, join(above, plain), info)
		case waits:
			b.mu.Lock()
			defer b.mu.Unlock()
			f := b.record(join(above, first))
			b.queue(f, later{*versionOf(info), place, time.Now()})
			return nil
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		f := b.record(name)
		b.setWhole(f, versionOf(info))
		if told := b.tell(f); !f.temporary { // as it may have been before the restart
			told.read = time.Now()
		}
		return nil
	})
}

// advanceAll puts those that wait in order, and lets them take their names whose
// turn came when the program ended.
func (b *Inbox) advanceAll() {
	var names []string
	for _, f := range b.files {
		slices.SortFunc(f.later, func(x, y later) int { return cmp.Compare(x.n, y.n) })
		if f.whole == nil && len(f.later) > 0 {
			names = append(names, f.name)
		}
	}
	for _, name := range names {
		b.heal(name)
	}
}

// countPart takes an upload into the books that was cut. If it was by the end of
// the program, only what is durable of it counts.
func (b *Inbox) countPart(dir *os.Root, base, name string, info fs.FileInfo) error {
	size, err := durablePrefix(dir, base)
	if err != nil {
		return err
	}
	if !info.ModTime().Equal(cutTime) {
		if err := cutAt(dir, base, size); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.record(name)
	b.setPart(f, &version{size: size})
	f.partSince = time.Now()
	return nil
}
