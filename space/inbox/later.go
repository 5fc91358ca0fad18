package inbox

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where each upload of a name is kept (Limits.KeepEach), one that comes while
// another still waits for its import waits behind it: on the disk under a name
// of its own, which is reserved, until it is its turn to stand under the plain
// one. Clients see the last one. It was acknowledged like any other.

// later is an upload that waits behind others of its name.
type later struct {
	version
	n     int // its place: they come in this order
	since time.Time
}

// reservedLater begins the names of files that wait behind others. What follows is
// their place in three digits, a dot, and the plain name.
const reservedLater = ".later."

// maxLater is one more than the last place, in base 36.
const maxLater = 36 * 36 * 36

func laterName(base string, n int) string {
	digits := strconv.FormatInt(int64(n), 36)
	return reservedLater + strings.Repeat("0", 3-len(digits)) + digits + "." + base
}

// cutLater gives the plain name and the place of one that waits behind others.
func cutLater(base string) (plain string, n int, ok bool) {
	const head = len(reservedLater) + len("000.")
	if len(base) <= head || base[:len(reservedLater)] != reservedLater || base[head-1] != '.' {
		return base, 0, false
	}
	place, err := strconv.ParseUint(base[len(reservedLater):head-1], 36, 32)
	if err != nil {
		return base, 0, false
	}
	return base[head:], int(place), true
}

// waits reports whether another upload of a name has to wait behind what is there.
// Temporary names are never imported: nothing waits for them. The caller holds b.mu.
func (b *Inbox) waits(f *file) bool {
	return f != nil && (len(f.later) > 0 || f.whole != nil && b.limits.KeepEach && !f.temporary)
}

// behind gives the place of an upload v that has to wait behind others of its name,
// and v so that it does not look like the one before it. wait is false where it
// takes the plain name. The caller has claimed the name.
func (b *Inbox) behind(f *file, p place, v version) (n int, _ version, wait bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.waits(f) {
		return 0, v, false, nil
	}
	before := f.whole
	if len(f.later) > 0 {
		last := f.later[len(f.later)-1]
		before, n = &last.version, last.n+1
	}
	for before != nil && v.same(*before) {
		v.modTime = v.modTime.Add(time.Second)
	}
	switch {
	case len(f.later) >= maxLater:
		return 0, v, false, errMany
	case n >= maxLater:
		n, err = b.renumber(f, p)
	}
	return n, v, true, err
}

// renumber gives those that wait the first places, and the next one. The caller has
// claimed the name and holds b.mu.
func (b *Inbox) renumber(f *file, p place) (next int, err error) {
	for i := range f.later {
		if err := p.dir.Rename(laterName(p.base, f.later[i].n), laterName(p.base, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		f.later[i].n = i
	}
	return len(f.later), nil
}

// queue notes an upload that waits behind others. The caller holds b.mu.
func (b *Inbox) queue(f *file, l later) {
	f.later = append(f.later, l)
	b.waiting++
	b.bytes += l.size
	b.keep(f)
}

// unqueue takes the i-th out again. The caller holds b.mu.
func (b *Inbox) unqueue(f *file, i int) {
	b.waiting--
	b.bytes -= f.later[i].size
	f.later = slices.Delete(f.later, i, i+1)
	b.keep(f)
}

// latest gives the last upload of a name, if it waits behind others. The caller holds b.mu.
func (b *Inbox) latest(name string) (later, bool) {
	if f := b.files[key(name)]; f != nil && len(f.later) > 0 {
		return f.later[len(f.later)-1], true
	}
	return later{}, false
}

// newest is the name on the disk of the last complete upload of a name.
func (b *Inbox) newest(name string, p place) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l, ok := b.latest(name); ok {
		return laterName(p.base, l.n)
	}
	return p.base
}

// advance gives the plain name of a file to the first that waits for it, if it is
// free. The caller has claimed the name.
func (b *Inbox) advance(f *file, p place) error {
	b.mu.Lock()
	free := f.whole == nil && len(f.later) > 0
	b.mu.Unlock()
	if !free {
		return nil
	}
	next, err := b.giveName(f, p)
	if err == nil && next != nil {
		err = syncDirectory(p.dir)
		b.named(f, next)
	}
	return err
}

// successor is an upload that has waited, and has the plain name now.
type successor struct {
	version
	since time.Time
}

// giveName gives the plain name to the first that waits for it, in place of what
// stands there, in one step; nil if none does. The books know of it with named.
// The caller has claimed the name.
func (b *Inbox) giveName(f *file, p place) (*successor, error) {
	for {
		b.mu.Lock()
		if len(f.later) == 0 {
			b.mu.Unlock()
			return nil, nil
		}
		first := f.later[0]
		v := b.distinct(f.name, 0, first.version)
		b.mu.Unlock()
		at := laterName(p.base, first.n)
		var err error
		if !v.modTime.Equal(first.modTime) {
			err = p.dir.Chtimes(at, v.modTime, v.modTime)
		}
		if err == nil {
			err = quietly(p.dir, func() error { return p.dir.Rename(at, p.base) })
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // else an operator has removed it
			return nil, fmt.Errorf("let %s take its name: %w", at, err)
		}
		b.mu.Lock()
		b.unqueue(f, 0)
		b.mu.Unlock()
		if err != nil {
			continue
		}
		if info, err := lstat(p.dir, p.base); err == nil && info != nil {
			v = *versionOf(info) // the disk may have coarser times
		}
		return &successor{v, first.since}, nil
	}
}

// named notes that an upload has the plain name now. It has been left alone since
// it was closed.
func (b *Inbox) named(f *file, n *successor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setWhole(f, &n.version)
	f.touched = n.since
	b.wakeSoon()
}

// heal lets an upload take its name that is free although nobody has imported what
// had it: an operator has removed that, or the disk has failed.
func (b *Inbox) heal(name string) {
	if !b.reservedFor(name) {
		return
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return
	}
	defer p.close()
	s, err := p.look()
	if err != nil || s.whole != nil {
		return
	}
	if f := b.observe(name, s); f != nil {
		b.goOnAdvancing(f, p)
	}
}

// reservedFor reports whether uploads wait for a name.
func (b *Inbox) reservedFor(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[key(name)]
	return f != nil && len(f.later) > 0
}

// goOnAdvancing is advance after something that went well all the same. What fails
// now is done at the next listing.
func (b *Inbox) goOnAdvancing(f *file, p place) {
	if err := b.advance(f, p); err != nil {
		b.o.Log.Warn("inbox: the next upload of a name waits", "name", f.name, "error", err)
	}
}

// removeLater removes all that wait behind others. The caller has claimed the name.
func (b *Inbox) removeLater(f *file, p place) error {
	b.mu.Lock()
	all := slices.Clone(f.later)
	b.mu.Unlock()
	for _, l := range all {
		if err := p.dir.Remove(laterName(p.base, l.n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		b.mu.Lock()
		b.unqueue(f, 0)
		b.mu.Unlock()
	}
	return nil
}
