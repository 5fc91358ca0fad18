package sync

import (
	"strings"
	"sync"
)

// maxUnlisted bounds what a pass remembers of directories that it did not list,
// in bytes.
const (
	maxUnlisted  = 4 << 20
	unlistedCost = 64 // bytes of one beside its path
)

// Unlisted are the directories that a pass did not list completely: whatever lies
// below them is unknown. Of very many it remembers directories above them, in the
// end the root, so that more is unknown than had to be. The zero Unlisted is empty;
// it may be used concurrently.
type Unlisted struct {
	mu    sync.Mutex
	dirs  map[string]struct{}
	bytes int
}

// Add adds a directory, "" for the root.
func (u *Unlisted) Add(dir string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.add(dir)
	for depth := u.depth() - 1; u.bytes > maxUnlisted && depth >= 0; depth-- {
		u.widen(depth)
	}
}

func (u *Unlisted) add(dir string) {
	if u.covers(dir) {
		return
	}
	if u.dirs == nil {
		u.dirs = map[string]struct{}{}
	}
	u.dirs[dir] = struct{}{}
	u.bytes += len(dir) + unlistedCost
}

// depth is how many components the longest of the paths has, once there are too many.
func (u *Unlisted) depth() (most int) {
	if u.bytes <= maxUnlisted {
		return 0
	}
	for dir := range u.dirs {
		if dir != "" {
			most = max(most, 1+strings.Count(dir, "/"))
		}
	}
	return most
}

// widen replaces the directories by those of them and above them that lie no
// deeper than depth.
func (u *Unlisted) widen(depth int) {
	all := u.dirs
	u.dirs, u.bytes = nil, 0
	for dir := range all {
		end := 0
		for range depth {
			next := strings.IndexByte(dir[end:], '/')
			if next < 0 {
				end = len(dir) + 1
				break
			}
			end += next + 1
		}
		u.add(strings.Clone(dir[:max(0, end-1)]))
	}
}

// Covers reports whether a path is that of such a directory, or lies below one.
func (u *Unlisted) Covers(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.covers(name)
}

func (u *Unlisted) covers(name string) bool {
	for len(u.dirs) > 0 {
		if _, is := u.dirs[name]; is {
			return true
		}
		if name == "" {
			return false
		}
		name = name[:max(0, strings.LastIndexByte(name, '/'))]
	}
	return false
}

// Empty reports whether the whole tree was listed.
func (u *Unlisted) Empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.dirs) == 0
}
