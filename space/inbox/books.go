package inbox

import (
	"io/fs"
	"path"
	"time"
)

// file is what is known of a name. Inbox.mu guards it.
type file struct {
	name       string
	whole      *version // uploaded; nil: nothing is
	part       *version // being uploaded, or cut; nil: nothing is
	later      []later  // uploaded too, and waiting behind whole, in this order
	partSince  time.Time
	writer     *writer   // of part; nil: nobody writes
	generation uint64    // of whole: another for each content that may stand there
	touched    time.Time // whole was; has the monotonic clock
	temporary  bool      // its name is
	unsafe     bool      // its name is none that a destination takes
}

// version is what the import tells two contents of a name by.
type version struct {
	size    int64
	modTime time.Time
}

func versionOf(info fs.FileInfo) *version { return &version{info.Size(), info.ModTime()} }

// same is SFTP's idea of an equal version: size and whole seconds.
func (v version) same(o version) bool {
	return v.size == o.size && v.modTime.Unix() == o.modTime.Unix()
}

// claim waits until nobody works on any of the names, and keeps others from
// it until it is released. All names are had together, so there is no circle.
func (b *Inbox) claim(names ...string) (release func()) {
	return b.claimWhen(func() bool { return true }, b.claimed, names)
}

// claimTrees claims names with all that is below them.
func (b *Inbox) claimTrees(names ...string) (release func()) {
	free := func() bool {
		for busy := range b.claimed {
			for _, name := range names {
				if below(busy, key(name)) {
					return false
				}
			}
		}
		for busy := range b.moving {
			for _, name := range names {
				if below(busy, key(name)) {
					return false
				}
			}
		}
		return true
	}
	return b.claimWhen(free, b.moving, names)
}

func (b *Inbox) claimWhen(free func() bool, in map[string]bool, names []string) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.busy(names) || !free() {
		b.released.Wait()
	}
	for _, name := range names {
		in[key(name)] = true
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, name := range names {
			delete(in, key(name))
		}
		b.released.Broadcast()
	}
}

// busy reports whether somebody works on one of the names, or moves it.
func (b *Inbox) busy(names []string) bool {
	for _, name := range names {
		k := key(name)
		if b.claimed[k] || b.moving[k] {
			return true
		}
		for dir := range b.moving {
			if below(k, dir) {
				return true
			}
		}
	}
	return false
}

// record gives what is known of a name, made if need be. The caller holds b.mu
// and sets a version before letting go of it.
func (b *Inbox) record(name string) *file {
	f := b.files[key(name)]
	if f == nil {
		f = &file{name: name}
		b.enlist(f)
	}
	return f
}

// enlist has a file in the books, under its name. The caller holds b.mu.
func (b *Inbox) enlist(f *file) {
	if b.files[key(f.name)] == nil {
		b.names += int64(len(f.name))
	}
	b.files[key(f.name)] = f
	f.temporary = b.o.IsTemporary(path.Base(f.name))
	f.unsafe = isUnsafe(f.name)
}

// strike takes a file out of the books. The caller holds b.mu.
func (b *Inbox) strike(f *file) {
	if b.files[key(f.name)] == f {
		b.names -= int64(len(f.name))
		delete(b.files, key(f.name))
	}
}

// setWhole notes what is uploaded under a name now; nil for nothing. It is a new
// content, that was touched at this moment. The caller holds b.mu.
func (b *Inbox) setWhole(f *file, v *version) {
	if f.whole != nil {
		b.bytes -= f.whole.size
	}
	f.whole = v
	b.generation++
	f.generation = b.generation
	if v != nil {
		b.bytes += v.size
		b.touch(f)
	}
	b.keep(f)
}

// setPart notes what is being uploaded under a name; nil for nothing. The
// caller holds b.mu.
func (b *Inbox) setPart(f *file, v *version) {
	if f.part != nil {
		b.bytes -= f.part.size
	}
	if f.part = v; v != nil {
		b.bytes += v.size
	}
	b.keep(f)
}

// keep has a file in the books as long as something of it is left.
func (b *Inbox) keep(f *file) {
	if f.whole == nil && f.part == nil && len(f.later) == 0 {
		b.strike(f)
		delete(b.soon, f)
	} else if b.files[key(f.name)] != f {
		b.enlist(f)
	}
}

// letGo notes that nobody writes a file any more. What is uploaded of it was held
// back meanwhile. The caller holds b.mu.
func (b *Inbox) letGo(f *file) {
	f.writer = nil
	if f.whole != nil {
		b.touch(f)
	}
}

