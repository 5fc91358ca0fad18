//go:build linux

package powerfs

import (
	"maps"
	"math/bits"
	"math/rand"
	"slices"
)

const (
	sectorSize = 512
	chunkSize  = 64 * sectorSize // as many sectors as a word has bits
	blockSize  = 4096            // room is given away in blocks

	maxOlder = 8  // versions of a sector that are remembered between two syncs
	maxSizes = 32 // sizes that are remembered between two syncs
)

// chunk is a piece of a file. What it lacks up to chunkSize are zeros.
type chunk struct{ b []byte }

func (c *chunk) allocated() int64 {
	if c == nil {
		return 0
	}
	return roundUp(int64(len(c.b)), blockSize)
}

// sector gives a copy of a sector of the chunk.
func (c *chunk) sector(n int) []byte {
	s := make([]byte, sectorSize)
	if c != nil && n*sectorSize < len(c.b) {
		copy(s, c.b[n*sectorSize:])
	}
	return s
}

// grow makes the chunk at least n bytes long.
func (c *chunk) grow(n int) {
	old := len(c.b)
	if n <= old {
		return
	}
	if n > cap(c.b) {
		b := make([]byte, old, min(chunkSize, max(n, 2*cap(c.b))))
		copy(b, c.b)
		c.b = b
	}
	c.b = c.b[:n]
	clear(c.b[old:])
}

