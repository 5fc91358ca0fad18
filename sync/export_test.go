package sync

// LimitEntries lowers the bound on the entries of one directory.
func (p *Pass) LimitEntries(n int) { p.maxEntries = n }

// Copiers is how many files a pass copies at a time.
const Copiers = copiers

// LimitWaiting lowers the bound on the files that are kept for the second look, in bytes.
func (p *Pass) LimitWaiting(bytes int) { p.second.max = bytes }

// Bytes is about what u takes in memory.
func (u *Unlisted) Bytes() int { return u.bytes }
