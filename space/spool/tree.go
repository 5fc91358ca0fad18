package spool

import (
	"iter"
	"path"
	"slices"
	"sort"
	"strings"
	"time"
)

// directory is a directory of the index. Spool.mu guards all of the tree.
type directory struct {
	id      int64 // of its row; 0: the top has none yet
	parent  *directory
	name    string
	modTime time.Time
	changed time.Time // when a client changed what is in it
	used    time.Time // when a client asked for it, or for something in it

	children map[string]*child
	// list has the children in the order in which they came, for listings that go on
	// while others come and go. Those that went are nil until they are many.
	list  []*child
	order int64
	left  int // went from list
}

// child is what a directory has under a name: one of the two.
type child struct {
	name      string
	order     int64
	gone      bool
	directory *directory
	file      *file
}

// file is what there is under a name of uploads.
type file struct {
	name      string
	parent    *directory
	received  []*object // in the order in which they are imported
	part      *object   // being uploaded, or cut; nil: nothing is
	partSince time.Time
	writer    *writer // of part, or about to write on the last that was received
	temporary bool    // its name is
}

// object is an upload.
type object struct {
	row      int64 // its row's ID; 0: it has none yet
	id       string
	file     *file
	size     int64
	durable  int64 // of one that is not received: [0, durable) is on the disk
	received bool
	removed  bool
	modTime  time.Time
	accepted time.Time
	touched  time.Time // has the monotonic clock
	origin   string
	moving   bool      // it still is, or may be, where it comes from
	reading  int       // by how many imports
	read     time.Time // to its end, by an import; zero: it was not
}

// tree is all directories and files, and what they add up to.
type tree struct {
	top         *directory
	objects     map[string]*object // that were received, by id
	directories int                // without the top
	shown       int                // files
	waiting     int                // uploads that wait behind others of their name
	bytes       int64              // of all uploads
	names       int64              // bytes of all names
	lastRow     int64

	dirty  map[int64]*row // to be written into the index; nil: to be dropped
	doomed []*object      // to be removed from the disk once the index says so
}

func newTree() tree {
	now := time.Now()
	return tree{top: &directory{modTime: now.Truncate(time.Second), changed: now, used: now, children: map[string]*child{}}, objects: map[string]*object{}, dirty: map[int64]*row{}}
}

func (t *tree) nextRow() int64 {
	t.lastRow++
	return t.lastRow
}

func (t *tree) entries() int { return t.shown + t.waiting + t.directories }

func (t *tree) uploads() int { return t.shown + t.waiting }

// find gives the directory that a name is in, and what is under the name, nil for
// nothing. The error says that there is no such directory.
func (t *tree) find(name string) (in *directory, base string, c *child, err error) {
	in = t.top
	for {
		first, rest, more := strings.Cut(name, "/")
		c = in.children[first]
		if !more {
			return in, first, c, nil
		}
		if c == nil || c.directory == nil {
			return nil, "", nil, errMissing
		}
		in, name = c.directory, rest
	}
}

// directory finds a directory; "" is the top.
func (t *tree) directory(name string) (*directory, error) {
	if name == "" {
		return t.top, nil
	}
	_, _, c, err := t.find(name)
	if err != nil || c == nil || c.directory == nil {
		return nil, errMissing
	}
	return c.directory, nil
}

// use notes that somebody asks for what has this name, or for what is above it.
func (t *tree) use(name string, now time.Time) {
	in := t.top
	for part := range strings.SplitSeq(name, "/") {
		c := in.children[part]
		if c == nil || c.directory == nil {
			break
		}
		in = c.directory
	}
	in.used = now
}

// add puts a directory or file into its parent, under its name.
func (t *tree) add(in *directory, c *child) {
	in.order++
	c.order = in.order
	if c.directory != nil {
		c.name, c.directory.parent = c.directory.name, in
	} else {
		c.name, c.file.parent = c.file.name, in
	}
	in.children[c.name] = c
	in.list = append(in.list, c)
	t.names += int64(len(c.name))
}

