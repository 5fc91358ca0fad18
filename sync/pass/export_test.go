package pass

import "sync/atomic"

// LimitEntries lowers the bound on the entries of one directory.
func (p *Pass) LimitEntries(n int) { p.maxEntries = n }

// LimitWaiting lowers the bound on the files that are kept for the second look, in bytes.
func (p *Pass) LimitWaiting(bytes int) { p.second.max = bytes }

// Handed is what a listing keeps of the names that it handed on.
type Handed struct{ handed }

// NewHanded makes one, and gives what it uses.
func NewHanded() (*Handed, *atomic.Int64) {
	used := new(atomic.Int64)
	return &Handed{handed{used: used}}, used
}

func (h *Handed) Add(name string) bool { return h.add(name) }
func (h *Handed) Again()               { h.again() }
func (h *Handed) Release()             { h.release() }
