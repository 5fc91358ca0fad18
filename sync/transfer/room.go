package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

const (
	maxReserve  = 64 << 20
	reservePart = 20              // of the whole file system, where that is less
	roomAge     = 5 * time.Second // for so long it is enough to count what we write ourselves
	roomUnit    = 4 << 10         // files take room in such units
	maxRooms    = 1000            // directories whose room is remembered
	maxUnseen   = 2               // steps that are written while the room is looked at
)

// reserveOf is what stays free on this machine: the ledger may need it, and others.
func reserveOf(r filesync.Room) int64 {
	if r.Remote {
		return 0
	}
	return min(maxReserve, r.Total/reservePart)
}

// isKnown reports whether the numbers can be meant: where nothing is counted, they
// are zero. A file system that is full to its last byte has none free, too; there
// the first write finds out.
func isKnown(r filesync.Room) bool { return 0 < r.Free && r.Free <= r.Total }

// room is what is known of the room at a destination.
type room struct {
	mu              sync.Mutex
	begun           int64                    // bytes of all files that were begun, but for those given up
	writing         map[*reservation]bool    // of the files that are being written
	byDirectory     map[string]roomOf        // what was told of them
	fullDirectories map[string]fullDirectory // by directory

	unseen  atomic.Int64                  // bytes written since the room was looked at
	looking atomic.Pointer[chan struct{}] // closed when the look that is under way is over; nil: there is none
}

// roomOf is what was told of a directory.
type roomOf struct {
	filesync.Room
	at   time.Time
	most int64 // how far begun may go
}

// reservation is the room of one file, from before it is begun until its end.
type reservation struct {
	dir  string
	size int64                   // of the file
	need int64                   // bytes of room
	step int64                   // after so many bytes the room is looked at again; 0: never
	file atomic.Pointer[extents] // once it is begun
}

// left is what the file is to take still.
func (r *reservation) left() int64 {
	if x := r.file.Load(); x != nil {
		return max(0, x.source.Size-x.there.Load())
	}
	return r.need
}

// promised is what the files that are being written are to take still. The
// caller holds m.mu.
func (m *room) promised() (sum int64) {
	for r := range m.writing {
		sum += r.left()
	}
	return sum
}

