//go:build linux

package powerfs

import (
	"cmp"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// fileCalls are the calls about one inode.
type fileCalls struct{ f *FS }

// handle is an open file or directory.
type handle struct {
	i      *inode
	listed []fuse.DirEntry // of a directory, as it was when it was read from its start
}

// The writing modes of fallocate(2).
const (
	fallocKeepSize  = 1
	fallocPunchHole = 2
)

func (c fileCalls) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	i, status := c.f.begin(call{op: OpGetattr, header: &in.InHeader, interrupted: cancel})
	if !status.Ok() {
		return status
	}
	defer c.f.mu.Unlock()
	i.fill(&out.Attr)
	return fuse.OK
}

func (c fileCalls) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	size, sized := in.GetSize()
	op := OpSetattr
	if sized {
		op = OpTruncate
	}
	i, status := c.f.begin(call{op: op, header: &in.InHeader, interrupted: cancel})
	if !status.Ok() {
		return status
	}
	defer c.f.mu.Unlock()
	if sized {
		if i.kind() != syscall.S_IFREG {
			return fuse.EINVAL
		}
		c.f.resize(i, int64(size))
	}
	if mode, ok := in.GetMode(); ok {
		i.mode = i.kind() | mode
	}
	if uid, ok := in.GetUID(); ok {
		i.uid = uid
	}
	if gid, ok := in.GetGID(); ok {
		i.gid = gid
	}
	i.ctime = time.Now()
	if t, ok := in.GetMTime(); ok {
		i.mtime = t
	}
	if t, ok := in.GetATime(); ok {
		i.atime = t
	}
	i.fill(&out.Attr)
	return fuse.OK
}

// resize truncates or lengthens a file.
func (f *FS) resize(i *inode, size int64) {
	f.room.change(&i.data, func() { i.data.truncate(size) })
	i.touch()
	f.watch.tell(OpTruncate, func() (string, string) { return i.path(), "" })
}

func (c fileCalls) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	f := c.f
	dir, status := f.begin(call{op: OpCreate, header: &in.InHeader, interrupted: cancel, name: name})
	if !status.Ok() {
		return status
	}
	defer f.mu.Unlock()
	if !dir.isDir() {
		return fuse.ENOTDIR
	}
	i := dir.dir.entries[name]
	switch {
	case i == nil:
		i = f.inodes.add(in.Mode&^syscall.S_IFMT|syscall.S_IFREG, in.Caller)
		if status := f.add(dir, name, i, &out.EntryOut); !status.Ok() {
			return status
		}
		f.watch.tell(OpCreate, func() (string, string) { return i.path(), "" })
	case in.Flags&syscall.O_EXCL != 0:
		return eEXIST
	case i.kind() != syscall.S_IFREG:
		return eEXIST
	default:
		if in.Flags&syscall.O_TRUNC != 0 {
			f.resize(i, 0)
		}
		f.inodes.enter(i, &out.EntryOut)
	}
	out.Fh = f.open(i)
	return fuse.OK
}

// open makes a handle of i.
func (f *FS) open(i *inode) uint64 {
	f.lastHandle++
	f.handles[f.lastHandle] = &handle{i: i}
	i.opens++
	return f.lastHandle
}

func (c fileCalls) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	i, status := c.f.begin(call{op: OpOpen, header: &in.InHeader, interrupted: cancel})
	if !status.Ok() {
		return status
	}
	defer c.f.mu.Unlock()
	if in.Flags&syscall.O_TRUNC != 0 {
		c.f.resize(i, 0)
	}
	if i.opens > 0 {
		// Else the kernel drops the pages that it has of the file, those of mappings
		// among them whose writing back has failed: no other file system does.
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
	out.Fh = c.f.open(i)
	return fuse.OK
}

func (c fileCalls) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { c.close(in.Fh) }

func (c fileCalls) ReleaseDir(in *fuse.ReleaseIn) { c.close(in.Fh) }

func (c fileCalls) close(fh uint64) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	if h := c.f.handles[fh]; h != nil {
		delete(c.f.handles, fh)
		h.i.opens--
		c.f.room.discard(h.i)
	}
}

// beginHandle is begin for a call through a handle.
func (f *FS) beginHandle(k call, fh uint64) (*handle, fuse.Status) {
	_, status := f.begin(k)
	if !status.Ok() {
		return nil, status
	}
	h := f.handles[fh]
	if h == nil {
		f.mu.Unlock()
		return nil, fuse.EIO // it is from before a power cut
	}
	return h, fuse.OK
}

