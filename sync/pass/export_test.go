package pass

import "sync/atomic"

// LimitEntries lowers the bound on the entries of one directory.
func (p *Pass) LimitEntries(n int) { p.maxEntries = n }

// LimitWaiting lowers the bound on the files that are kept for the second look, in bytes.
func (p *Pass) LimitWaiting(bytes int) { p.second.max = bytes }

// SeenNames is what a listing keeps of the names that it has had.
type SeenNames struct{ seenNames }

// NewSeenNames makes one, and gives how many bytes it uses.
func NewSeenNames() (*SeenNames, *atomic.Int64) {
	used := new(atomic.Int64)
	return &SeenNames{seenNames{used: used}}, used
}

func (n *SeenNames) Add(name string) bool { return n.add(name) }
func (n *SeenNames) Again()               { n.again() }
func (n *SeenNames) Release()             { n.release() }