// learn notes what was told of a directory. begun and promised are of the moment
// before it was asked for.
func (m *room) learn(dir string, r filesync.Room, begun, promised int64) roomOf {
	answer := roomOf{Room: r, at: time.Now(), most: math.MaxInt64}
	if isKnown(r) {
		answer.most = begun + r.Free - reserveOf(r) - promised
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byDirectory == nil || len(m.byDirectory) >= maxRooms {
		m.byDirectory = map[string]roomOf{}
	}
	m.byDirectory[dir] = answer
	return answer
}

// known gives what was told of a directory a moment ago.
func (m *room) known(dir string) (roomOf, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer, ok := m.byDirectory[dir]
	return answer, ok && time.Since(answer.at) < roomAge
}

// take reserves room where so much was told of. It gives how much of that is left.
func (m *room) take(r *reservation, answer roomOf) (left int64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if left = answer.most - m.begun; r.need > left {
		return max(0, left), false
	}
	if isKnown(answer.Room) && reserveOf(answer.Room) > 0 { // else there is nothing that others could take of it
		r.step = min(max(reserveOf(answer.Room)/32, 64<<10), 2<<20)
	}
	if m.writing == nil {
		m.writing = map[*reservation]bool{}
	}
	m.writing[r] = true
	m.begun += r.need
	return left, true
}

// end gives back what was reserved for a file that was given up.
func (m *room) end(r *reservation, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.writing[r] {
		delete(m.writing, r)
		if err != nil {
			m.begun -= r.need
		}
	}
	if err == nil && m.fullDirectories[r.dir].size <= r.size {
		delete(m.fullDirectories, r.dir)
	}
}

// reserve makes sure that there is room for a file, as far as the destination
// can tell. Its error is a refusal, or the context's.
func (r *run) reserve(ctx context.Context, f *finished) (*reservation, error) {
	e := f.file.Entry
	v := &reservation{dir: dirOf(f.file.Name), size: e.Size, need: e.Size}
	if last := f.file.Checkpoint; last != nil {
		v.need -= last.Prefix
	} else if f.client.o.InPlace && f.file.Replaces != nil {
		v.need -= f.file.Replaces.Size
	}
	v.need = max(0, v.need+roomUnit-1) &^ (roomUnit - 1)
	m := &r.q.room
	if until := m.heldUntil(v, f.client.o.Mode.Ensures(), f.client.o.RoomHold); !until.IsZero() {
		return nil, refused(e, fmt.Sprintf("a file of this size, or a smaller one, found no room in its directory; it is tried again at %s, or on Apply", until.UTC().Format(time.RFC3339)))
	}
	d, ok := r.dst.(filesync.Roomer)
	if !ok {
		return v, nil
	}
	if answer, ok := m.known(v.dir); ok {
		if _, ok = m.take(v, answer); ok {
			return v, nil
		}
	}
	answer, err := r.askRoom(ctx, d, v.dir)
	if err != nil {
		return nil, err
	}
	left, ok := m.take(v, answer)
	if !ok {
		text := fmt.Sprintf("it needs %s, and %s are free", inBytes(v.need), inBytes(answer.Free))
		if others := answer.Free - reserveOf(answer.Room) - left; others > roomUnit {
			text += fmt.Sprintf(", less %s for files under way", inBytes(others))
		}
		if reserveOf(answer.Room) > 0 {
			text += fmt.Sprintf("; %s stay in reserve", inBytes(reserveOf(answer.Room)))
		}
		return nil, refused(e, text)
	}
	return v, nil
}

// askRoom has the destination tell the room of a directory, once for all copiers
// that want to know.
func (r *run) askRoom(ctx context.Context, d filesync.Roomer, dir string) (roomOf, error) {
	asked := r.asking.DoChan(dir, func() (any, error) {
		m := &r.q.room
		m.mu.Lock()
		begun, promised := m.begun, m.promised()
		m.mu.Unlock()
		room, err := d.Room(r.ctx, dir)
		if r.ctx.Err() != nil {
			return roomOf{}, context.Cause(r.ctx)
		}
		if err != nil {
			room = filesync.Room{}
		}
		return m.learn(dir, room, begun, promised), nil
	})
	select {
	case answer := <-asked:
		return answer.Val.(roomOf), answer.Err
	case <-ctx.Done():
		return roomOf{}, context.Cause(ctx)
	}
}

// refusal is why a file was not begun. It is ErrFull.
type refusal struct{ text string }

func (r *refusal) Error() string { return filesync.ErrFull.Error() + ": " + r.text }

func (r *refusal) Is(target error) bool { return target == filesync.ErrFull }

func isRefusal(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}

func refused(e filesync.Entry, text string) error {
	return &status.Error{Word: status.DestinationUnavailable, Op: "copy", Target: e.Name, Err: &refusal{text}, Hint: hintRoom}
}

const hintRoom = "Free space at the destination; what fits is delivered meanwhile."

// watched is a pending file for which the room is looked at again as it grows:
// others write to the same file system.
type watched struct {
	filesync.Pending
	ctx  context.Context
	look func() error // nil while there is room
	step int64
	m    *room
	full atomic.Pointer[error]
	all  sync.WaitGroup
}

// watchRoom has the room looked at again while the file is written. What it
// gives is to be called before the file ends.
func (r *run) watchRoom(ctx context.Context, v *reservation, w *extents) (stop func()) {
	v.file.Store(w)
	d, ok := r.dst.(filesync.Roomer)
	if !ok || v.step == 0 {
		return func() {}
	}
	x := &watched{Pending: w.pending, ctx: ctx, step: v.step, m: &r.q.room}
	x.look = func() error {
		now, err := d.Room(ctx, v.dir)
		if err != nil || !isKnown(now) || now.Free >= reserveOf(now)/2 {
			return nil
		}
		return &status.Error{Word: status.DestinationUnavailable, Op: "write", Target: w.source.Name, Hint: hintRoom,
			Err: fmt.Errorf("%w: others have written there, too, and %s are left", filesync.ErrFull, inBytes(now.Free))}
	}
	w.pending = x
	return x.all.Wait
}

// WriteAt implements io.WriterAt.
func (x *watched) WriteAt(b []byte, off int64) (int, error) {
	if full := x.full.Load(); full != nil {
		return 0, *full
	}
	n, err := x.Pending.WriteAt(b, off)
	unseen := x.m.unseen.Add(int64(n))
	if unseen < x.step {
		return n, err
	}
	over := make(chan struct{})
	switch {
	case x.m.looking.CompareAndSwap(nil, &over):
		x.m.unseen.Store(0)
		x.all.Go(func() {
			defer close(over)
			defer x.m.looking.Store(nil)
			if err := x.look(); err != nil {
				x.full.Store(&err)
			}
		})
	case unseen >= maxUnseen*x.step: // no further before that is known
		if other := x.m.looking.Load(); other != nil {
			select {
			case <-*other:
			case <-x.ctx.Done():
			}
		}
	}
	return n, err
}

// dirOf is the directory of a name, "" for the root.
func dirOf(name string) string { return name[:max(0, strings.LastIndexByte(name, '/'))] }

// inBytes gives a number of bytes as people read it.
func inBytes(n int64) string {
	v := float64(n)
	for _, unit := range []string{"bytes", "kB", "MB", "GB", "TB"} {
		if v < 1000 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + unit
		}
		v /= 1000
	}
	return fmt.Sprintf("%.1f PB", v)
}

