package pass

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// maxSeenNames bounds the hashes that the listings of a pass keep, in bytes.
const maxSeenNames = 8 << 20

// seenNames are the names of one directory that its listing has had already, by their
// hashes, for when the listing has to start anew: it skips these then. Of more names than
// there is room for, it knows the first ones. The others are handed on a second time, and
// what comes after the listing copes with that.
type seenNames struct {
	used   *atomic.Int64 // bytes, by all listings of the pass
	seed   maphash.Seed
	hashes []uint64
	before int // so many are of listings that broke off, and sorted
}

// again starts a listing anew.
func (n *seenNames) again() {
	slices.Sort(n.hashes)
	n.before = len(n.hashes)
}

// add reports whether the name is new.
func (n *seenNames) add(name string) bool {
	if n.hashes == nil {
		n.seed = maphash.MakeSeed()
	}
	sum := maphash.String(n.seed, name)
	if _, known := slices.BinarySearch(n.hashes[:n.before], sum); known {
		return false
	}
	if n.used.Add(8) > maxSeenNames {
		n.used.Add(-8)
		return true
	}
	n.hashes = append(n.hashes, sum)
	return true
}

// release gives the room back.
func (n *seenNames) release() {
	n.used.Add(-8 * int64(len(n.hashes)))
	n.hashes, n.before = nil, 0
}
