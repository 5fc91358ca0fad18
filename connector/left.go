package connector

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"sftpconnector/interapp"
	filesync "sftpconnector/sync"
)

// What is kept of the files that a pass left: how many, and about how many bytes.
const (
	maxLeft      = 1000
	maxLeftBytes = 128 << 10
)

// leftFiles are the files that a pass has left where they are and that the ledger has no
// row of: waiting, unsafe and excluded, with the reason. Where they are too many,
// excluded ones go first.
type leftFiles struct {
	mu    sync.Mutex
	files map[string]interapp.File
	ranks [3]int // how many there are of each rank
	bytes int
}

// rank puts the files in order: what somebody waits for is first.
func rank(state string) int {
	return slices.Index([]string{string(filesync.StateWaiting), string(filesync.StateUnsafe), string(filesync.StateExcluded)}, state)
}

// decided is told of each decision of the pass; the last about a file counts.
func (l *leftFiles) decided(d filesync.Decision) {
	at := rank(string(d.State))
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, known := l.files[d.Entry.Name]; known {
		l.drop(old)
	}
	if at < 0 {
		return
	}
	f := d.Message()
	for len(l.files) >= maxLeft || l.bytes+sizeOf(f) > maxLeftBytes {
		if !l.makeRoom(at) {
			return
		}
	}
	if l.files == nil {
		l.files = map[string]interapp.File{}
	}
	l.files[f.Name] = f
	l.ranks[at]++
	l.bytes += sizeOf(f)
}

// drop forgets a file. The caller holds l.mu.
func (l *leftFiles) drop(f interapp.File) {
	delete(l.files, f.Name)
	l.ranks[rank(f.State)]--
	l.bytes -= sizeOf(f)
}

// makeRoom drops a file of a rank behind this one, if there is one. The caller holds l.mu.
func (l *leftFiles) makeRoom(at int) bool {
	behind := 0
	for _, n := range l.ranks[at+1:] {
		behind += n
	}
	if behind == 0 {
		return false
	}
	for _, f := range l.files {
		if rank(f.State) > at {
			l.drop(f)
			return true
		}
	}
	return false
}

// of gives the files, in order, when the pass of that number has ended.
func (l *leftFiles) of(pass string) []interapp.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]interapp.File, 0, len(l.files))
	for _, f := range l.files {
		f.Pass = pass
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b interapp.File) int {
		return cmp.Or(rank(a.State)-rank(b.State), strings.Compare(a.Name, b.Name))
	})
	return all
}

// LeftFiles gives the files that the last pass over the whole source has left waiting,
// or unsafe, or excluded, each with the reason: the first 1,000. known is false before the
// first such pass since the program started.
func (c *Connector) LeftFiles() (files []interapp.File, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left, c.left != nil
}
