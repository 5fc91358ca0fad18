package sftp

import "sync/atomic"

// Limits is what was learnt about what a server can do, so that the next pass
// need not run into it again. One may be shared by all Sources of one server,
// also concurrently; the zero Limits knows of none.
type Limits struct {
	channels   atomic.Int32 // data channels beside the control channel, plus one; 0: unknown
	dropped    atomic.Int32 // how often in a row opening one more was the end of the connection, or of no effect
	openFiles  atomic.Int32 // files open at once; 0: unknown
	readSize   atomic.Int32 // bytes that a READ is answered with; 0: unknown
	noFstat    atomic.Bool  // FSTAT is not supported
	oneReaddir atomic.Bool  // a READDIR fails while another is under way
	outOfOrder atomic.Bool  // requests are answered in another order than they were sent
}

// dataChannels is how many data channels the server takes; ok is false while
// that is unknown.
func (l *Limits) dataChannels() (n int, ok bool) {
	v := l.channels.Load()
	return int(v) - 1, v > 0
}

// setDataChannels remembers that the server takes no more than n.
func (l *Limits) setDataChannels(n int) { l.channels.Store(int32(n) + 1) }

// limitOpenFiles remembers that an OPEN failed while n files were open.
func (l *Limits) limitOpenFiles(n int) { lower(&l.openFiles, n) }

// shrinkReads remembers that the server answered a READ with n bytes where
// more were there.
func (l *Limits) shrinkReads(n int) { lower(&l.readSize, n) }

// lower sets a limit to n if it is unknown or more than that.
func lower(limit *atomic.Int32, n int) {
	for {
		old := limit.Load()
		if old != 0 && int(old) <= n || limit.CompareAndSwap(old, int32(n)) {
			return
		}
	}
}

// readsOf is the size of READs on a channel that offers max.
func (l *Limits) readsOf(max int) int {
	if n := int(l.readSize.Load()); n > 0 && n < max {
		return n
	}
	return max
}
