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
var errRevoked = errors.New("the listing has to begin anew")

// openDir is a directory that is open. Its handle may be given back while the
// listing goes on, which then finds that out: a READDIR must not be sent after
// that, as the handle may be another directory's by then.
type openDir struct {
	channel  *wireChannel
	h        wire.Handle
	onClosed func() // called when the server has closed it; may be nil

	mu      sync.Mutex
	closed  bool
	revoked bool // closed by another than its listing
}

// ask sends a READDIR. It is false when the handle was given back.
func (d *openDir) ask(c *wire.Call) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.channel.session.ReadDir(c, d.h)
	}
	return !d.closed
}

func (d *openDir) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		d.channel.session.CloseHandle(d.h, d.onClosed)
	}
}

// revoke takes the handle back from the listing.
func (d *openDir) revoke() {
	d.mu.Lock()
	d.revoked = !d.closed
	d.mu.Unlock()
	d.close()
}

func (d *openDir) isRevoked() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.revoked
}

const (
	// maxAnew is how often a listing begins anew that the server has spoiled.
	maxRelistings = 8
	// gatheredFreely is how many bytes a listing may gather beside others, and
	// gatheredMost one by itself, at a time.
	gatherFreely = 256 << 10
	gatherAlone  = 20 << 20
	// itemBytes is what an item takes beside its path, about.
	itemBytes = 96
)

// list gives the entries of a directory in batches, until got says no: each once, or
// again where more begin anew than handedOn has room for.
// A listing that is spoiled, or whose handle is needed elsewhere, begins anew. Where
// a single handle is all there is, it is read to its end and closed before got is
// called, so that got may wait for files to be read.
func (s *session) list(ctx context.Context, ch *dataChannel, dir string, got func([]item) bool) error {
	r := &lister{s: s, channel: ch.wire(), dir: dir, got: got, seen: seenItems{allBytes: &s.handles.seenBytes}}
	defer r.seen.release()
	// OpenSSH has handles for more directories than are open here.
	r.limited = !r.channel.ordered || s.limits.fewHandles()
	for spoiled := 0; ; {
		err := r.listOnce(ctx)
		hole, isHole := errors.AsType[*holeError](err)
		switch {
		case isHole && !r.limited:
			return hole.error
		case !r.limited:
			return err
		case errors.Is(err, errRevoked):
		case errors.Is(err, wire.ErrHandleReused) && spoiled < maxRelistings:
			spoiled++
			s.noteHandleReused()
		case (s.rejectsOpenHandle(err) || isHole) && spoiled < maxRelistings:
			spoiled++
		case isHole:
			return hole.error
		default:
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.seen.restart()
	}
}

// lister is a directory that may have to be listed more than once.
type lister struct {
	s       *session
	channel *wireChannel
	dir     string
	got     func([]item) bool
	// counted by the gate, which may take the handle back.
	limited bool
	seen    seenItems
}

// once lists the directory.
func (r *lister) listOnce(ctx context.Context) error {
	if r.s.limits.oneHandle() {
		return r.gather(ctx)
	}
	if !r.limited {
		return r.channel.list(ctx, r.dir, r.got)
	}
	d, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	r.s.handles.addRevocable(d)
	defer r.s.handles.removeRevocable(d)
	return newListing(d, r.dir).run(ctx, func(batch []item) bool {
		return r.got(r.seen.filterNew(batch))
	})
}

// open opens the directory.
func (r *lister) open(ctx context.Context) (*openDir, error) {
	d := &openDir{channel: r.channel, onClosed: r.s.handles.releaseDir}
	return d, r.s.openDirLimited(ctx, func() (err error) {
		d.h, err = r.channel.openDir(ctx, r.dir)
		return err
	})
}

// errLarge is a listing that is larger than what may be gathered at a time.
var errLarge = errors.New("a large listing")

// gather reads the whole directory, closes it and hands it over then.
func (r *lister) gather(ctx context.Context) error {
	items, err := r.gatherUpTo(ctx, gatherFreely)
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
	case r.s.gatherSlot <- struct{}{}:
		defer func() { <-r.s.gatherSlot }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		items, err := r.gatherUpTo(ctx, gatherAlone)
		large := errors.Is(err, errLarge)
		switch {
		case err != nil && !large:
			return err
		case !r.handOver(items) || !large:
			return nil
		case r.seen.full || len(items) == 0: // there would be no end
			return filesync.ErrLimit
		}
		r.seen.restart()
	}
}

// handOver hands over what was gathered. It is false when got says no.
func (r *lister) handOver(items []item) bool {
	for len(items) > 0 {
		n := min(len(items), batchItems)
		if !r.got(r.seen.filterNew(items[:n])) {
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
			if r.seen.contains(it.path) {
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
const maxSeenBytes = 8 << 20

// handedOn are the items of a directory that were handed on already, by the hashes
// of their paths, for when its listing begins anew. Of more items than there is room
// for, it knows the first ones: the others are handed on again, which sync bears.
type seenItems struct {
	allBytes *atomic.Int64 // bytes, by all listings of the session
	seed     maphash.Seed
	hashes   []uint64
	sorted   int  // so many are of listings that broke off, and sorted
	full     bool // there was no room for some
}

// again: the listing begins anew.
func (h *seenItems) restart() {
	slices.Sort(h.hashes)
	h.sorted = len(h.hashes)
}

// known reports whether an item was handed on by a listing that broke off.
func (h *seenItems) contains(path string) bool {
	if h.sorted == 0 {
		return false
	}
	_, known := slices.BinarySearch(h.hashes[:h.sorted], maphash.String(h.seed, path))
	return known
}

// rest notes the items of a batch and gives those that are new. The batch is used
// for that.
func (h *seenItems) filterNew(batch []item) []item {
	if h.hashes == nil {
		h.seed = maphash.MakeSeed()
	}
	rest := batch[:0]
	for _, it := range batch {
		if h.contains(it.path) {
			continue
		}
		h.add(it.path)
		rest = append(rest, it)
	}
	return rest
}

func (h *seenItems) add(path string) {
	if h.allBytes.Add(8) > maxSeenBytes {
		h.allBytes.Add(-8)
		h.full = true
		return
	}
	h.hashes = append(h.hashes, maphash.String(h.seed, path))
}

// release gives the room back.
func (h *seenItems) release() {
	h.allBytes.Add(-8 * int64(len(h.hashes)))
	h.hashes, h.sorted = nil, 0
}
