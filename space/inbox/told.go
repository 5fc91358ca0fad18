package inbox

import (
	"maps"
	"slices"
	"time"
)

// told is a content that the import knows, or may have known before a restart:
// by its size and time alone, while it stands under its name. What else comes to
// stand there must not look the same, or the import would remove it unread.
type told struct {
	version
	generation uint64
	reading    bool      // by the import, at this moment
	read       time.Time // to its end; zero: it was not
}

const (
	// maxTold bounds the contents of one name that the import knows and did not
	// come back for.
	maxTold = 64
	// toldSlack is how many names there may be told of that have no file any more.
	toldSlack = 10_000
	// deliveryTime is how long after it was read a content may be on its way to its
	// name at the destination.
	deliveryTime = 5 * time.Minute
)

// tell notes that the import knows what is uploaded under a name. The caller
// holds b.mu.
func (b *Inbox) tell(f *file) *told {
	k := key(f.name)
	versions := b.told[k]
	for _, t := range versions {
		if t.generation == f.generation && t.same(*f.whole) {
			return t
		}
	}
	if len(b.told) > len(b.files)+toldSlack { // of files that their clients removed
		maps.DeleteFunc(b.told, func(k string, _ []*told) bool { return b.files[k] == nil })
	}
	if len(versions) >= maxTold {
		versions = versions[1:]
	}
	t := &told{version: *f.whole, generation: f.generation}
	b.told[k] = append(versions, t)
	return t
}

// untell forgets the contents that look like v and which which, if it is not nil,
// agrees to. The caller holds b.mu.
func (b *Inbox) untell(name string, v version, which func(*told) bool) {
	k := key(name)
	left := slices.DeleteFunc(b.told[k], func(t *told) bool { return t.same(v) && (which == nil || which(t)) })
	if b.told[k] = left; len(left) == 0 {
		delete(b.told, k)
	}
}

// toldOf reports whether the import knows the content that f has as v: a client
// may have set its time since. The caller holds b.mu.
func (b *Inbox) toldOf(f *file, v version) bool {
	return slices.ContainsFunc(b.told[key(f.name)], func(t *told) bool { return t.generation == f.generation && t.same(v) })
}

// importing reports whether the import reads what is uploaded under a name, or
// has read it and not removed it yet. The caller holds b.mu.
func (b *Inbox) importing(f *file) bool {
	return f.whole != nil && slices.ContainsFunc(b.told[key(f.name)], func(t *told) bool {
		return t.generation == f.generation && (t.reading || !t.read.IsZero() && time.Since(t.read) < deliveryTime)
	})
}

// confused reports whether the import knows another content of that name with
// the same size and time. The caller holds b.mu.
func (b *Inbox) confused(name string, generation uint64, v version) bool {
	return slices.ContainsFunc(b.told[key(name)], func(t *told) bool { return t.generation != generation && t.same(v) })
}

// distinct gives a content of a name its modification time. If the import knows
// another content of the same size and time, or has removed one a short while
// ago, this one is a second younger: size and time are all that the import tells
// versions by, and it would take this one for what it has. The caller holds b.mu.
func (b *Inbox) distinct(name string, generation uint64, v version) version {
	for b.confused(name, generation, v) || b.gone.was(name, v) {
		v.modTime = v.modTime.Add(time.Second)
	}
	return v
}