// content is the data of a file, now and as far as it is durable. The zero value
// is an empty file.
type content struct {
	size      int64
	chunks    map[int64]*chunk
	allocated int64 // room that the chunks take

	stableSize int64
	stable     map[int64]*chunk // shares the chunks that were not written since

	dirty map[int64]uint64   // by chunk: the sectors written since the last sync
	older map[int64][][]byte // by sector: what it held between stable and now
	sizes []int64            // sizes between stableSize and size
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

func (c *content) read(p []byte, off int64) int {
	n := int(max(0, min(int64(len(p)), c.size-off)))
	p = p[:n]
	for len(p) > 0 {
		index, at := off/chunkSize, int(off%chunkSize)
		part := p[:min(len(p), chunkSize-at)]
		got := 0
		if ch := c.chunks[index]; ch != nil && at < len(ch.b) {
			got = copy(part, ch.b[at:])
		}
		clear(part[got:])
		p, off = p[len(part):], off+int64(len(part))
	}
	return n
}

// growth tells how much room a write needs that there is not yet.
func (c *content) growth(off int64, n int) int64 {
	var room int64
	for end := off + int64(n); off < end; {
		index := off / chunkSize
		to := min(end, (index+1)*chunkSize)
		if ch := c.chunks[index]; true {
			room += max(0, roundUp(to-index*chunkSize, blockSize)-ch.allocated())
		}
		off = to
	}
	return room
}

func (c *content) write(p []byte, off int64) {
	end := off + int64(len(p))
	for len(p) > 0 {
		index, at := off/chunkSize, int(off%chunkSize)
		part := p[:min(len(p), chunkSize-at)]
		ch := c.change(index, at, at+len(part))
		c.allocated -= ch.allocated()
		ch.grow(at + len(part))
		c.allocated += ch.allocated()
		copy(ch.b[at:], part)
		p, off = p[len(part):], off+int64(len(part))
	}
	if end > c.size {
		c.resize(end)
	}
}

// change readies the bytes [from, to) of a chunk to be written.
func (c *content) change(index int64, from, to int) *chunk {
	c.remember(index, from, to)
	ch := c.chunks[index]
	switch {
	case ch == nil:
		ch = &chunk{}
	case ch == c.stable[index]:
		ch = &chunk{slices.Clone(ch.b)}
	default:
		return ch
	}
	if c.chunks == nil {
		c.chunks = map[int64]*chunk{}
	}
	c.chunks[index] = ch
	return ch
}

// remember marks the sectors of [from, to) as written, and keeps what they held if
// that is not the durable version.
func (c *content) remember(index int64, from, to int) {
	if from >= to {
		return
	}
	first, last := from/sectorSize, (to-1)/sectorSize
	mask := (^uint64(0) >> (63 - (last - first))) << first
	if c.dirty == nil {
		c.dirty = map[int64]uint64{}
	}
	again := c.dirty[index] & mask
	c.dirty[index] |= mask
	for ; again != 0; again &= again - 1 {
		n := bits.TrailingZeros64(again)
		sector := index*64 + int64(n)
		if c.older == nil {
			c.older = map[int64][][]byte{}
		}
		versions := append(c.older[sector], c.chunks[index].sector(n))
		if len(versions) > maxOlder {
			versions = slices.Delete(versions, 0, 1)
		}
		c.older[sector] = versions
	}
}

func (c *content) resize(size int64) {
	if size == c.size {
		return
	}
	c.sizes = append(c.sizes, c.size)
	if len(c.sizes) > maxSizes {
		kept := c.sizes[:0]
		for n, s := range c.sizes {
			if n%2 == 0 {
				kept = append(kept, s)
			}
		}
		c.sizes = kept
	}
	c.size = size
}

func (c *content) truncate(size int64) {
	if size < c.size {
		c.zero(size, c.size)
	}
	c.resize(size)
}

// zero makes a hole of [from, to), and shortens the chunks that end in it.
func (c *content) zero(from, to int64) {
	for index, ch := range c.chunks {
		start := index * chunkSize
		lo, hi := max(0, from-start), min(to-start, int64(len(ch.b)))
		if lo >= hi {
			continue
		}
		c.allocated -= ch.allocated()
		switch {
		case lo == 0 && hi == int64(len(ch.b)):
			c.remember(index, 0, int(hi))
			delete(c.chunks, index)
			continue
		case hi == int64(len(ch.b)):
			ch = c.change(index, int(lo), int(hi))
			ch.b = ch.b[:lo]
		default:
			ch = c.change(index, int(lo), int(hi))
			clear(ch.b[lo:hi])
		}
		c.allocated += ch.allocated()
	}
}

// sync makes all durable.
func (c *content) sync() {
	if c.stable == nil {
		c.stable = map[int64]*chunk{}
	}
	for index := range c.dirty {
		if ch := c.chunks[index]; ch != nil {
			c.stable[index] = ch
		} else {
			delete(c.stable, index)
		}
	}
	c.settle()
}

func (c *content) settle() {
	c.stableSize = c.size
	c.dirty, c.older, c.sizes = nil, nil, nil
}

// cut forgets what was not durable, but for each sector and for the size with a
// chance.
func (c *content) cut(r *rand.Rand, ofSector, ofSize float64) Lost {
	var lost Lost
	kept := maps.Clone(c.stable)
	if kept == nil {
		kept = map[int64]*chunk{}
	}
	for _, index := range slices.Sorted(maps.Keys(c.dirty)) {
		out := &chunk{}
		if ch := c.stable[index]; ch != nil {
			out.b = slices.Clone(ch.b)
		}
		for set := c.dirty[index]; set != 0; set &= set - 1 {
			n := bits.TrailingZeros64(set)
			versions := c.older[index*64+int64(n)]
			var survivor []byte
			if r.Float64() < ofSector {
				survivor = c.chunks[index].sector(n)
			} else {
				lost.Writes++
				pick := r.Intn(len(versions) + 1)
				if pick == 0 {
					continue
				}
				survivor = versions[pick-1]
			}
			out.grow((n + 1) * sectorSize)
			copy(out.b[n*sectorSize:], survivor)
		}
		kept[index] = out
	}
	size := c.cutSize(r, ofSize)
	if size != c.size {
		lost.Truncations++
	}
	*c = content{size: size, chunks: kept}
	c.zero(size, 1<<62)
	c.allocated = 0
	for _, ch := range c.chunks {
		c.allocated += ch.allocated()
	}
	c.stable = maps.Clone(c.chunks)
	c.settle()
	return lost
}

// cutSize draws the size that survives.
func (c *content) cutSize(r *rand.Rand, chance float64) int64 {
	if len(c.sizes) == 0 || r.Float64() < chance {
		return c.size
	}
	sizes := append(slices.Clone(c.sizes), c.size)
	n := r.Intn(len(sizes) - 1)
	size := sizes[n]
	if sectors := (sizes[n+1] - size) / sectorSize; sectors > 0 && r.Intn(2) == 0 {
		size = roundUp(size, sectorSize) + r.Int63n(sectors)*sectorSize
	}
	return size
}
