package pass

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// maxHanded bounds the hashes of names that the listings of a pass keep, in bytes.
const maxHanded = 8 << 20

// handed are the names of one directory that were handed on already, by their
// hashes, for when its listing has to start anew. Of more names than there is
// room for, it knows the first ones: the others are handed on again, which what
// comes after the walk bears.
type handed struct {
	used   *atomic.Int64 // bytes, by all listings of the pass
	seed   maphash.Seed
	hashes []uint64
	before int // so many are of listings that broke off, and sorted
}

// again starts a listing anew.
func (h *handed) again() {
	slices.Sort(h.hashes)
	h.before = len(h.hashes)
}

// add reports whether the name is new.
func (h *handed) add(name string) bool {
	if h.hashes == nil {
		h.seed = maphash.MakeSeed()
	}
	sum := maphash.String(h.seed, name)
	if _, known := slices.BinarySearch(h.hashes[:h.before], sum); known {
		return false
	}
	if h.used.Add(8) > maxHanded {
		h.used.Add(-8)
		return true
	}
	h.hashes = append(h.hashes, sum)
	return true
}

// release gives the room back.
func (h *handed) release() {
	h.used.Add(-8 * int64(len(h.hashes)))
	h.hashes, h.before = nil, 0
}
