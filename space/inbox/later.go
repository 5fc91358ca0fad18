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

// behind gives the place of an upload that has to wait behind others of its name;
// wait is false where it takes the plain name. The caller holds b.mu.
func (b *Inbox) behind(f *file) (n int, wait bool, err error) {
	if f == nil || len(f.later) == 0 && (f.whole == nil || !b.limits.KeepEach) {
		return 0, false, nil
	}
	if len(f.later) > 0 {
		n = f.later[len(f.later)-1].n + 1
	}
	if n >= maxLater {
		return 0, false, errMany
	}
	return n, true, nil
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
	for {
		b.mu.Lock()
		if f.whole != nil || len(f.later) == 0 {
			b.mu.Unlock()
			return nil
		}
		next := f.later[0]
		v := b.distinct(f.name, 0, next.version)
		b.mu.Unlock()
		at := laterName(p.base, next.n)
		var err error
		if !v.modTime.Equal(next.modTime) {
			err = p.dir.Chtimes(at, v.modTime, v.modTime)
		}
		if err == nil {
			err = p.dir.Rename(at, p.base)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // else an operator has removed it
			return fmt.Errorf("let %s take its name: %w", at, err)
		}
		info, serr := lstat(p.dir, p.base)
		b.mu.Lock()
		b.unqueue(f, 0)
		if err == nil && serr == nil && info != nil {
			b.wakeIn(10 * time.Millisecond)
			b.setWhole(f, versionOf(info))
			f.touched = next.since // it has been left alone meanwhile
		}
		b.mu.Unlock()
		if err == nil {
			return errors.Join(serr, syncDirectory(p.dir))
		}
	}
}

// goOnAdvancing is advance after something that went well all the same. What fails
// now is done by the next Open.
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
