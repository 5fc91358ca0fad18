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

// newInode makes a node without a name.
func (f *FS) newInode(mode uint32, caller fuse.Caller) *inode {
	f.lastIno++
	now := time.Now()
	i := &inode{ino: f.lastIno, attributes: attributes{mode, caller.Uid, caller.Gid, now, now, now}}
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
func (f *FS) enter(i *inode, out *fuse.EntryOut) {
	if i.node == 0 {
		f.lastNode++
		i.node = f.lastNode
		f.nodes[i.node] = i
	}
	i.lookups++
	out.NodeId = i.node
	i.fill(&out.Attr)
}

// forget takes back n times that the kernel was told of a node.
func (f *FS) forget(node, n uint64) {
	i := f.nodes[node]
	if i == nil || i == f.root {
		return
	}
	i.lookups -= min(n, i.lookups)
	if i.lookups == 0 {
		delete(f.nodes, node)
		i.node = 0
	}
}

// discard gives back the room of a node that has no name and no handle.
func (f *FS) discard(i *inode) {
	if i.nlink == 0 && i.opens == 0 {
		f.used -= i.data.allocated
		i.data.allocated = 0
	}
}

// regularNodes are the nodes whose contents the kernel may hold in its cache.
func (f *FS) regularNodes() []uint64 {
	var nodes []uint64
	for node, i := range f.nodes {
		if i.kind() == syscall.S_IFREG {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// reach walks all that names lead to after a power cut, counts links and room anew,
// and gives the inodes in the order of their numbers.
func (f *FS) reach() []*inode {
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
	f.root.nlink = 0
	walk(f.root)
	return slices.SortedFunc(maps.Keys(found), func(a, b *inode) int { return cmp.Compare(a.ino, b.ino) })
}
