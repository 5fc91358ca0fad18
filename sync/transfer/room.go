package transfer

import (
	"cmp"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"sftpconnector/backoff"
	filesync "sftpconnector/sync"
)

const (
	maxReserve  = 64 << 20
	reservePart = 20              // of the whole file system, where that is less
	roomAge     = 5 * time.Second // for so long it is enough to count what we write ourselves
	roomUnit    = 4 << 10         // files take room in such units
	maxRooms    = 1000            // directories whose room is remembered
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
	fullDirectories map[string]fullDirectory // by their names

	unseen  atomic.Int64                  // bytes written since the room was looked at
	looking atomic.Pointer[chan struct{}] // closed when the look that is under way is over; nil: there is none
}

// roomOf is what was told of a directory.
type roomOf struct {
	filesync.Room
	at   time.Time
	most int64 // how far begun may go
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
