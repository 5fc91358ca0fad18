//go:build linux

package powerfs

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// nameCalls are the calls about names in directories.
type nameCalls struct{ f *FS }

func (n nameCalls) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, status := n.f.begin(call{op: OpLookup, header: h, interrupted: cancel, name: name})
	if !status.Ok() {
		return status
	}
	defer n.f.mu.Unlock()
	if !dir.isDir() {
		return fuse.ENOTDIR
	}
	i := dir.dir.entries[name]
	if i == nil {
		return fuse.ENOENT
	}
	n.f.inodes.enter(i, out)
	return fuse.OK
}

func (n nameCalls) Forget(node, times uint64) {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	n.f.inodes.forget(node, times)
}

// add gives a new inode a name, with mu held.
func (f *FS) add(dir *inode, name string, i *inode, out *fuse.EntryOut) fuse.Status {
	switch {
	case !dir.isDir():
		return fuse.ENOTDIR
	case dir.nlink == 0:
		return fuse.ENOENT // it was removed
	case dir.dir.entries[name] != nil:
		return eEXIST
	case len(name) > 255:
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	i.nlink++
	i.parent, i.name = dir, name
	i.ctime = time.Now()
	logged := f.names.log([]edit{{dir.dir, name, i}}, nil, false)
	if i.isDir() {
		i.nlink = 2
		dir.nlink++
		logged.makes, i.dir.made = i.dir, logged
	}
	dir.touch()
	f.inodes.enter(i, out)
	return fuse.OK
}

// touch tells that the names in a directory have changed.
func (i *inode) touch() {
	i.mtime = time.Now()
	i.ctime = i.mtime
}

func (n nameCalls) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	switch in.Mode & syscall.S_IFMT {
	case syscall.S_IFREG, syscall.S_IFIFO, syscall.S_IFSOCK:
	default:
		return fuse.EPERM
	}
	return n.make(call{op: OpCreate, header: &in.InHeader, interrupted: cancel, name: name}, in.Mode, "", out)
}

func (n nameCalls) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	mode := in.Mode&^syscall.S_IFMT | syscall.S_IFDIR
	return n.make(call{op: OpMkdir, header: &in.InHeader, interrupted: cancel, name: name}, mode, "", out)
}

func (n nameCalls) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return n.make(call{op: OpSymlink, header: h, interrupted: cancel, name: name}, syscall.S_IFLNK|0o777, target, out)
}

// make makes an inode that is not opened.
func (n nameCalls) make(c call, mode uint32, target string, out *fuse.EntryOut) fuse.Status {
	dir, status := n.f.begin(c)
	if !status.Ok() {
		return status
	}
	defer n.f.mu.Unlock()
	if c.op == OpMkdir && n.f.room.free() < blockSize {
		return eNOSPC
	}
	i := n.f.inodes.add(mode, c.header.Caller)
	i.target = target
	status = n.f.add(dir, c.name, i, out)
	if status.Ok() {
		n.f.watch.tell(c.op, func() (string, string) { return i.path(), "" })
	}
	return status
}

func (n nameCalls) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	f := n.f
	dir, status := f.begin(call{op: OpLink, header: &in.InHeader, interrupted: cancel, name: name})
	if !status.Ok() {
		return status
	}
	defer f.mu.Unlock()
	i, status := f.find(in.Oldnodeid)
	switch {
	case !status.Ok():
		return status
	case i.isDir():
		return fuse.EPERM
	case i.nlink == 0:
		return fuse.ENOENT
	}
	from := i.path()
	status = f.add(dir, name, i, out)
	if status.Ok() {
		f.watch.tell(OpLink, func() (string, string) { return from, i.path() })
	}
	return status
}

func (n nameCalls) Readlink(cancel <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	i, status := n.f.begin(call{op: OpReadlink, header: h, interrupted: cancel})
	if !status.Ok() {
		return nil, status
	}
	defer n.f.mu.Unlock()
	return []byte(i.target), fuse.OK
}

func (n nameCalls) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return n.remove(call{op: OpUnlink, header: h, interrupted: cancel, name: name})
}

