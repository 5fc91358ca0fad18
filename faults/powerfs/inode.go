//go:build linux

package powerfs

import (
	"cmp"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// attributes are what chmod, chown and utimens change.
type attributes struct {
	mode                uint32 // with the type
	uid, gid            uint32
	atime, mtime, ctime time.Time
}

// inode is a file, directory, symbolic link or other node.
type inode struct {
	ino    uint64
	stable attributes // durable
	attributes
	nlink  uint32
	rdev   uint32
	opens  int    // handles
	target string // of a symbolic link
	data   content

	// Where it was seen last; the path of an open file without a name is the one that
	// it had.
	parent *inode
	name   string

	// The kernel's name of it since the last power cut, 0 if the kernel has none,
	// and how often it was told to the kernel.
	node    uint64
	lookups uint64

	dir *directory // nil if it is no directory
}

func (i *inode) isDir() bool { return i.dir != nil }

func (i *inode) kind() uint32 { return i.mode & syscall.S_IFMT }

// path of the node below the mount, "" for the root.
func (i *inode) path() string {
	var names []string
	n := 0
	for ; i.parent != nil; i = i.parent {
		names = append(names, i.name)
		n += len(i.name) + 1
	}
	path := make([]byte, 0, n)
	for _, name := range slices.Backward(names) {
		if len(path) > 0 {
			path = append(path, '/')
		}
		path = append(path, name...)
	}
	return string(path)
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// inodes are those that have a name, or that the kernel knows.
type inodes struct {
	root   *inode
	byNode map[uint64]*inode // by the kernel's name

	lastIno, lastNode uint64 // the last that were given away
}

// add makes an inode without a name.
func (t *inodes) add(mode uint32, caller fuse.Caller) *inode {
	t.lastIno++
	now := time.Now()
	i := &inode{ino: t.lastIno, attributes: attributes{mode, caller.Uid, caller.Gid, now, now, now}}
	i.stable = i.attributes
	if i.kind() == syscall.S_IFDIR {
		i.dir = newDirectory()
	}
	return i
}

// fill tells the attributes of i.
func (i *inode) fill(out *fuse.Attr) {
	out.Ino = i.ino
	out.Mode, out.Nlink, out.Rdev = i.mode, i.nlink, i.rdev
	out.Uid, out.Gid = i.uid, i.gid
	out.SetTimes(&i.atime, &i.mtime, &i.ctime)
	out.Blksize = blockSize
	switch {
	case i.isDir():
		out.Size = blockSize
		out.Blocks = blockSize / 512
	case i.kind() == syscall.S_IFLNK:
		out.Size = uint64(len(i.target))
	default:
		out.Size = uint64(i.data.size)
		out.Blocks = uint64(i.data.allocated / 512)
	}
}

// enter tells the kernel of i. All timeouts are 0: it asks again each time.
func (t *inodes) enter(i *inode, out *fuse.EntryOut) {
	if i.node == 0 {
		t.lastNode++
		i.node = t.lastNode
		t.byNode[i.node] = i
	}
	i.lookups++
	out.NodeId = i.node
	i.fill(&out.Attr)
}

// forget takes back n times that the kernel was told of a node.
func (t *inodes) forget(node, n uint64) {
	i := t.byNode[node]
	if i == nil || i == t.root {
		return
	}
	i.lookups -= min(n, i.lookups)
	if i.lookups == 0 {
		delete(t.byNode, node)
		i.node = 0
	}
}

// forgetAll takes back all that the kernel was told.
func (t *inodes) forgetAll() {
	for _, i := range t.byNode {
		i.node, i.lookups = 0, 0
	}
	clear(t.byNode)
	t.root.node = fuse.FUSE_ROOT_ID
	t.byNode[fuse.FUSE_ROOT_ID] = t.root
}

// cached are the nodes whose contents the kernel may hold in its cache.
func (t *inodes) cached() []uint64 {
	var nodes []uint64
	for node, i := range t.byNode {
		if i.kind() == syscall.S_IFREG {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// reach walks all that names lead to after a power cut, counts links and room anew,
// and gives the inodes in the order of their numbers.
func (t *inodes) reach() []*inode {
	found := map[*inode]bool{}
	var walk func(i *inode)
	walk = func(i *inode) {
		i.nlink++
		if found[i] {
			return
		}
		found[i] = true
		if !i.isDir() {
			return
		}
		i.nlink = 2
		for name, child := range i.dir.entries {
			if !found[child] {
				child.nlink = 0
			}
			child.parent, child.name = i, name
			walk(child)
			if child.isDir() {
				i.nlink++
			}
		}
	}
	t.root.nlink = 0
	walk(t.root)
	return slices.SortedFunc(maps.Keys(found), func(a, b *inode) int { return cmp.Compare(a.ino, b.ino) })
}
