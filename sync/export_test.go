package sync

// LimitEntries lowers the bound on the entries of one directory.
func (p *Pass) LimitEntries(n int) { p.maxEntries = n }

// Copiers is how many files a pass copies at a time.
const Copiers = copiers
