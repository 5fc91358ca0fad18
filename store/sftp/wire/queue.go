package wire

const (
	// blockSize is the usual size of the data of an SSH packet, so that a full block
	// goes out as one.
	blockSize = 32 << 10
	// freeBlocks is how many free blocks are kept.
	freeBlocks = 16
)

// queue holds the bytes that are to be written, in the order in which they were added.
type queue struct {
	blocks [][]byte
	free   [][]byte
	held   int // bytes in blocks that are not free
}

// add copies b to the end.
func (q *queue) add(b []byte) {
	q.held += len(b)
	for len(b) > 0 {
		last := len(q.blocks) - 1
		if last < 0 || len(q.blocks[last]) == blockSize {
			q.blocks = append(q.blocks, q.empty())
			last++
		}
		n := min(len(b), blockSize-len(q.blocks[last]))
		q.blocks[last] = append(q.blocks[last], b[:n]...)
		b = b[n:]
	}
}

// addText is add for a string.
func (q *queue) addText(s string) {
	for len(s) > 0 {
		var part [512]byte
		n := copy(part[:], s)
		q.add(part[:n])
		s = s[n:]
	}
}

func (q *queue) empty() []byte {
	if n := len(q.free); n > 0 {
		b := q.free[n-1]
		q.free = q.free[:n-1]
		return b
	}
	return make([]byte, 0, blockSize)
}

// take gives all blocks, and continues in next, which is empty.
func (q *queue) take(next [][]byte) [][]byte {
	blocks := q.blocks
	q.blocks = next
	return blocks
}

// recycle takes a block that was written, for later bytes.
func (q *queue) recycle(block []byte) {
	q.held -= len(block)
	if len(q.free) < freeBlocks {
		q.free = append(q.free, block[:0])
	}
}
