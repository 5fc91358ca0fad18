package inbox

import (
	"context"
	"hash/maphash"
	"os"
	"path"
	"strings"
	"time"
)

// Directories that hold nothing cost no quota, and no import takes them away. They go
// once no client has asked for them, or for something in them, and nothing of them was
// imported, for emptyFor.
const (
	emptyFor   = 24 * time.Hour
	sweepEvery = time.Hour
)

// uses is when clients last asked for directories, by a hash of their names: two of
// one hash keep each other. Inbox.mu guards it.
type uses struct {
	seed maphash.Seed
	most int
	last map[uint64]time.Time
}

func newUses(most int) uses {
	return uses{maphash.MakeSeed(), most, map[uint64]time.Time{}}
}

func (u *uses) note(dir string, now time.Time) {
	h := maphash.String(u.seed, key(dir))
	if _, known := u.last[h]; !known && len(u.last) >= u.most {
		u.forgetOld(now)
		if len(u.last) >= u.most {
			return // the time on the disk has to do
		}
	}
	u.last[h] = now
}

func (u *uses) forgetOld(now time.Time) {
	for h, at := range u.last {
		if now.Sub(at) >= emptyFor {
			delete(u.last, h)
		}
	}
}

// unused reports whether nobody has asked for a directory for long, which was last
// changed at a time that the disk has. That alone counts for what nobody has asked
// for since Open, unless it lies ahead: then the wait begins now.
func (u *uses) unused(dir string, changed, now time.Time) bool {
	if age := now.Sub(changed); age >= 0 && age < emptyFor {
		return false
	}
	last, known := u.last[maphash.String(u.seed, key(dir))]
	switch {
	case known:
		return now.Sub(last) >= emptyFor
	case changed.After(now):
		u.note(dir, now)
		return false
	}
	return true
}

// use notes that a client asks for a directory.
func (b *Inbox) use(dir string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uses.note(dir, time.Now())
}

// useAbove notes that a client asks for what is in a directory, or that it is imported.
func (b *Inbox) useAbove(name string) {
	if strings.Contains(name, "/") {
		b.use(path.Dir(name))
	}
}

// sweepNowAndThen removes directories that hold nothing until ctx ends.
func (b *Inbox) sweepNowAndThen(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		b.sweep(ctx, "")
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep removes what nobody uses of the directories below dir, and dir itself if
// nothing else is in it, which is the answer. What cannot be read stays, as does what
// a client is at.
func (b *Inbox) sweep(ctx context.Context, dir string) (gone bool) {
	p, err := b.directory(dir)
	if err != nil {
		return false
	}
	defer p.close()
	changed, err := lastChange(p.dir) // before anything in it goes
	if err != nil {
		return false
	}
	empty := true
	err = eachName(p.dir, func(base string) error {
		child, err := lstat(p.dir, base)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || child == nil || !child.IsDir() || isReserved(base) || !b.sweep(ctx, join(dir, base)):
			empty = false
		}
		return nil
	})
	if err != nil || !empty || dir == "" {
		return false
	}
	return b.removeUnused(dir, changed)
}

// lastChange is when something of a directory was changed, as far as the disk tells:
// the modification time may be one that a client has set since.
func lastChange(dir *os.Root) (time.Time, error) {
	f, err := dir.Open(".")
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	changed := info.ModTime()
	if set := time.Unix(readNote(f, timeSetNote), 0); set.After(changed) {
		changed = set
	}
	return changed, nil
}

// setTimes gives a directory the times that a client wants.
func setTimes(dir *os.Root, base string, accessed, modified time.Time) error {
	f, err := dir.Open(base)
	if err != nil {
		return err
	}
	defer f.Close()
	_ = writeNote(f, timeSetNote, time.Now().Unix()) // without it the directory may go early
	return dir.Chtimes(base, accessed, modified)
}

// removeUnused removes a directory that holds nothing, unless it is used. The disk
// need not remember: what comes back is removed again.
func (b *Inbox) removeUnused(dir string, changed time.Time) bool {
	defer b.claim(dir)()
	b.mu.Lock()
	unused := b.uses.unused(dir, changed, time.Now())
	b.mu.Unlock()
	if !unused {
		return false
	}
	p, err := b.place(dir)
	if err != nil {
		return false
	}
	defer p.close()
	if quietly(p.dir, func() error { return p.dir.Remove(p.base) }) != nil {
		return false // something has come into it
	}
	b.forgetDirectory()
	return true
}

// quietly does to a directory what its clients did not ask for: it keeps its time.
func quietly(dir *os.Root, do func() error) error {
	before, err := dir.Stat(".")
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	_ = dir.Chtimes(".", time.Time{}, before.ModTime()) // a wrong time loses nothing
	return nil
}
