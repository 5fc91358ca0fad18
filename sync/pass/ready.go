package pass

import (
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"time"

	filesync "sftpconnector/sync"
)

// maxObservations bounds the files that wait at one time, to about 64 MB. Those beyond
// it wait for a later pass, when the first ones are through.
const maxObservations = 2_000_000

// Observations remembers, from one pass of a connector to the next, which files were
// seen in which version and when. A file is ready when two looks, settle apart on
// our own monotonic clock, see the same size and time; no other clock decides, and
// no file is excused for its age. It may be used concurrently, but begin and end
// are for one pass at a time.
type Observations struct {
	seed  maphash.Seed
	start time.Time // carries the monotonic clock

	mu   sync.Mutex
	seen map[uint64]observation // by the hash of the name
	max  int                    // 0: maxObservations
	gen  uint16
}

// observation is one file as it was seen first in a version. It is small, as a first pass
// over a million files has a million of them.
type observation struct {
	size        uint32 // its hash
	modTime     uint32 // unix seconds, as SFTP 3 has them
	at          uint32 // in steps of timeStep since Observations.start, rounded up
	gen         uint16 // of the pass that saw it last
	timeChanges uint8  // passes in a row that found another time at the same size
	awaited     bool   // a second look is due in this pass
}

// timeStep is how exactly the time of a look is kept: a file waits so much longer
// at the most. Half of 32 bits of it are 248 days.
const timeStep = 10 * time.Millisecond

func newObservations() *Observations {
	return &Observations{seed: maphash.MakeSeed(), start: time.Now(), seen: map[uint64]observation{}, max: maxObservations}
}

// begin starts a pass: what it does not come across is forgotten by end.
func (o *Observations) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gen++
}

// end forgets the files that a pass with a complete listing did not see.
func (o *Observations) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, k := range o.seen {
		if k.gen != o.gen {
			delete(o.seen, key)
		}
	}
	if len(o.seen) == 0 {
		o.seen = map[uint64]observation{} // a map keeps its size
	}
}

// forget drops a file that was delivered or is gone.
func (o *Observations) forget(name string) {
	key := maphash.String(o.seed, name)
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.seen, key)
}

// await notes that a pass takes a second look at a file; awaited reports that, once.
func (o *Observations) await(name string) {
	key := maphash.String(o.seed, name)
	o.mu.Lock()
	defer o.mu.Unlock()
	if k, known := o.seen[key]; known {
		k.awaited = true
		o.seen[key] = k
	}
}

func (o *Observations) awaited(name string) bool {
	key := maphash.String(o.seed, name)
	o.mu.Lock()
	defer o.mu.Unlock()
	k, known := o.seen[key]
	if !known || !k.awaited {
		return false
	}
	k.awaited = false
	o.seen[key] = k
	return true
}

// timeChanges reports in how many passes in a row a file had another time than before at
// the same size: some servers give a file the time at which they are asked.
func (o *Observations) timeChanges(name string) int {
	key := maphash.String(o.seed, name)
	o.mu.Lock()
	defer o.mu.Unlock()
	return int(o.seen[key].timeChanges)
}

// ready takes one look at e and reports whether it stood still for settle; if
// not, for how long it has to be left alone from now, and why.
func (o *Observations) ready(e filesync.Entry, settle time.Duration) (ok bool, wait time.Duration, reason string) {
	if settle <= 0 {
		return true, 0, ""
	}
	key := maphash.String(o.seed, e.Name)
	size, modTime := uint32(maphash.Comparable(o.seed, e.Size)), uint32(e.ModTime.Unix())
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Since(o.start)
	k, known := o.seen[key]
	if known && k.size == size && k.modTime == modTime {
		k.gen, k.awaited = o.gen, false
		o.seen[key] = k
		if wait := k.left(now, settle); wait > 0 {
			return false, wait, fmt.Sprintf("has to stand still for %s, and for %s more", settle, wait.Round(time.Millisecond))
		}
		return true, 0, ""
	}
	if !known && len(o.seen) >= o.max {
		return false, 0, fmt.Sprintf("%d other files wait before it", len(o.seen))
	}
	timeChanges := uint8(0)
	if known && k.size == size {
		if timeChanges = k.timeChanges; k.gen != o.gen && timeChanges < math.MaxUint8 {
			timeChanges++
		}
	}
	k = observation{size: size, modTime: modTime, at: timeSteps(now), gen: o.gen, timeChanges: timeChanges}
	o.seen[key] = k
	if known {
		return false, k.left(now, settle), fmt.Sprintf("it is changing; has to stand still for %s", settle)
	}
	return false, k.left(now, settle), fmt.Sprintf("seen for the first time, has to stand still for %s", settle)
}

// left is for how long from now a file has to be left alone.
func (k observation) left(now, settle time.Duration) time.Duration {
	left := int32(k.at + timeSteps(settle) - uint32(now/timeStep))
	if left > int32(timeSteps(settle)+1) {
		return 0 // it has stood still for longer than the steps can tell
	}
	return time.Duration(left)*timeStep - now%timeStep
}

// timeSteps is a duration in timeSteps, rounded up.
func timeSteps(d time.Duration) uint32 { return uint32((d + timeStep - 1) / timeStep) }
