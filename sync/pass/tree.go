package pass

import (
	"slices"
	"sync"

	filesync "sftpconnector/sync"
)

// Bounds on the directories that wait to be listed. Their names are kept once,
// below the path of their parent, so that half a million siblings take little.
const (
	maxStack  = 12 << 20 // bytes
	blockSize = 32 << 10 // bytes of names in one block
	blockCost = 192      // bytes of a block beside its strings
)

// directory is one that is to be listed.
type directory struct {
	name     string
	real     string   // its path with all symbolic links resolved
	above    []string // the real paths of the directories that links led out of, on the way here
	depth    int
	children *children // where its children are put while it is listed
}

// child is the directory base in d, which no link leads to.
func (d directory) child(base string) directory {
	name := filesync.Join(d.name, base)
	real := name
	if d.real != d.name {
		real = filesync.Join(d.real, base)
	}
	return directory{name: name, real: real, above: d.above, depth: d.depth + 1}
}

// behind is what a symbolic link in d leads to.
func (d directory) behind(name, real string) directory {
	return directory{name: name, real: real, above: append(slices.Clone(d.above), d.real), depth: d.depth + 1}
}

// loops reports whether a link in d that leads to the directory real would
// come by a directory again that the way to d has passed.
func (d directory) loops(real string) bool {
	if len(d.above) >= maxLinkDepth || within(d.real, real) {
		return true
	}
	for _, dir := range d.above {
		if within(dir, real) {
			return true
		}
	}
	return false
}

// children are those of one directory, while that is listed by one lister.
type children struct {
	at   *block // where they are put; tree.mu guards it
	left int    // for which there was no room
}

// block holds directories that wait: of itself alone, or children of it by their
// names, each followed by a byte with its length.
type block struct {
	of      directory
	self    bool
	names   []byte
	stacked bool
}

// cost is what a block takes. Of the strings that blocks may share, each counts
// its own.
func (b *block) cost() int {
	n := blockCost + cap(b.names) + len(b.of.name)
	if b.of.real != b.of.name {
		n += len(b.of.real)
	}
	for _, dir := range b.of.above {
		n += len(dir)
	}
	return n
}

// tree is the stack of directories to be listed, shared by the listers. Last
// in, first out, so that it stays short on a deep tree.
type tree struct {
	mu     sync.Mutex
	wake   *sync.Cond
	stack  []*block
	bytes  int
	active int
	ended  bool
}

func newTree(start directory) *tree {
	t := &tree{}
	t.wake = sync.NewCond(&t.mu)
	t.push(start)
	return t
}

// next waits for a directory; false when the whole tree is listed.
func (t *tree) next() (directory, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.stack) == 0 && t.active > 0 && !t.ended {
		t.wake.Wait()
	}
	if t.ended || len(t.stack) == 0 {
		return directory{}, false
	}
	d := t.pop()
	d.children = new(children)
	t.active++
	return d, true
}

// pop takes the last directory off the stack. The caller holds t.mu.
func (t *tree) pop() directory {
	b := t.stack[len(t.stack)-1]
	d := b.of
	if !b.self {
		last := len(b.names) - 1
		from := last - int(b.names[last])
		d = b.of.child(string(b.names[from:last]))
		b.names = b.names[:from]
	}
	if len(b.names) == 0 {
		b.stacked = false
		t.bytes -= b.cost()
		t.stack[len(t.stack)-1] = nil
		t.stack = t.stack[:len(t.stack)-1]
	}
	return d
}

// push puts a directory on the stack; false when that has no room.
func (t *tree) push(d directory) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stackBlock(&block{of: d, self: true})
}

// pushChild puts the directory base in d, which is being listed, on the stack;
// false when that has no room.
func (t *tree) pushChild(d directory, base string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bytes > maxStack {
		return false
	}
	b := d.children.at
	if b == nil || !b.stacked || len(b.names)+len(base) >= blockSize {
		b = &block{of: d}
		b.of.children = nil
		if !t.stackBlock(b) {
			return false
		}
		d.children.at = b
	}
	before := cap(b.names)
	b.names = append(append(b.names, base...), byte(len(base)))
	t.bytes += cap(b.names) - before
	t.wake.Signal()
	return true
}

// stackBlock puts a block on the stack. The caller holds t.mu.
func (t *tree) stackBlock(b *block) bool {
	if t.bytes+b.cost() > maxStack {
		return false
	}
	t.bytes += b.cost()
	b.stacked = true
	t.stack = append(t.stack, b)
	t.wake.Signal()
	return true
}

func (t *tree) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active--
	if t.active == 0 && len(t.stack) == 0 {
		t.wake.Broadcast()
	}
}

func (t *tree) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.wake.Broadcast()
}