// take takes a child out of its parent.
func (t *tree) take(in *directory, name string) *child {
	c := in.children[name]
	delete(in.children, name)
	c.gone = true
	t.names -= int64(len(name))
	if in.left++; in.left > len(in.list)/2 {
		in.list = slices.DeleteFunc(in.list, func(c *child) bool { return c.gone })
		in.left = 0
	}
	return &child{directory: c.directory, file: c.file}
}

// after gives up to limit children that came after the one of that order.
func (d *directory) after(order int64, limit int) []*child {
	from := sort.Search(len(d.list), func(i int) bool { return d.list[i].order > order })
	var out []*child
	for _, c := range d.list[from:] {
		if len(out) == limit {
			break
		}
		if !c.gone {
			out = append(out, c)
		}
	}
	return out
}

// file gives the file under a name in a directory, made if need be.
func (t *tree) file(in *directory, base string, temporary func(string) bool) *file {
	if c := in.children[base]; c != nil {
		return c.file
	}
	f := &file{name: base, temporary: temporary(base)}
	t.add(in, &child{file: f})
	return f
}

// count takes a file out of the sums, or puts it back. Every change of what a file
// has is between the two.
func (t *tree) count(f *file, sign int) {
	var n int
	for _, o := range f.received {
		t.bytes += int64(sign) * o.size
		n++
	}
	if f.part != nil {
		t.bytes += int64(sign) * f.part.size
	}
	switch {
	case n > 0:
		t.shown += sign
		t.waiting += sign * (n - 1)
	case f.part != nil:
		t.shown += sign
	}
}

// tidy takes a file out of its directory if nothing of it is left.
func (t *tree) tidy(f *file) {
	if len(f.received) == 0 && f.part == nil && f.writer == nil && f.parent != nil {
		t.take(f.parent, f.name)
		f.parent = nil
	}
}

// files gives all files, in no order. The tree must not change meanwhile.
func (t *tree) files() iter.Seq[*file] {
	return func(yield func(*file) bool) {
		for c := range t.top.below() {
			if c.file != nil && !yield(c.file) {
				return
			}
		}
	}
}

// below gives all that is below a directory, itself not included. What is in a directory
// comes after it. The tree must not change meanwhile.
func (d *directory) below() iter.Seq[*child] {
	return func(yield func(*child) bool) {
		todo := []*directory{d} // a stack, as the tree may be deep
		for len(todo) > 0 {
			last := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, c := range last.children {
				if !yield(c) {
					return
				}
				if c.directory != nil {
					todo = append(todo, c.directory)
				}
			}
		}
	}
}

func (t *tree) writers() (all []*writer) {
	for f := range t.files() {
		if f.writer != nil {
			all = append(all, f.writer)
		}
	}
	return all
}

// path is a directory's path below the top; "" is the top itself.
func (d *directory) path() string {
	var parts []string
	for ; d.parent != nil; d = d.parent {
		parts = append(parts, d.name)
	}
	slices.Reverse(parts)
	return strings.Join(parts, "/")
}

func (f *file) path() string {
	if f.parent == nil {
		return f.name
	}
	return path.Join(f.parent.path(), f.name)
}

// last is the upload that clients see of those that were received; nil for none.
func (f *file) last() *object {
	if len(f.received) == 0 {
		return nil
	}
	return f.received[len(f.received)-1]
}

// seen reports whether clients see something of a file.
func (f *file) seen() bool { return f.part != nil || len(f.received) > 0 }

// held reports whether a client is about to write on what was received: that waits.
func (f *file) held() bool { return f.writer != nil && f.writer.before }

// without takes an upload from those that were received.
func (f *file) without(o *object) {
	f.received = slices.DeleteFunc(f.received, func(x *object) bool { return x == o })
}

// extent is how much longer and deeper than a directory's own path those below it are.
func (d *directory) extent() (length, depth int) {
	type level struct {
		of            *directory
		length, depth int
	}
	todo := []level{{d, 0, 0}}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		length, depth = max(length, at.length), max(depth, at.depth)
		for name, c := range at.of.children {
			next := level{c.directory, at.length + 1 + len(name), at.depth + 1}
			length, depth = max(length, next.length), max(depth, next.depth)
			if next.of != nil {
				todo = append(todo, next)
			}
		}
	}
	return length, depth
}

// depthOf is how many parts a name has.
func depthOf(name string) int { return strings.Count(name, "/") + 1 }