func (n nameCalls) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return n.remove(call{op: OpRmdir, header: h, interrupted: cancel, name: name})
}

func (n nameCalls) remove(c call) fuse.Status {
	f := n.f
	dir, status := f.begin(c)
	if !status.Ok() {
		return status
	}
	defer f.mu.Unlock()
	if !dir.isDir() {
		return fuse.ENOTDIR
	}
	i := dir.dir.entries[c.name]
	switch {
	case i == nil:
		return fuse.ENOENT
	case c.op == OpRmdir && !i.isDir():
		return fuse.ENOTDIR
	case c.op == OpUnlink && i.isDir():
		return fuse.EISDIR
	case i.isDir() && len(i.dir.entries) > 0:
		return eNOTEMPTY
	}
	f.names.log([]edit{{dir.dir, c.name, nil}}, emptied(i), false)
	f.dropped(dir, i)
	dir.touch()
	f.watch.tell(c.op, func() (string, string) { return join(dir.path(), c.name), "" })
	return fuse.OK
}

// emptied gives what log wants to know of an inode that loses its name.
func emptied(i *inode) []*directory {
	if i == nil || !i.isDir() {
		return nil
	}
	return []*directory{i.dir}
}

// dropped counts that i has a name less in dir.
func (f *FS) dropped(dir, i *inode) {
	i.ctime = time.Now()
	if i.isDir() {
		i.nlink = 0
		dir.nlink--
		return
	}
	i.nlink--
	f.room.discard(i)
}

func (n nameCalls) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	f := n.f
	from, status := f.begin(call{op: OpRename, header: &in.InHeader, interrupted: cancel, name: oldName,
		toDir: in.Newdir, toName: newName})
	if !status.Ok() {
		return status
	}
	defer f.mu.Unlock()
	to, status := f.find(in.Newdir)
	if !status.Ok() {
		return status
	}
	if !from.isDir() || !to.isDir() {
		return fuse.ENOTDIR
	}
	i, over := from.dir.entries[oldName], to.dir.entries[newName]
	switch {
	case i == nil:
		return fuse.ENOENT
	case to.nlink == 0:
		return fuse.ENOENT
	case in.Flags&^(renameNoReplace|renameExchange) != 0:
		return fuse.EINVAL
	case in.Flags&renameNoReplace != 0 && over != nil:
		return eEXIST
	case in.Flags&renameExchange != 0:
		return f.exchange(from, to, oldName, newName)
	case i == over:
		return fuse.OK
	case over != nil && over.isDir() != i.isDir():
		if i.isDir() {
			return fuse.ENOTDIR
		}
		return fuse.EISDIR
	case over != nil && over.isDir() && len(over.dir.entries) > 0:
		return eNOTEMPTY
	}
	f.names.log([]edit{{from.dir, oldName, nil}, {to.dir, newName, i}}, emptied(over), i.isDir())
	if over != nil {
		f.dropped(to, over)
	}
	f.moved(i, from, to, newName)
	f.watch.tell(OpRename, func() (string, string) { return join(from.path(), oldName), i.path() })
	return fuse.OK
}

// exchange swaps two names.
func (f *FS) exchange(from, to *inode, oldName, newName string) fuse.Status {
	i, other := from.dir.entries[oldName], to.dir.entries[newName]
	if other == nil {
		return fuse.ENOENT
	}
	f.names.log([]edit{{from.dir, oldName, other}, {to.dir, newName, i}}, nil, i.isDir() || other.isDir())
	f.moved(i, from, to, newName)
	f.moved(other, to, from, oldName)
	f.watch.tell(OpRename, func() (string, string) { return other.path(), i.path() })
	f.watch.tell(OpRename, func() (string, string) { return i.path(), other.path() })
	return fuse.OK
}

// moved notes where an inode is now.
func (f *FS) moved(i, from, to *inode, name string) {
	i.parent, i.name = to, name
	i.ctime = time.Now()
	if i.isDir() {
		from.nlink--
		to.nlink++
	}
	from.touch()
	to.touch()
}
