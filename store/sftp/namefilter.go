package sftp

import (
	"encoding/binary"
	"io"
	"sync"
)

// nameFilter looks at the packets that pass to pkg/sftp's client and counts the
// bytes of names, because the client gathers a directory without any bound.
type nameFilter struct {
	r io.Reader

	head  [5]byte // length and type of the packet that is passing
	have  int     // bytes of head
	left  uint32  // bytes of the packet after the head
	names bool    // it is a NAME

	mu    sync.Mutex
	count int64
	bound int64 // 0: none
	over  func()
}

// typeName is SSH_FXP_NAME.
const typeName = 104

// watch counts from zero, and calls over once when there are more than bound bytes of names.
func (f *nameFilter) watch(bound int64, over func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.bound, f.over = 0, bound, over
}

func (f *nameFilter) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.look(p[:n])
	return n, err
}

// look follows the packets' boundaries through what was read.
func (f *nameFilter) look(b []byte) {
	for len(b) > 0 {
		if f.have < len(f.head) {
			n := copy(f.head[f.have:], b)
			f.have += n
			b = b[n:]
			if f.have == len(f.head) {
				f.left = binary.BigEndian.Uint32(f.head[:])
				f.left -= min(f.left, 1) // the type is part of the length
				f.names = f.head[4] == typeName
			}
		} else {
			n := min(uint64(f.left), uint64(len(b)))
			f.left -= uint32(n)
			b = b[n:]
			if f.names {
				f.add(int64(n))
			}
		}
		if f.have == len(f.head) && f.left == 0 {
			f.have = 0
		}
	}
}

func (f *nameFilter) add(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count += n
	if f.bound > 0 && f.count > f.bound && f.over != nil {
		f.over()
		f.over = nil
	}
}
