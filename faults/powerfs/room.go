//go:build linux

package powerfs

// room is what is taken and what is left, in bytes.
type room struct {
	used  int64
	limit int64 // negative: none
}

// free tells how many bytes are left.
func (r *room) free() int64 {
	if r.limit < 0 {
		return 1<<42 - r.used
	}
	return max(0, r.limit-r.used)
}

// fits tells how many of n bytes there is room for at off.
func (r *room) fits(data *content, off int64, n int) int {
	if r.limit < 0 {
		return n
	}
	for n > 0 && data.growth(off, n) > r.free() {
		// Down to the end of the last but one block.
		n = int(max(0, roundUp(off+int64(n), blockSize)-blockSize-off))
	}
	return n
}

// change counts what a change of a file takes or gives back.
func (r *room) change(data *content, do func()) {
	r.used -= data.allocated
	do()
	r.used += data.allocated
}

// discard gives back the room of an inode that has no name and no handle.
func (r *room) discard(i *inode) {
	if i.nlink == 0 && i.opens == 0 {
		r.used -= i.data.allocated
		i.data.allocated = 0
	}
}