// fullDirectory is a directory in which a file was begun and found no room, though the
// destination had told of enough, or of none. The size of the smallest such file is left
// alone for a while, as a file that failed is.
type fullDirectory struct {
	size  int64
	tries int
	next  time.Time // until then nothing of that size is begun
}

// holdTime is for how long a size is left alone after its n-th try: as a file that failed
// is, and no longer than longest, if that is not 0.
func holdTime(n int, longest time.Duration) time.Duration {
	d := backoff.File.Wait(n)
	if longest > 0 {
		d = min(d, longest)
	}
	return d
}

// noteFull notes that a file was begun and found no room.
func (m *room) noteFull(r *reservation, longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fullDirectories == nil || len(m.fullDirectories) >= maxRooms {
		m.fullDirectories = map[string]fullDirectory{}
	}
	last, known := m.fullDirectories[r.dir]
	if !known {
		last.size = r.size
	}
	last.tries = cmp.Or(last.tries, 1)
	m.fullDirectories[r.dir] = fullDirectory{min(last.size, r.size), last.tries, time.Now().Add(holdTime(last.tries, longest))}
}

// heldUntil gives until when a file is not to be begun, as another one of its size or less
// found no room; zero if it may be begun now. When the time has come, the first file for
// which this is asked may be begun, and counts as the next try.
func (m *room) heldUntil(r *reservation, atOnce bool, longest time.Duration) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, known := m.fullDirectories[r.dir]
	now := time.Now()
	switch {
	case !known || r.size < last.size || atOnce:
		return time.Time{}
	case now.Before(last.next):
		return last.next
	}
	last.tries++
	last.next = now.Add(holdTime(last.tries, longest))
	m.fullDirectories[r.dir] = last
	return time.Time{}
}

// Files that are written side by side take the room of a full destination from
// each other, until all of them give it up. Those that found none while others
// were written are deferred, and tried one by one once nothing else is to be copied.

// Bounds on the files that are deferred. A refusal costs little, so that there may be
// more of those.
const (
	maxDeferred      = 256
	maxDeferredBegun = 64
)

// enterWriting notes that a file is about to be written. What it gives is called when
// that has ended, and reports whether another one was written meanwhile.
func (r *run) enterWriting() (leave func() (overlapped bool)) {
	overlapped, nth := r.writing.Add(1) > 1, r.everBegun.Add(1)
	return func() bool {
		r.writing.Add(-1)
		return overlapped || r.everBegun.Load() != nth
	}
}

// deferJob keeps a file that found no room beside others for later, once. It reports
// whether it did.
func (r *run) deferJob(j *job, overlapped bool, err error) bool {
	limit := maxDeferredBegun
	if isRefusal(err) {
		limit = maxDeferred
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !overlapped || j.alone || r.everDeferred >= limit {
		return false
	}
	r.everDeferred++
	r.copied(j)
	j.begun = false
	r.deferred = append(r.deferred, j)
	r.dispatch()
	return true
}
