package sync

// LimitEntries lowers the bound on the entries of one directory.
func (p *Pass) LimitEntries(n int) { p.maxEntries = n }
