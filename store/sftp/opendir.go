package sftp

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// errTakenBack: the handle of a listing was needed elsewhere.
var errTakenBack = errors.New("the listing has to begin anew")

// openDir is a directory that is open. Its handle may be given back while the
// listing goes on, which then finds that out: a READDIR must not be sent after
// that, as the handle may be another directory's by then.
type openDir struct {
	port  *wirePort
	h     wire.Handle
	leave func() // called when the server has closed it; may be nil

	mu     sync.Mutex
	closed bool
	taken  bool // closed by another than its listing
}

// ask sends a READDIR. It is false when the handle was given back.
func (d *openDir) ask(c *wire.Call) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.port.session.ReadDir(c, d.h)
	}
	return !d.closed
}

func (d *openDir) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		d.port.session.CloseHandle(d.h, d.leave)
	}
}

// revoke takes the handle back from the listing.
func (d *openDir) revoke() {
	d.mu.Lock()
	d.taken = !d.closed
	d.mu.Unlock()
	d.close()
}

func (d *openDir) takenBack() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken
}

const (
	// maxAnew is how often a listing begins anew that the server has spoiled.
	maxAnew = 8
	// gatheredFreely is how many bytes a listing may gather beside others, and
	// gatheredMost one by itself, at a time.
	gatheredFreely = 256 << 10
	gatheredMost   = 20 << 20
	// itemBytes is what an item takes beside its path, about.
	itemBytes = 96
)

// list gives the entries of a directory in batches, until got says no: each once, or
// again where more begin anew than handedOn has room for.
// A listing that is spoiled, or whose handle is needed elsewhere, begins anew. Where
// a single handle is all there is, it is read to its end and closed before got is
// called, so that got may wait for files to be read.
func (s *session) list(ctx context.Context, l *lane, dir string, got func([]item) bool) error {
	r := &lister{s: s, port: l.wire(), dir: dir, got: got, handed: handedOn{used: &s.gate.handed}}
	defer r.handed.release()
	// OpenSSH has handles for more directories than are open here.
	r.counted = !r.port.ordered || s.limits.fewHandles()
	for spoiled := 0; ; {
		err := r.once(ctx)
		hole, isHole := errors.AsType[*holeError](err)
		switch {
		case isHole && !r.counted:
			return hole.error
		case !r.counted:
			return err
		case errors.Is(err, errTakenBack):
		case errors.Is(err, wire.ErrHandleReused) && spoiled < maxAnew:
			spoiled++
			s.reused()
		case (s.losesHandles(err) || isHole) && spoiled < maxAnew:
			spoiled++
		case isHole:
			return hole.error
		default:
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.handed.again()
	}
}

// lister is a directory that may have to be listed more than once.
type lister struct {
	s    *session
	port *wirePort
	dir  string
	got  func([]item) bool
	// counted by the gate, which may take the handle back.
	counted bool
	handed  handedOn
}

// once lists the directory.
func (r *lister) once(ctx context.Context) error {
	if r.s.limits.oneHandle() {
		return r.gather(ctx)
	}
	if !r.counted {
		return r.port.list(ctx, r.dir, r.got)
	}
	d, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	r.s.gate.stream(d)
	defer r.s.gate.endStream(d)
	return newListing(d, r.dir).run(ctx, func(batch []item) bool {
		return r.got(r.handed.rest(batch))
	})
}

// open opens the directory.
func (r *lister) open(ctx context.Context) (*openDir, error) {
	d := &openDir{port: r.port, leave: r.s.gate.leaveDir}
	return d, r.s.admitDir(ctx, func() (err error) {
		d.h, err = r.port.openDir(ctx, r.dir)
		return err
	})
}

// errLarge is a listing that is larger than what may be gathered at a time.
var errLarge = errors.New("a large listing")

// gather reads the whole directory, closes it and hands it over then.
func (r *lister) gather(ctx context.Context) error {
	items, err := r.gatherUpTo(ctx, gatheredFreely)
	if errors.Is(err, errLarge) {
		return r.gatherParts(ctx)
	}
	if err == nil {
		r.handOver(items)
	}
	return err
}

// gatherParts is gather for a large directory: it hands over what it may hold, and
// lists the directory anew for what comes behind that.
func (r *lister) gatherParts(ctx context.Context) error {
	select {
	case r.s.gathering <- struct{}{}:
		defer func() { <-r.s.gathering }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		items, err := r.gatherUpTo(ctx, gatheredMost)
		large := errors.Is(err, errLarge)
		switch {
		case err != nil && !large:
			return err
		case !r.handOver(items) || !large:
			return nil
		case r.handed.full || len(items) == 0: // there would be no end
			return filesync.ErrLimit
		}
		r.handed.again()
	}
}

// handOver hands over what was gathered. It is false when got says no.
func (r *lister) handOver(items []item) bool {
	for len(items) > 0 {
		n := min(len(items), batchItems)
		if !r.got(r.handed.rest(items[:n])) {
			return false
		}
		items = items[n:]
	}
	return true
}

// gatherUpTo reads what was not handed on of the directory. When it fails with
// errLarge, items are a part of that.
func (r *lister) gatherUpTo(ctx context.Context, limit int) (items []item, err error) {
	d, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer d.close()
	bytes := 0
	err = newListing(d, r.dir).run(ctx, func(batch []item) bool {
		for _, it := range batch {
			if r.handed.known(it.path) {
				continue
			}
			if bytes += itemBytes + len(it.path); bytes > limit {
				return false
			}
			items = append(items, it)
		}
		return true
	})
	if err == nil && bytes > limit {
		err = errLarge
	}
	return items, err
}

// maxHanded bounds the hashes that all listings of a session keep, in bytes.
const maxHanded = 8 << 20

// handedOn are the items of a directory that were handed on already, by the hashes
// of their paths, for when its listing begins anew. Of more items than there is room
// for, it knows the first ones: the others are handed on again, which sync bears.
type handedOn struct {
	used   *atomic.Int64 // bytes, by all listings of the session
	seed   maphash.Seed
	hashes []uint64
	before int  // so many are of listings that broke off, and sorted
	full   bool // there was no room for some
}

// again: the listing begins anew.
func (h *handedOn) again() {
	slices.Sort(h.hashes)
	h.before = len(h.hashes)
}

// known reports whether an item was handed on by a listing that broke off.
func (h *handedOn) known(path string) bool {
	if h.before == 0 {
		return false
	}
	_, known := slices.BinarySearch(h.hashes[:h.before], maphash.String(h.seed, path))
	return known
}

// rest notes the items of a batch and gives those that are new. The batch is used
// for that.
func (h *handedOn) rest(batch []item) []item {
	if h.hashes == nil {
		h.seed = maphash.MakeSeed()
	}
	rest := batch[:0]
	for _, it := range batch {
		if h.known(it.path) {
			continue
		}
		h.note(it.path)
		rest = append(rest, it)
	}
	return rest
}

func (h *handedOn) note(path string) {
	if h.used.Add(8) > maxHanded {
		h.used.Add(-8)
		h.full = true
		return
	}
	h.hashes = append(h.hashes, maphash.String(h.seed, path))
}

// release gives the room back.
func (h *handedOn) release() {
	h.used.Add(-8 * int64(len(h.hashes)))
	h.hashes, h.before = nil, 0
}