func (c fileCalls) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h, status := c.f.beginHandle(call{op: OpRead, header: &in.InHeader, interrupted: cancel}, in.Fh)
	if !status.Ok() {
		return nil, status
	}
	defer c.f.mu.Unlock()
	n := h.i.data.read(buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// Write is told the offset with O_APPEND, too, and after it Fsync is called with O_SYNC and
// O_DSYNC: the kernel sees to both.
func (c fileCalls) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	f := c.f
	h, status := f.beginHandle(call{op: OpWrite, header: &in.InHeader, interrupted: cancel}, in.Fh)
	if !status.Ok() {
		return 0, status
	}
	defer f.mu.Unlock()
	i, off := h.i, int64(in.Offset)
	n := f.room.fits(&i.data, off, len(data))
	if n == 0 && len(data) > 0 {
		return 0, eNOSPC
	}
	f.room.change(&i.data, func() { i.data.write(data[:n], off) })
	i.touch()
	f.watch.tell(OpWrite, func() (string, string) { return i.path(), "" })
	return uint32(n), fuse.OK
}

func (c fileCalls) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	f := c.f
	h, status := f.beginHandle(call{op: OpFallocate, header: &in.InHeader, interrupted: cancel}, in.Fh)
	if !status.Ok() {
		return status
	}
	defer f.mu.Unlock()
	data, from, to := &h.i.data, int64(in.Offset), int64(in.Offset+in.Length)
	switch in.Mode {
	case fallocPunchHole | fallocKeepSize:
		f.room.change(data, func() { data.zero(from, min(to, data.size)) })
	case fallocKeepSize: // No room is set aside: the next writer may find none.
	case 0:
		if to > data.size {
			if to-data.size > f.room.free() {
				return eNOSPC
			}
			data.resize(to)
		}
	default:
		return eNOTSUPP
	}
	h.i.touch()
	return fuse.OK
}

func (c fileCalls) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	_, status := c.f.begin(call{op: OpFlush, header: &in.InHeader, interrupted: cancel})
	if status.Ok() {
		c.f.mu.Unlock()
	}
	return status
}

func (c fileCalls) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h, status := c.f.beginHandle(call{op: OpFsync, header: &in.InHeader, interrupted: cancel}, in.Fh)
	if !status.Ok() {
		return status
	}
	defer c.f.mu.Unlock()
	if c.f.noFsync {
		return fuse.OK
	}
	h.i.data.sync()
	if in.FsyncFlags&1 == 0 { // else it is fdatasync
		h.i.stable = h.i.attributes
	}
	return fuse.OK
}

func (c fileCalls) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h, status := c.f.beginHandle(call{op: OpFsyncdir, header: &in.InHeader, interrupted: cancel}, in.Fh)
	if !status.Ok() {
		return status
	}
	defer c.f.mu.Unlock()
	if !c.f.noFsync {
		c.f.names.sync(h.i.dir)
		h.i.stable = h.i.attributes
	}
	return fuse.OK
}

func (c fileCalls) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	i, status := c.f.begin(call{op: OpReaddir, header: &in.InHeader, interrupted: cancel})
	if !status.Ok() {
		return status
	}
	defer c.f.mu.Unlock()
	if !i.isDir() {
		return fuse.ENOTDIR
	}
	out.Fh = c.f.open(i)
	return fuse.OK
}

func (c fileCalls) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	h, status := c.f.beginHandle(call{op: OpReaddir, header: &in.InHeader, interrupted: cancel}, in.Fh)
	if !status.Ok() {
		return status
	}
	defer c.f.mu.Unlock()
	if in.Offset == 0 || h.listed == nil {
		h.listed = h.i.list()
	}
	for n := in.Offset; n < uint64(len(h.listed)); n++ {
		if !out.AddDirEntry(h.listed[n]) {
			break
		}
	}
	return fuse.OK
}

// list gives what is in a directory, by name.
func (i *inode) list() []fuse.DirEntry {
	up := i
	if i.parent != nil {
		up = i.parent
	}
	list := make([]fuse.DirEntry, 0, len(i.dir.entries)+2)
	list = append(list, fuse.DirEntry{Name: ".", Mode: i.mode, Ino: i.ino}, fuse.DirEntry{Name: "..", Mode: up.mode, Ino: up.ino})
	for name, child := range i.dir.entries {
		list = append(list, fuse.DirEntry{Name: name, Mode: child.mode, Ino: child.ino})
	}
	slices.SortFunc(list[2:], func(a, b fuse.DirEntry) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (c fileCalls) StatFs(cancel <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	f := c.f
	_, status := f.begin(call{op: OpStatfs, header: h, interrupted: cancel})
	if !status.Ok() {
		return status
	}
	defer f.mu.Unlock()
	free := f.room.free()
	out.Bsize, out.Frsize, out.NameLen = blockSize, blockSize, 255
	out.Bfree = uint64(free / blockSize)
	out.Bavail = out.Bfree
	out.Blocks = uint64((f.room.used + free) / blockSize)
	out.Files, out.Ffree = 1<<30, 1<<30-f.inodes.lastIno
	return fuse.OK
}