// touch starts the wait for a file to be left alone. The caller holds b.mu.
func (b *Inbox) touch(f *file) {
	f.touched = time.Now()
	b.soon[f] = true
	b.wakeIn(b.o.Quiet)
}

// wakeIn starts the timer unless it runs: then it ends soon enough for those that
// wait for Quiet.
func (b *Inbox) wakeIn(d time.Duration) {
	if b.timer == nil && !b.closed {
		b.timer = time.AfterFunc(d, b.wake)
	}
}

// wakeSoon has the timer end at once, but for others that come along.
func (b *Inbox) wakeSoon() {
	const soon = 10 * time.Millisecond
	if b.timer != nil && b.timer.Stop() { // else it has ended, and wake is about to look
		b.timer.Reset(soon)
	}
	b.wakeIn(soon)
}

// wake looks which files have become ready, and tells of it.
func (b *Inbox) wake() {
	b.mu.Lock()
	b.timer = nil
	ready := false
	next := b.o.Quiet
	now := time.Now()
	for f := range b.soon {
		left := b.o.Quiet - now.Sub(f.touched)
		if left > 0 && f.whole != nil {
			next = min(next, left)
			continue
		}
		delete(b.soon, f)
		ready = ready || b.ready(f, now)
	}
	if len(b.soon) > 0 {
		b.wakeIn(max(next, 10*time.Millisecond)) // a little later, for more at a time
	}
	ready = ready && !b.closed
	b.mu.Unlock()
	if ready && b.o.OnChange != nil {
		b.o.OnChange()
	}
}

// state says what becomes of an uploaded file. The caller holds b.mu.
func (b *Inbox) state(f *file, now time.Time) (State, time.Time) {
	switch {
	case f.temporary:
		return Temporary, f.touched
	case f.unsafe:
		return Unsafe, f.touched
	case now.Sub(f.touched) < b.o.Quiet:
		return Waiting, f.touched
	}
	return Ready, f.touched.Add(b.o.Quiet)
}

// held reports whether a client is about to write on what is uploaded. The
// caller holds Inbox.mu.
func (f *file) held() bool { return f.writer != nil && f.writer.before }

// ready reports whether a file may be imported. A name that no destination
// takes may, too: the import says so. The caller holds b.mu.
func (b *Inbox) ready(f *file, now time.Time) bool {
	if f.whole == nil || f.held() {
		return false
	}
	state, _ := b.state(f, now)
	return state == Ready || state == Unsafe && now.Sub(f.touched) >= b.o.Quiet
}

// observe brings the books in line with what was seen on the disk: an operator
// may have been there. The caller has claimed the name. The answer is nil when
// nothing stands there.
func (b *Inbox) observe(name string, s sight) *file {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.nothing() || s.isDirectory() {
		if f := b.files[key(name)]; f != nil && f.writer == nil {
			b.setWhole(f, nil)
			b.setPart(f, nil)
		}
		if f := b.files[key(name)]; f != nil && len(f.later) > 0 && s.nothing() {
			return f
		}
		return nil
	}
	f := b.record(name)
	switch {
	case f.writer != nil: // it knows better, as its writes may be under way
	case s.part != nil && f.part == nil: // nobody knows what of it is there
		b.setPart(f, &version{})
	case s.part != nil && s.part.Size() < f.part.size:
		b.setPart(f, versionOf(s.part))
	case s.part != nil: // no more of it is without a gap than we know of
	case f.part != nil:
		f.part, b.bytes = nil, b.bytes-f.part.size
	}
	switch {
	case s.whole != nil && (f.whole == nil || *f.whole != *versionOf(s.whole)):
		b.setWhole(f, versionOf(s.whole))
	case s.whole == nil && f.whole != nil:
		b.setWhole(f, nil)
	}
	return f
}

// reserve takes room for a part that is to have so many bytes. The caller holds b.mu.
func (b *Inbox) reserve(f *file, size int64) error {
	if limit := b.limits.MaximumFileSize; limit > 0 && size > limit {
		return errTooLarge(limit)
	}
	more := size - f.part.size
	if more <= 0 {
		return nil
	}
	if limit := b.limits.Quota; limit > 0 && more > limit-b.bytes {
		return errQuota(limit)
	}
	b.bytes += more
	f.part.size = size
	return nil
}

// entries is how many files and directories there are. The caller holds b.mu.
func (b *Inbox) entries() int { return len(b.files) + b.waiting + b.directories }

// room says whether one more file or directory may be made. The caller holds b.mu.
func (b *Inbox) room() error {
	if b.entries() >= b.o.MaximumEntries {
		return errEntries(b.o.MaximumEntries)
	}
	if b.names >= maxNames {
		return errNames
	}
	return nil
}
