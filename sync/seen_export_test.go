package sync

// Bytes is about what u takes in memory.
func (u *Unlisted) Bytes() int { return u.bytes }
