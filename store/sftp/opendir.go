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

// errRevoked means that the handle of a listing was needed elsewhere.
var errRevoked = errors.New("the listing has to begin anew")

// openDir is an open directory. Its handle may be revoked while the listing goes on. No
// READDIR must be sent after that, as the handle may be another directory's by then.
type openDir struct {
	channel  *wireChannel
	h        wire.Handle
	onClosed func() // called when the server has closed it; may be nil

	mu      sync.Mutex
	closed  bool
	revoked bool // closed by another than its listing
}

// ask sends a READDIR. It is false when the handle is closed.
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

// revoke closes the handle while the listing goes on.
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
	// maxRelistings is how often a directory is listed anew after the server broke the
	// listing off.
	maxRelistings = 8
	// gatherFreely is how many bytes a listing may gather beside others. gatherAlone is
	// how many the one may gather that has the session's gatherSlot.
	gatherFreely = 256 << 10
	gatherAlone  = 20 << 20
	// itemBytes is about what an item takes beside its path.
	itemBytes = 96
)

// list gives the entries of a directory in batches, until got returns false. It gives
// each once, unless the seenItems of a relisted directory have no room. It lists the
// directory anew after the server broke the listing off, or the handle was revoked.
// Where only a single handle may be open, it reads the directory to its end and closes
// it before it calls got, so that got may wait for files to be read.
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

// lister lists a directory, several times if need be.
type lister struct {
	s       *session
	channel *wireChannel
	dir     string
	got     func([]item) bool
	// limited means that the handle limiter counts the handle, and may revoke it.
	limited bool
	seen    seenItems
}

// listOnce lists the directory once.
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

// errLarge means that a listing is larger than may be gathered at a time.
var errLarge = errors.New("a large listing")

// gather reads the whole directory, closes it, and passes its items on then.
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

// gatherParts is gather for a large directory. It passes on as much as it may gather,
// and lists the directory anew for the rest.
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

// handOver passes on what was gathered. It is false when got returns false.
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

// gatherUpTo reads the items of the directory that were not passed on. With errLarge,
// items are a part of them.
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

// maxSeenBytes bounds the hashes that all listings of a session keep, in bytes.
const maxSeenBytes = 8 << 20

// seenItems are the items of a directory that were passed on, by the hashes of their
// paths, for the case that it is listed anew. If there is no room for all, the first
// ones are kept: the others are passed on again, which package sync allows.
type seenItems struct {
	allBytes *atomic.Int64 // bytes of all listings of the session
	seed     maphash.Seed
	hashes   []uint64
	sorted   int  // how many are of listings that broke off; these are sorted
	full     bool // there was no room for some
}

// restart notes that the directory is listed anew.
func (h *seenItems) restart() {
	slices.Sort(h.hashes)
	h.sorted = len(h.hashes)
}

// contains reports whether an item was passed on by a listing that broke off.
func (h *seenItems) contains(path string) bool {
	if h.sorted == 0 {
		return false
	}
	_, known := slices.BinarySearch(h.hashes[:h.sorted], maphash.String(h.seed, path))
	return known
}

// filterNew notes the items of a batch and gives those that are new. It reuses the
// batch.
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

// release frees the room.
func (h *seenItems) release() {
	h.allBytes.Add(-8 * int64(len(h.hashes)))
	h.hashes, h.sorted = nil, 0
}
